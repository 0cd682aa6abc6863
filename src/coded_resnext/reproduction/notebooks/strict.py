"""One notebook run strictly.

papermill passes a parameter that the notebook does not have and only warns; here it is refused, and so is a value of
another type than the default's.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from ... import paths
from ...errors import NotebookFailed, Refused, not_here, unknown
from ...training.parameters import typed
from ..records.presets import notebook_names
from .kernel import first_line

KERNEL = "python3"


def default_parameters(name: str) -> dict[str, Any]:
    """The variables of a notebook's parameters cell.

    Raises:
        ValueError: an unknown notebook; one without such a cell, or with something else than literals in it.
    """
    tagged = [cell for cell in read_notebook(name).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise Refused(f"{name}.ipynb needs one cell tagged 'parameters', it has {len(tagged)}")
    values = {}
    for statement in ast.parse(tagged[0].source).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if not isinstance(target, ast.Name) or statement.value is None:
            raise Refused(f"the parameters cell of {name}.ipynb holds more than `name = literal` lines")
        values[target.id] = ast.literal_eval(statement.value)
    return values


def check_parameters(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the notebook can take them.

    Raises:
        ValueError: one that the notebook does not have, with the closest names.
        TypeError: a value of another type than the default's.
    """
    defaults = default_parameters(name)
    for key in parameters:
        if key not in defaults:
            raise Refused(unknown("parameter", key, defaults, f"{name}.ipynb"))
    checked = {key: typed(key, value, defaults[key], f"{name}.ipynb") for key, value in parameters.items()}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in checked.items()}


def run(name: str, parameters: Mapping[str, Any], output: Path) -> None:
    """Execute one notebook with papermill, and write the executed copy.

    Raises:
        ValueError, TypeError: parameters it cannot take, see `check_parameters`.
        NotebookFailed: a cell raised.
    """
    checked = check_parameters(name, parameters)
    # What the kernel would say of itself at every start: its debugger of frozen modules, tqdm of missing widgets.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
    import papermill
    from papermill.exceptions import PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            paths.NOTEBOOKS / f"{name}.ipynb", output, checked, kernel_name=KERNEL, progress_bar=False,
            stderr_file=sys.stderr,
            extra_arguments=["--log-level=CRITICAL", f"--IPKernelApp.exec_lines={first_line(os.getpid())}"],
        )  # fmt: skip
    except PapermillExecutionError as error:
        raise NotebookFailed(
            f"{name}.ipynb stopped in cell {error.exec_count}: {error.ename}: {error.evalue}\n"
            f"the executed copy is {output.relative_to(paths.OUT) if output.is_relative_to(paths.OUT) else output}"
        ) from None


def read_notebook(name: str) -> nbformat.NotebookNode:
    names = notebook_names()
    if name not in names:
        raise Refused(unknown("notebook", name, names) if names else not_here("notebooks", paths.NOTEBOOKS))
    return nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4)
