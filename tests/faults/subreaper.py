"""Orphans go to this process, as they go to the session manager of a desktop: their parent has another pid than 1."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@contextlib.contextmanager
def subreaper() -> Iterator[None]:
    """Nothing elsewhere than on Linux.

    Raises:
        OSError: the kernel refuses.
    """
    _set(1)
    try:
        yield
    finally:
        _set(0)


def _set(value: int) -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
