"""Nothing is downloaded but what a preset names: training, prediction, tables and a notebook without a network."""

import os
import subprocess
import sys

# In every process that Python starts with it, kernels too. An audit hook cannot be taken away, and what it refuses is
# written down, since who wants to download may go on without. Kernels are spoken to by sockets of this machine.
HOOK = """
import os, sys

LOCAL = ("127.0.0.1", "::1", "localhost", "", None)

def refuse(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.bind"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path is a socket of this machine
    else:
        return
    if host not in LOCAL:
        with open(os.environ["REFUSED"], "a") as file:
            print(event, host, file=file)
        raise OSError(f"no network for {event} {host}")

sys.addaudithook(refuse)
"""
SCRIPT = """
import contextlib, socket, sys
from coded_resnext.__main__ import main
from coded_resnext.reproduction.figures.tables import accuracy_table
from coded_resnext.reproduction.records.records import read_stage

with contextlib.suppress(OSError):
    socket.create_connection(("192.0.2.1", 80), timeout=5)  # for documentation, nobody's
small = ("layers=[1,1,1]", "width=4", "branch_width=1", "epochs=1", "warmup_epochs=0")
assert main(["train", "digits", "offline", *(word for change in small for word in ("-p", change))]) == 0
assert main(["predict", sys.argv[1], "--model", "cifar10-small"]) == 0
print(accuracy_table(read_stage("digits", "accuracy")))
assert main(["run", "11_paper_vs_ours"]) == 0
"""


def test_nothing_is_downloaded(tmp_path):
    from PIL import Image

    (tmp_path / "sitecustomize.py").write_text(HOOK)
    Image.linear_gradient("L").convert("RGB").resize((32, 32)).save(tmp_path / "grey.png")
    refused = tmp_path / "refused"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "REFUSED": str(refused), "CODED_RESNEXT_OUT": str(tmp_path / "out"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "grey.png")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert refused.read_text().splitlines() == ["socket.getaddrinfo 192.0.2.1"]
