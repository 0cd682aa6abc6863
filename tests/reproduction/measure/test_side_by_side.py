"""Runs side by side: as good as one after the other, and stopped together."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from coded_resnext.__main__ import _values, main
from coded_resnext.errors import RunsFailed
from coded_resnext.reproduction.measure.side_by_side import train_together, variant_name
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
    with pytest.raises(ValueError, match="no value that YAML can read"):
        _values(["mu=["])


def test_two_runs_are_trained_at_once_and_projected(capfd):
    train_together("digits", ["coded-s0", "plain-s0"], SMALL, "pair")
    said = capfd.readouterr()
    for kind in ("coded", "plain"):
        record = read_record("digits", "training", f"{kind}-pair-s0")
        assert record["parameters"]["coded"] == (kind == "coded")
        assert len(record["history"]) == 2
        assert f"{kind}-pair-s0  1 epochs to go at" in said.out
    assert "coded-pair-s0    2/2" in said.err


def test_unknown_runs_and_failing_ones_are_named(capfd):
    assert main(["together", "digits", "coded-s00"]) == 1
    assert "did you mean 'coded-s0'" in capfd.readouterr().err
    with pytest.raises(RunsFailed, match="coded-broken-s0 stopped with an error"):
        train_together("digits", ["coded-s0"], {"layers": [0]}, "broken")


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
