"""A training that is killed at any moment goes on as if it had not been.

SIGKILL cannot be caught: the process has no chance to tidy up. Each training runs in a forked process of one
interpreter, which has imported torch but not used it.
"""

import subprocess
import sys

SCRIPT = r"""
import dataclasses, os, signal, sys
import torch
torch.set_num_threads(1)
from coded_resnext import files
from coded_resnext.reproduction.measure import train as measure
from coded_resnext.training import checkpoint, epochs
from coded_resnext.training import fit as training
from coded_resnext.data.sets import load_images
from coded_resnext.training.parameters import TrainingParameters
from coded_resnext.files import sha256

splits = {split: load_images("digits", split) for split in ("train", "test")}  # read once, not by every process
training.load_images = lambda name, split, image_size, seed: splits[split]
import sklearn.model_selection, torch.utils.data, torch._dynamo

BASE = TrainingParameters(
    layers=(1, 1, 1), width=4, branch_width=1, epochs=3, warmup_epochs=1, batch_size=64, norm_batch=64
)

def die_at(place, count):
    # Replace a function by one that kills its process at the count-th call.
    owner, name = place
    original, calls = getattr(owner, name), [0]
    def wrapped(*args, **kwargs):
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)
    setattr(owner, name, wrapped)

def train(name, place=None, count=0):
    pid = os.fork()
    if pid == 0:
        if place:
            die_at(place, count)
        measure.train(dataclasses.replace(BASE, name=name))
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def weights(name):
    return sha256(checkpoint.run_folder("digits", name) / "model.safetensors")

assert train("never") == 0
step, write, rename = (epochs.Epochs, "_backward"), (files.os, "fsync"), (os, "replace")
# 4 steps an epoch; a checkpoint has 3 files, each written once and renamed twice
moments = [(step, 1), (step, 6), (step, 12)] + [(write, n) for n in (1, 5, 6)] + [(rename, n) for n in range(7, 13)]
for place, count in moments:
    name = f"killed-{place[1]}-{count}"
    status = train(name, place, count)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (name, status)
    assert train(name) == 0
    print(name, "same" if weights(name) == weights("never") else "DIFFERENT")
"""


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CODED_RESNEXT_OUT", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("same") == 12
    assert "DIFFERENT" not in done.stdout


def test_a_training_killed_from_outside(tmp_path, monkeypatch):
    """The parent sends SIGKILL after the line of the second epoch; the run goes on behind its last checkpoint."""
    monkeypatch.setenv("CODED_RESNEXT_OUT", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    changes = ["layers=[1, 1, 1]", "width=4", "branch_width=1", "epochs=12", "warmup_epochs=1"]
    command = [sys.executable, "-m", "coded_resnext", "train", "digits", "outside"]
    command += [word for change in changes for word in ("-p", change)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.strip().startswith("3/12"):
                process.kill()
                break
    assert process.returncode == -9
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    first = again.stderr.split("left\n")[1].split("/")[0]
    assert 2 <= int(first) <= 4  # behind the first checkpoint, or a later one on a slow machine
    assert "12/12" in again.stderr
