"""The outputs of a reproduction copied into the notebooks in git."""

from __future__ import annotations

import nbformat

from ... import paths
from ...errors import Missing
from ...files import write_atomically
from ..figures.documents import write_documents
from .reproduce import Unit, units
from .strict import KERNEL, read_notebook


def publish(preset: str) -> list[str]:
    """Copy the outputs of a reproduction into the notebooks in git, without anything that changes from run to run.

    Progress (stderr), execution times, host paths in metadata and injected parameters stay behind. 03_train
    shows its first run. The README's results and the pages of docs/ are written anew.

    Returns:
        The notebooks that were rewritten.
    Raises:
        FileNotFoundError: a notebook that no reproduction has executed; none is rewritten then.
    """
    done: dict[str, Unit] = {}
    for unit in units(preset):
        done.setdefault(unit.notebook, unit)
    if missing := [name for name, unit in done.items() if not unit.executed.is_file()]:
        raise Missing(f"not reproduced yet: {', '.join(missing)}; make reproduce PRESET={preset} executes them")
    for name, unit in done.items():
        executed = nbformat.read(unit.executed, as_version=4)
        ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
        notebook = read_notebook(name)
        count = 0  # as in a fresh kernel: nbval takes a cell with outputs and no number for a mistake
        for cell, source in zip(notebook.cells, ran, strict=True):
            cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
            if cell.cell_type == "code":
                count += 1
                cell.outputs = [output for output in source.outputs if output.get("name") != "stderr"]
                for output in cell.outputs:
                    if output.output_type == "execute_result":
                        output.execution_count = count
                    if "metadata" in output:  # what a picture shows stays
                        output.metadata = {key: value for key, value in output.metadata.items() if key == "image/png"}
                cell.execution_count = count
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
            "language_info": {"name": "python"},
        }
        write_atomically(paths.NOTEBOOKS / f"{name}.ipynb", (nbformat.writes(notebook) + "\n").encode())
    write_documents()
    return list(done)
