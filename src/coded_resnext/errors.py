"""Errors that are the user's to mend: the command line reports them as one line, all others with their traceback.

And the words of such lines.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path


class CodedResNeXtError(Exception):
    """Base of the project's own errors."""


class Refused(CodedResNeXtError, ValueError):
    """A value that cannot be; the message names it and says what was expected."""


class WrongType(CodedResNeXtError, TypeError):
    """A value of another type than was expected."""


class Missing(CodedResNeXtError, FileNotFoundError):
    """A file or a record that is not there; the message says what makes it."""


class BadFile(Refused):
    """A file that cannot be used, damaged or of something else; the message says which, why, and what to do."""


class CheckpointError(BadFile):
    """A checkpoint, or what is kept like one: shipped weights, a subnetwork, a calibration, an ONNX file."""


class InUse(CodedResNeXtError, RuntimeError):
    """A folder that another process is writing; the message names its lock."""


class TrainingDiverged(CodedResNeXtError, ArithmeticError):
    """The loss is no number any more; the last good checkpoint is kept."""


class NotebookFailed(CodedResNeXtError, RuntimeError):
    """A cell raised; the message has the notebook, the cell, the error and where the executed copy is."""


class NothingToShow(CodedResNeXtError, LookupError):
    """A figure or table that a preset's records do not have; the message says what is missing and what makes it."""


class NotEqual(CodedResNeXtError, ArithmeticError):
    """Two forms of one network answered differently; the message says by how much."""


class RunsFailed(CodedResNeXtError, RuntimeError):
    """Some of several runs that were started side by side stopped; the message names them."""


def on_one_line(text: str) -> str:
    """A text whose control characters are spelled out: a class may have a line break or an escape code in its name.

    And what of a file's name is no Unicode, which could not be printed.
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda found: repr(found[0])[1:-1], text)


def not_here(what: str, folder: Path) -> str:
    """An error that helps where the package was installed without its repository."""
    return f"no {what} in {folder}: they come with the repository, not with the package alone; use a clone of it"


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    """An error that helps: what is unknown, and what may have been meant."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}?" if close else f"known: {', '.join(sorted(known))}"
    return f"unknown {what} {name!r}{f' for {where}' if where else ''}; {hint}"
