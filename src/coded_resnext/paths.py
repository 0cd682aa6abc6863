"""Every folder of the project, as constants.

pytest and nbval run in a notebook's folder, papermill in the caller's: nothing here depends on
the current directory, unless the package was installed without the repository around it.
"""

import os
import re
from pathlib import Path

from .descriptions import read_json, to_json
from .errors import BadFile, Refused
from .files import write_atomically

PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = PACKAGE.parents[1]
IS_CHECKOUT = (_CHECKOUT / "pyproject.toml").is_file()
ROOT = _CHECKOUT if IS_CHECKOUT else Path.cwd()

NOTEBOOKS = ROOT / "notebooks"
PRESETS = NOTEBOOKS / "presets"
if not IS_CHECKOUT and not PRESETS.is_dir():
    PRESETS = PACKAGE / "presets"  # what setup.py puts into the wheel
PAPER = ROOT / "data" / "paper"
COMMITTED_RESULTS = ROOT / "data" / "results"
WEIGHTS = ROOT / "data" / "weights"
if not IS_CHECKOUT and not WEIGHTS.is_dir():
    WEIGHTS = PACKAGE / "weights"  # what setup.py puts into the wheel

# All that is written moves with one variable, so that a test never touches the records in git.
OUT = Path(os.environ.get("CODED_RESNEXT_OUT", ROOT)).resolve()
RESULTS = OUT / "data" / "results"
RUNS = OUT / "data" / "runs"
FIGURES = OUT / "figures"
OWN_WEIGHTS = OUT / "data" / "weights"  # where what is made for shipped weights goes: the same, unless OUT is elsewhere
RAW = Path(os.environ.get("CODED_RESNEXT_DATA", ROOT / "data" / "raw")).resolve()


def is_plain(name: str) -> bool:
    """Whether a name can stand for a file or folder of ours: none that climbs out, hides, or has a drive or a NUL."""
    return re.fullmatch(r"\w[\w.-]*", name) is not None


def remember(kind: str, name: str, path: Path) -> None:
    """Let a name stand for a folder or file anywhere, from now on and in other processes; kept with the runs.

    Args:
        kind: "data" or "preset".
    Raises:
        ValueError: the name stands for another one that is still there, or is no plain name.
    """
    if not is_plain(name):
        raise Refused(f"{kind} {name!r} must be a plain file name: letters, digits, . _ -")
    known = recall(kind, name)
    if known == path.resolve():
        return
    if known is not None and known.exists():
        raise Refused(
            f"{kind} {name!r} is {known} already, so that its runs are told apart: rename {path}, or "
            f"remove {_entry(kind, name)}"
        )
    write_atomically(_entry(kind, name), to_json({"path": str(path.resolve())}).encode())


def recall(kind: str, name: str) -> Path | None:
    """What a name was given to, or None."""
    entry = _entry(kind, name)
    if not is_plain(name) or not entry.is_file():
        return None
    path = read_json(entry, "remove it and give the path again").get("path")
    if not isinstance(path, str):
        raise BadFile(f"{entry} is damaged (it names no path): remove it and give the path again")
    return Path(path)


def remembered(kind: str) -> list[str]:
    """The names that were given."""
    return sorted(path.stem for path in (RUNS / ".own" / kind).glob("*.json"))


def _entry(kind: str, name: str) -> Path:
    return RUNS / ".own" / kind / f"{name}.json"
