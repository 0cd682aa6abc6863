"""The benchmark of subnetworks takes turns and says what it measured."""

from importlib.util import find_spec

import numpy as np
import pytest

from coded_resnext import CodedResNeXt, latency, load_scheme
from coded_resnext.records import read_record
from coded_resnext.subnetwork_tables import latency_table


def test_networks_take_turns_after_one_run_each():
    calls = []
    networks = {name: lambda images, name=name: calls.append(name) for name in ("a", "b")}
    seconds = latency.time_alternating(networks, np.zeros(1), rounds=3)
    assert calls == ["a", "b"] * 4
    assert [len(values) for values in seconds.values()] == [3, 3]


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed (the extra [export])")
def test_the_record_has_all_that_the_notebook_shows(monkeypatch):
    """With a small network in place of the paper's."""
    schemes = {"layer2": load_scheme(10, 10, 3)}
    monkeypatch.setattr(
        latency, "coded_resnext29_10x11d", lambda: CodedResNeXt([1, 1], 10, 10, 1, width=4, schemes=schemes)
    )
    text = latency.bench_subnetwork(rounds=6)
    record = read_record("benchmark", "latency", "resnext29-10x11d")
    keys = [f"speedup_{runtime}_{batch}" for runtime in ("pytorch", "onnx_runtime") for batch in latency.BATCHES]
    assert set(record["metrics"]) == {*keys, "fewer_multiply_adds"}
    table = latency_table(record)
    assert len(table) == 8
    assert (table["lower quartile"] <= table["ms"]).all()
    assert len(text.splitlines()) == 2 + 8 + 1
