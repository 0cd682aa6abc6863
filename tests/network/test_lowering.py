"""What coding costs a GPU, counted without one."""

import re
import subprocess
import sys

import pytest

from coded_resnext.paths import PACKAGE

SCRIPT = PACKAGE.parents[1] / "scripts" / "gpu" / "lowering.py"


def megabytes(form: str) -> float:
    """An image's part of a training step of ResNeXt-29 (10×11d); in another process, for torch is told of a GPU."""
    ran = subprocess.run([sys.executable, SCRIPT, "29", form, "512"], capture_output=True, text=True)
    if re.search("^(ImportError|ModuleNotFoundError)", ran.stderr, re.MULTILINE):  # private names of another torch
        pytest.skip(f"this torch cannot be lowered for a GPU: {ran.stderr.splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr
    return float(re.search(r"^total +([\d.]+) MB an image$", ran.stdout, re.MULTILINE)[1])


@pytest.mark.slow
def test_coding_moves_little_more_through_memory():
    """A GPU's limit here is memory bandwidth, so this is what a coded step costs: 7 % more; 17 with Gram sums."""
    pytest.importorskip("triton", reason="without triton Inductor lowers nothing for a GPU")
    assert megabytes("coded") < 1.08 * megabytes("plain")
