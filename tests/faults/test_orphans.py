"""Kernels end with the process that started them, however early it is killed."""

import os
import subprocess
import sys
import time

import psutil
from faults.subreaper import subreaper

RUN = """
import sys
from pathlib import Path
from coded_resnext.reproduction.notebooks.strict import run
run("11_paper_vs_ours", {}, Path(sys.argv[1]))
"""
STARTED = 60.0  # seconds until a process is there
ENDED = 30.0  # and until it is gone: it looks every second, once it has started itself


def test_a_kernel_ends_with_what_started_it(tmp_path):
    """One that was still starting took the process that inherits orphans for its parent, and waited for ever."""
    with (
        subreaper(),
        subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "out.ipynb")]) as process,
    ):
        kernel = wait_for(lambda: psutil.Process(process.pid).children(), STARTED)[0]  # so early
        process.kill()
        process.wait()
        try:
            wait_for(lambda: not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE, ENDED)
        finally:
            kernel.kill()
            os.waitpid(kernel.pid, 0)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found
