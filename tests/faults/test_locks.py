"""Two processes on one folder: the second is refused, and a dead one's lock is no lock."""

import os
import subprocess
import sys
import time

import psutil
import pytest
import torch

from coded_resnext import files, locks, paths
from coded_resnext.errors import InUse
from coded_resnext.files import write_atomically
from coded_resnext.locks import LOCK, held
from coded_resnext.reproduction.notebooks import reproduce as notebooks
from coded_resnext.training import fit as training
from coded_resnext.training.checkpoint import Description, load_checkpoint, save_checkpoint
from coded_resnext.training.fit import fit
from coded_resnext.training.parameters import TrainingParameters

TINY = TrainingParameters(
    name="locks", layers=(1, 1, 1), width=4, branch_width=1, epochs=1, warmup_epochs=0, batch_size=256, norm_batch=256
)
HOLDER = """
import sys, time
from pathlib import Path
from coded_resnext.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
DATA = {"name": "digits", "classes": list("01"), "mean": [0.5], "std": [0.5], "image_size": 8}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.2)


@pytest.fixture
def other(tmp_path):
    """A process that holds tmp_path, until it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_is_there_and_a_dead_process_is_nobody(other, tmp_path):
    with (
        pytest.raises(InUse, match=rf"{tmp_path} is in use by process {other.pid}, since .*The lock {tmp_path / LOCK}"),
        held(tmp_path),
    ):
        pass
    other.kill()
    other.wait()
    with held(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / LOCK).read_text()
    with held(tmp_path):  # and again, since it was let go
        pass


def test_a_run_that_is_being_trained_is_refused_and_nothing_of_it_is_touched(other, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InUse, match=f"in use by process {other.pid}"):
        fit(TINY, folder=tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    other.kill()
    other.wait()
    (tmp_path / f"model.safetensors.{other.pid}.tmp").write_text("half")
    assert fit(TINY, folder=tmp_path).finished
    names = [LOCK, "checkpoint.json", "model.safetensors", "optimiser.pt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_finished_run_is_read_while_it_is_held(tmp_path, request):
    trained = fit(TINY, folder=tmp_path)
    request.getfixturevalue("other")
    assert fit(TINY, folder=tmp_path).weights_hash == trained.weights_hash


def test_the_other_processes_of_a_training_learn_that_it_is_refused(tmp_path, monkeypatch):
    """They hold nothing themselves, and would wait for the first one."""

    class First:
        is_main_process = False

    heard = []
    monkeypatch.setattr(training, "broadcast_object_list", lambda objects: heard.append(objects) or [InUse("in use")])
    with pytest.raises(InUse), training._alone_in(tmp_path / "run", First()):
        pass
    assert heard == [[None]]
    assert not (tmp_path / "run").exists()


def test_a_reader_leaves_a_living_process_its_files(tmp_path, request):
    """It helped between two renames of an update, and could rename the next one's files, which do not count yet."""
    weights, more = {"w": torch.zeros(3)}, {"w": torch.ones(3)}
    save_checkpoint(tmp_path, weights, {}, Description({"epochs": 2}, {}, {}, DATA, epoch=1))
    save_checkpoint(tmp_path / "next", more, {}, Description({"epochs": 2}, {}, {}, DATA, epoch=2))
    for name in ("model.safetensors", "optimiser.pt", "checkpoint.json"):
        (tmp_path / "next" / name).rename(tmp_path / f"{name}.new")
    other = request.getfixturevalue("other")
    with pytest.raises(InUse):
        load_checkpoint(tmp_path)
    assert len(list(tmp_path.glob("*.new"))) == 3
    other.kill()
    other.wait()
    assert load_checkpoint(tmp_path).description.epoch == 2
    assert not list(tmp_path.glob("*.new"))


def test_two_reproductions_of_one_preset(monkeypatch):
    monkeypatch.setattr(notebooks, "_execute_all", lambda *_: pytest.fail("began to work"))
    with held(paths.RUNS / "digits" / "notebooks"), pytest.raises(InUse, match=r"notebooks/\.lock"):
        notebooks.reproduce("digits")


def test_processes_write_one_file_by_two_names(tmp_path, monkeypatch):
    """Under one name the second emptied what the first was about to rename."""
    path = tmp_path / "file"
    fsync = os.fsync

    def another_writes(descriptor):
        monkeypatch.setattr(files.os, "fsync", fsync)
        monkeypatch.setattr(files.os, "getpid", lambda: 1)
        write_atomically(path, b"the other's")
        monkeypatch.undo()
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", another_writes)
    write_atomically(path, b"mine")
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


JOB = """
import functools, os, sys, time
from pathlib import Path
from coded_resnext.reproduction.measure.side_by_side import side_by_side

def job(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    side_by_side({"job": functools.partial(job, sys.argv[1])}, 1)
"""


def test_a_training_beside_others_ends_when_what_started_it_is_killed(tmp_path):
    """It went on alone, and then waited for ever for more to do."""
    (tmp_path / "start.py").write_text(JOB)
    told = tmp_path / "pid"
    with subprocess.Popen([sys.executable, str(tmp_path / "start.py"), str(told)]) as process:
        wait_until(lambda: told.is_file() and told.read_text())
        process.kill()
    pid = int(told.read_text())
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
