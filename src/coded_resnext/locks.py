"""One process at a time in a folder: two trainings of one run would rename each other's half-written files away.

The lock is the operating system's, on a file that stays where it is: flock, on Windows a locked byte. It goes with the
process that holds it, however that ends, so a dead process's lock is none. Between machines that share a folder it
holds where the file system passes it on, as Linux does over NFS; where it cannot, a note says so.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import InUse

LOCK = ".lock"
# Seconds until another process is believed. Workers that read images may outlive a killed training, whose lock they
# inherit: torch lets them look for it every 5 s. And a reader may be finishing what it left.
PATIENCE = 8.0


@contextlib.contextmanager
def held(folder: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold a folder, which is made if need be; another process gets `patience` seconds to end, PATIENCE by default.

    Raises:
        InUse: another process holds it, with the lock's file and how to clear it.
        OSError: a folder that cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    holder = _holder(path)  # before: some versions of filelock empty the file when they ask for it
    lock = FileLock(path, timeout=PATIENCE if patience is None else patience)
    try:
        lock.acquire()
    except Timeout:
        raise InUse(
            f"{folder} is in use by {holder}: wait until it ends, or stop it. The lock {path} goes with its process; "
            f"where a file server kept it for one that is dead, remove that file"
        ) from None
    except NotImplementedError:
        print(f"note: {folder} cannot be locked on its file system: start nothing else there", file=sys.stderr)
        yield
        return
    try:
        with contextlib.suppress(OSError):  # Windows lets nobody write what is locked
            path.write_text(f"process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")[:60] or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"
