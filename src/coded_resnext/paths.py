"""Every folder of the project, as constants.

pytest and nbval run in a notebook's folder, papermill in the caller's: nothing here depends on
the current directory, unless the package was installed without the repository around it.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = PACKAGE.parents[1]
IS_CHECKOUT = (_CHECKOUT / "pyproject.toml").is_file()
ROOT = _CHECKOUT if IS_CHECKOUT else Path.cwd()

NOTEBOOKS = ROOT / "notebooks"
PRESETS = NOTEBOOKS / "presets"
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
