"""A disk that is full, a folder that cannot be written or is taken away: one clear line, and nothing half done."""

import dataclasses
import os
import shutil

import pytest

from coded_resnext import files, paths
from coded_resnext.__main__ import main
from coded_resnext.reproduction.measure.train import train
from coded_resnext.reproduction.records.records import record_path
from coded_resnext.training import fit as training
from coded_resnext.training.checkpoint import load_checkpoint, run_folder
from coded_resnext.training.parameters import TrainingParameters

TINY = TrainingParameters(
    name="disk", layers=(1, 1, 1), width=4, branch_width=1, epochs=2, warmup_epochs=0, batch_size=256, norm_batch=256
)
WRITES = 10  # of a run whose every epoch is saved: three checkpoints of three files, and the record


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    for name in ("RUNS", "RESULTS", "FIGURES"):
        monkeypatch.setattr(paths, name, tmp_path / name)
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)


def fill_disk(monkeypatch, at):
    """From the `at`-th file on, the kernel has no room for what is written."""
    fsync, count = os.fsync, [0]

    def full(descriptor):
        count[0] += 1
        if count[0] >= at:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", full)
    return count


def left_over(folder):
    return [path for pattern in ("*.tmp", "*.new") for path in folder.rglob(pattern)]


def test_a_disk_that_fills_at_any_file_loses_nothing(monkeypatch, tmp_path):
    """The error names the file, the last checkpoint loads, and with room again the run ends as it would have."""
    with monkeypatch.context() as patch:
        count = fill_disk(patch, at=1000)
        whole = train(dataclasses.replace(TINY, name="whole"))["checkpoint"]
    assert count == [WRITES]
    for at in range(1, WRITES + 1):
        run = dataclasses.replace(TINY, name=f"full-{at}")
        with monkeypatch.context() as patch:
            fill_disk(patch, at)
            with pytest.raises(OSError, match=r"could not write \S+ \(No space left on device\); what was there"):
                train(run)
        assert not left_over(tmp_path)
        checkpoint = load_checkpoint(run_folder(run.preset, run.name))
        assert (0 if checkpoint is None else checkpoint.description.epoch) == min(2, (at - 1) // 3)
        assert not record_path(run.preset, "training", run.name).exists()
        assert train(run)["checkpoint"] == whole


@pytest.mark.parametrize("place", ["RUNS", "RESULTS"])
def test_a_folder_that_cannot_be_written(place, capsys):
    """A file is in its place, which stops root too."""
    getattr(paths, place).write_text("not a folder")
    changes = ("layers=[1,1,1]", "width=4", "branch_width=1", "epochs=1", "warmup_epochs=0")
    arguments = ["train", "digits", "disk", *(word for change in changes for word in ("-p", change))]
    assert main(arguments) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert str(getattr(paths, place)) in errors[0]


def test_figures_that_cannot_be_written(capsys):
    paths.FIGURES.write_text("not a folder")
    assert main(["figures", "digits"]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: [Errno 20] could not write {paths.FIGURES}/digits/")


def test_a_run_whose_folder_is_taken_away_is_whole_at_the_end(monkeypatch):
    """Every checkpoint is all three files, so the next one needs nothing of those before."""
    folder = run_folder(TINY.preset, TINY.name)
    monkeypatch.setattr(training, "_print_row", lambda row, epochs: row["epoch"] == 2 and shutil.rmtree(folder))
    record = train(TINY)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.weights_hash == record["checkpoint"]
    assert checkpoint.weights()
    assert not left_over(folder)
