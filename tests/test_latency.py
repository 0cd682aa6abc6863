"""The benchmarks of subnetworks take turns and say what they measured."""

import time
from importlib.util import find_spec

import numpy as np
import pytest

from coded_resnext import CodedResNeXt, extract_subnetwork, load_scheme
from coded_resnext.network.cost import multiply_adds
from coded_resnext.reproduction.figures.subnetworks import latency_table, profile_table
from coded_resnext.reproduction.measure import latency, profiling
from coded_resnext.reproduction.records.records import read_record


@pytest.fixture
def small(monkeypatch):
    """A small network in place of the paper's: two coded blocks, one with a projection, after one without codewords."""

    def make():
        return CodedResNeXt([1, 2], 10, 10, 1, width=4, schemes={"layer2": load_scheme(10, 10, 3)})

    monkeypatch.setattr(latency, "coded_resnext29_10x11d", make)
    return make().eval()


def test_networks_take_turns_after_one_run_each():
    calls = []
    networks = {name: lambda images, name=name: calls.append(name) for name in ("a", "b")}
    seconds = latency.time_alternating(networks, np.zeros(1), rounds=3)
    assert calls == ["a", "b"] * 4
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_a_batch_is_given_in_pieces_that_make_it_up():
    given = []
    images = np.arange(5)
    latency.in_pieces(lambda piece: given.append(piece.tolist()), 2)(images)
    assert given == [[0, 1], [2, 3], [4]]


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed (the extra [export])")
def test_the_record_has_all_that_the_notebook_shows(small):
    text = latency.bench_subnetwork(rounds=6)
    record = read_record("benchmark", "latency", "resnext29-10x11d")
    keys = [f"speedup_{runtime}_{size}" for runtime in ("pytorch", "onnx_runtime") for size in ("1", "64", "64_whole")]
    assert set(record["metrics"]) == {*keys, "fewer_multiply_adds"}
    table = latency_table(record)
    assert len(table) == 12
    assert (table["lower quartile"] <= table["ms"]).all()
    assert len(text.splitlines()) == 2 + 12 + 1


@pytest.mark.parametrize("classes", [None, [3]])
def test_multiply_adds_of_the_parts_are_those_of_the_network(small, classes):
    model = extract_subnetwork(small, classes) if classes else small
    parts = profiling.costs_by_part(model)
    assert sum(parts.values()) == multiply_adds(model, latency.IMAGE_SIZE).total
    full = profiling.costs_by_part(small)
    assert all(parts[part] == full[part] for part in profiling.UNCUT)
    assert all((parts[part] < full[part]) == bool(classes) for part in set(profiling.PARTS) - set(profiling.UNCUT))


def test_parts_take_all_of_the_time_and_none_twice(small):
    folded = latency.channels_last(small)
    network = latency.in_pytorch(folded)
    images = latency.random_images(16)
    network(images)
    with profiling.timed_parts(folded) as parts:
        begun = time.perf_counter()
        network(images)
        whole = time.perf_counter() - begun
    assert all(seconds > 0 for seconds in parts.values())
    assert 0.5 * whole < sum(parts.values()) <= whole  # the rest is between the parts
    seen = dict(parts)
    network(images)
    assert parts == seen, "a hook is left"


def test_a_slow_part_is_the_part_that_is_named(small):
    """What a projection takes is not counted as its block's rest."""
    folded = latency.channels_last(small)
    slow = folded.layer2[0].downsample.forward
    folded.layer2[0].downsample.forward = lambda x: (time.sleep(0.05), slow(x))[1]
    with profiling.timed_parts(folded) as parts:
        latency.in_pytorch(folded)(latency.random_images(1))
    assert parts[profiling.PROJECTIONS] >= 0.05
    assert max(parts, key=parts.get) == profiling.PROJECTIONS


def test_the_profile_has_all_that_the_notebook_shows(small):
    text = profiling.profile_subnetwork(rounds=6)
    record = read_record("benchmark", "profile", "resnext29-10x11d")
    table = profile_table(record)
    assert len(table) == 3 * len(profiling.PARTS)
    assert table["% of full"].sum() == pytest.approx(300)
    sizes = ("1", "64", "64_whole", "multiply_adds")
    assert all(0 < record["metrics"][f"uncut_percent_{size}"] < 100 for size in sizes)
    assert profiling.PROJECTIONS in text
