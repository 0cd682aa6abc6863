"""Files that are either whole or not there, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

TEMPORARY = ".tmp"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there, also when several processes write it: the last one's stays.

    Raises:
        OSError: naming the file, for instance when the disk is full; what was there before stays.
    """
    # A name of this process's own: two that write into one file would rename a mixture of both.
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = f"could not write {path} ({error.strerror}); what was there before is kept"
        raise OSError(error.errno, reason) from error


def forget_temporary(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder that nobody else is writing."""
    for path in folder.glob(f"*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
