"""What a kernel does before it runs a notebook: it looks out for the process that started it.

ipykernel does so too, from the end of its own start on: a process that was killed before has left its kernel to another
parent, for which ipykernel then looks out. Where that is a session manager, the kernel waits for ever.
"""

from __future__ import annotations

import os
import threading
import time

EVERY = 1.0  # seconds


def first_line(parent: int) -> str:
    """What a kernel is told to execute first; it leaves no name behind, for names are parameters of notebooks."""
    return f"__import__({__name__!r}, fromlist=['end_with']).end_with({parent})"


def end_with(parent: int) -> None:
    """End this process when `parent` is no longer its parent; on Windows, where it stays that, ipykernel alone does."""
    threading.Thread(target=_look_out, args=(parent,), daemon=True).start()


def _look_out(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(EVERY)
    os._exit(1)
