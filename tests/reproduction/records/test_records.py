"""Records: what they hold, and what is refused."""

import json
import math

import pytest

from coded_resnext import files, paths
from coded_resnext.descriptions import SEAL
from coded_resnext.files import write_atomically
from coded_resnext.reproduction.records import records
from coded_resnext.reproduction.records.records import begin, metric, read_record, read_stage, record_path, write_record


def write(preset="records", stage="accuracy", name="coded-s0", metrics=None, **more):
    return write_record(
        preset, stage, name, parameters={"mu": 6.0}, seed=0, checkpoint=None,
        metrics={"accuracy": 99.0} if metrics is None else metrics, beginning=begin("CPU"), seconds=1.0, **more,
    )  # fmt: skip


def test_what_is_written_is_read():
    record = write(curves=[{"block": "layer2.0", "accuracy": 90.0}])
    assert read_record("records", "accuracy", "coded-s0") == record
    assert set(record) == {
        *("schema", "stage", "name", "parameters", "seed", "checkpoint", "metrics", "history"),
        *("environment", "started", "seconds", "curves"),
    }
    text = record_path("records", "accuracy", "coded-s0").read_text(encoding="utf-8")
    assert list(json.loads(text)) == sorted([*record, SEAL])
    assert "/" not in text.replace("1 x CPU", "")  # no path of any machine


def test_own_records_replace_committed_ones(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "COMMITTED_RESULTS", tmp_path / "committed")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "committed")
    write(preset="p", name="a", metrics={"accuracy": 1.0})
    write(preset="p", name="b", metrics={"accuracy": 2.0})
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "own")
    write(preset="p", name="b", metrics={"accuracy": 3.0})
    assert [record["metrics"]["accuracy"] for record in read_stage("p", "accuracy")] == [1.0, 3.0]
    assert read_record("p", "accuracy", "c") is None


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "99"])
def test_a_metric_is_a_finite_number(value):
    with pytest.raises(ValueError, match="metric 'accuracy' of accuracy-coded-s0 must be a finite number"):
        write(metrics={"accuracy": value})


def test_another_schema_or_a_damaged_file_is_named():
    write(name="old")
    path = record_path("records", "accuracy", "old")
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 0').replace(f'"{SEAL}"', '"of before"'))
    with pytest.raises(ValueError, match=r"accuracy-old\.json has schema 0, this version reads 1"):
        read_record("records", "accuracy", "old")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"accuracy-old\.json is damaged"):
        read_record("records", "accuracy", "old")
    path.unlink()


def test_a_missing_metric_is_named():
    with pytest.raises(ValueError, match="accuracy-coded-s0 has no metric 'recall', but accuracy"):
        metric(write(), "recall")


def test_a_failed_write_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"could not write \S*file \(No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_record_names_the_code_that_ran_not_the_code_that_is_there_when_it_ends(monkeypatch):
    monkeypatch.setattr(records, "_git", lambda command, *_: {"rev-parse": "before", "status": ""}[command])
    beginning = begin("CPU")
    monkeypatch.setattr(records, "_git", lambda command, *_: {"rev-parse": "after", "status": " M x.py"}[command])
    record = write_record(
        "records", "accuracy", "later", parameters={}, seed=0, checkpoint=None, metrics={}, beginning=beginning
    )
    assert (record["environment"]["commit"], record["environment"]["dirty"]) == ("before", False)
    assert 0 <= record["seconds"] < 60


def test_an_installed_package_has_no_commit(monkeypatch):
    """The folder it is used in may be another project's checkout."""
    assert records.environment("CPU")["commit"]
    monkeypatch.setattr(paths, "IS_CHECKOUT", False)
    environment = records.environment("CPU")
    assert (environment["commit"], environment["dirty"]) == (None, None)
