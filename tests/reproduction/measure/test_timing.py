"""The benchmarks of subnetworks take turns and say what they measured."""

import time
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from coded_resnext import CodedResNeXt, extract_subnetwork, load_scheme
from coded_resnext.network.cost import multiply_adds
from coded_resnext.reproduction.figures.subnetworks import latency_table, profile_table
from coded_resnext.reproduction.measure import timing


@pytest.fixture
def small(monkeypatch):
    """A small network in place of the paper's: two coded blocks, one with a projection, after one without codewords."""

    def make(coded=True):
        schemes = {"layer2": load_scheme(10, 10, 3)} if coded else {}
        return CodedResNeXt([1, 2], 10, 10, 1, width=4, schemes=schemes)

    monkeypatch.setattr(timing, "coded_resnext29_10x11d", make)
    return make().eval()


def test_a_batch_is_given_in_pieces_that_make_it_up():
    given = []
    timing.in_pieces(lambda piece: given.append(piece.tolist()), 2, np.arange(5))()
    assert given == [[0, 1], [2, 3], [4]]


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed (the extra [export])")
def test_the_record_has_all_that_the_notebook_shows(small):
    record = timing.bench_subnetwork(rounds=6)
    keys = [f"speedup_{runtime}_{size}" for runtime in ("pytorch", "onnx_runtime") for size in ("1", "64", "64_whole")]
    assert set(record["metrics"]) == {*keys, "fewer_multiply_adds"}
    table = latency_table(record)
    assert len(table) == 12
    assert (table["lower quartile"] <= table["ms"]).all()


def test_steps_as_a_gpu_makes_them(small, monkeypatch):
    """In bfloat16 and compiled, but for the compiler's last step, which needs a C++ compiler on a CPU."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiled(model, backend="aot_eager"))
    monkeypatch.setattr(timing, "GPU_BATCH", 4)
    rows = timing._fast_steps(rounds=2)
    assert [row["network"] for row in rows] == ["plain", "coded"]
    assert all((row["batch"], row["precision"], row["compiled"]) == (4, "bfloat16", True) for row in rows)
    assert all(row["runs"] == 2 and row["seconds"] > 0 for row in rows)


@pytest.mark.parametrize("classes", [None, [3]])
def test_multiply_adds_of_the_parts_are_those_of_the_network(small, classes):
    model = extract_subnetwork(small, classes) if classes else small
    parts = timing.costs_by_part(model)
    assert sum(parts.values()) == multiply_adds(model, timing.IMAGE_SIZE).total
    full = timing.costs_by_part(small)
    assert all(parts[part] == full[part] for part in timing.UNCUT)
    assert all((parts[part] < full[part]) == bool(classes) for part in set(timing.PARTS) - set(timing.UNCUT))


def test_parts_take_all_of_the_time_and_none_twice(small):
    folded = timing.channels_last(small)
    network = timing.in_pytorch(folded)
    images = timing.random_images(16)
    network(images)
    with timing.timed_parts(folded) as parts:
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
    folded = timing.channels_last(small)
    slow = folded.layer2[0].downsample.forward
    folded.layer2[0].downsample.forward = lambda x: (time.sleep(0.05), slow(x))[1]
    with timing.timed_parts(folded) as parts:
        timing.in_pytorch(folded)(timing.random_images(1))
    assert parts[timing.PROJECTIONS] >= 0.05
    assert max(parts, key=parts.get) == timing.PROJECTIONS


def test_the_profile_has_all_that_the_notebook_shows(small):
    record = timing.profile_subnetwork(rounds=6)
    table = profile_table(record)
    assert len(table) == 3 * len(timing.PARTS)
    assert table["% of full"].sum() == pytest.approx(300)
    sizes = ("1", "64", "64_whole", "multiply_adds")
    assert all(0 < record["metrics"][f"uncut_percent_{size}"] < 100 for size in sizes)
    assert timing.PROJECTIONS in set(table["part"])
