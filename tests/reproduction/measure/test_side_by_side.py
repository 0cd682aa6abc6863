"""Runs side by side: as good as one after the other, and stopped together."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from coded_resnext.__main__ import _values, main
from coded_resnext.errors import RunsFailed
from coded_resnext.reproduction.measure import side_by_side
from coded_resnext.reproduction.measure.side_by_side import Log, train_together, variant_name
from coded_resnext.reproduction.records.records import read_record
from coded_resnext.training.checkpoint import load_checkpoint, run_folder
from coded_resnext.training.parameters import TrainingParameters, build

EPOCHS = 12  # long enough to be stopped in
SMALL = {"layers": [1, 1, 1], "width": 4, "branch_width": 1, "warmup_epochs": 1, "epochs": 2}


def test_variants_keep_their_seed_at_the_end():
    assert variant_name("coded-s0", "60-epochs") == "coded-60-epochs-s0"
    assert variant_name("plain-s0", "") == "plain-s0"


def test_values_come_back_from_the_command_line_as_they_were():
    for value in (1e-05, "", "rand-m4-n3", True, 2, [3, 3], {"layer2": 5}):
        assert _values([f"key={json.dumps(value)}"])["key"] in (value, str(value))  # 1e-05 is text to YAML
    assert build(TrainingParameters, _values(["mu=1e-2"]), "here").mu == 0.01
    with pytest.raises(ValueError, match="'mu=\\[' is no YAML"):
        _values(["mu=["])


def test_two_runs_are_trained_at_once_and_projected(capfd):
    train_together("digits", ["coded-s0", "plain-s0"], SMALL | {"epochs": 3}, "pair")
    said = capfd.readouterr()
    for kind in ("coded", "plain"):
        record = read_record("digits", "training", f"{kind}-pair-s0")
        assert record["parameters"]["coded"] == (kind == "coded")
        assert len(record["history"]) == 3
        assert f"{kind}-pair-s0  1 epochs to go at" in said.out
    assert "coded-pair-s0    3/3" in said.err


def test_the_epoch_that_compiles_projects_nothing(capfd):
    """Of a run that goes on from a checkpoint too: it compiles anew."""
    log = Log("coded-s0")
    print("  epoch     loss   coding    train      val  last block   img/s     left", file=log)
    print(" 21/60    0.4120   0.0183    88.10    87.52       87.31     412   26 min", file=log)
    assert capfd.readouterr().out == ""
    print(" 22/60    0.4020   0.0180    88.30    87.60       87.40    9876   41 s", file=log)
    print(" 23/60    0.4010   0.0180    88.30    87.60       87.40    9999   40 s", file=log)
    said = capfd.readouterr()
    assert said.out == "coded-s0  38 epochs to go at 9876 images/s: 41 s\n"
    assert said.err.splitlines()[-1].startswith("coded-s0   23/60 ")


@pytest.mark.parametrize(("runs", "cuda", "said"), [(2, True, 1), (1, True, 0), (2, False, 0)])
def test_runs_that_share_a_card_say_so_once(runs, cuda, said, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(side_by_side, "side_by_side", lambda jobs, at_once: {})
    train_together("digits", ["coded-s0", "plain-s0"][:runs], {}, "shared")
    assert capsys.readouterr().out.count("take turns") == said


def test_a_process_that_is_killed_fails_alone(tmp_path, capfd):
    jobs = {"killed": functools.partial(os._exit, 9), "wrong": functools.partial(int, "x")}
    jobs |= {"whole": functools.partial((tmp_path / "done").write_text, "done")}
    errors = side_by_side.side_by_side(jobs, 2)
    assert [(name, type(error).__name__) for name, error in errors.items()] == [
        ("killed", "BrokenProcessPool"), ("wrong", "ValueError")
    ]  # fmt: skip
    assert (tmp_path / "done").read_text() == "done"


def test_unknown_runs_and_impossible_ones_are_refused(capfd):
    assert main(["together", "digits", "coded-s00"]) == 1
    assert "did you mean 'coded-s0'" in capfd.readouterr().err
    with pytest.raises(ValueError, match="run coded-broken-s0: layers must be block counts"):  # before any starts
        train_together("digits", ["coded-s0"], {"layers": [0]}, "broken")


@pytest.fixture
def damaged():
    """A run whose checkpoint cannot be read, where the processes that are started look for it."""
    folder = run_folder("digits", "coded-damaged-s0")
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text("{")
    yield "damaged"
    shutil.rmtree(folder)  # others evaluate all runs there


def test_a_run_that_fails_is_named_with_its_reason(damaged):
    with pytest.raises(RunsFailed, match=r"coded-damaged-s0 stopped with an error; .*\n.*checkpoint.json is damaged"):
        train_together("digits", ["coded-s0"], SMALL, damaged)


def test_stopping_stops_all_and_starting_again_goes_on():
    command = [sys.executable, "-m", "coded_resnext", "together", "digits", "coded-s0", "--suffix", "stopped"]
    for key, value in (SMALL | {"epochs": EPOCHS}).items():
        command += ["-p", f"{key}={value}"]
    process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    folder = run_folder("digits", "coded-stopped-s0")
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.json").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    reached = load_checkpoint(folder).description.epoch
    assert 0 < reached < EPOCHS
    time.sleep(1.5)
    assert load_checkpoint(folder).description.epoch == reached  # no child trains on
    assert subprocess.run(command, env=dict(os.environ), capture_output=True, timeout=300).returncode == 0
    assert len(read_record("digits", "training", "coded-stopped-s0")["history"]) == EPOCHS
