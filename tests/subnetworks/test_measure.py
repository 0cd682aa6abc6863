"""What subnetworks are worth, on networks whose answers can be worked out otherwise; tables and figures of it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from coded_resnext import CodedResNeXt, CodingScheme, class_mask, load_images, load_scheme, paths, predict
from coded_resnext.data.sets import normalise
from coded_resnext.reproduction.figures.style import save
from coded_resnext.reproduction.figures.subnetworks import coupling as draw_coupling
from coded_resnext.reproduction.figures.subnetworks import (
    coupling_table,
    latency_table,
    profile_table,
    single_table,
    size_table,
    subset_table,
)
from coded_resnext.reproduction.figures.subnetworks import subset_curves as draw_subsets
from coded_resnext.reproduction.records.paper import paper
from coded_resnext.subnetworks import measure as subsets
from coded_resnext.subnetworks.measure import (
    cohesion,
    coupling,
    jaccard,
    single_classes,
    size,
    subset_curves,
    subset_sizes,
)
from coded_resnext.training.parameters import TrainingParameters, to_plain

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load_images("digits", "test").subset(range(80))


@pytest.fixture
def network(randomise_batch_norm):
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    return randomise_batch_norm(CodedResNeXt([1, 1, 1], 10, 10, 2, width=8, in_channels=1, schemes=schemes)).eval()


def normalised(images):
    return normalise(images.pixels, images.mean, images.std)


def test_single_classes_are_masked_networks(network, digits):
    full = predict(network, digits, 80, CPU)
    rows = single_classes(network, full, digits, 30, CPU)
    assert [row["class"] for row in rows] == list(digits.classes)
    pixels = normalised(digits)
    with torch.inference_mode():
        masked = network(pixels, branch_mask=class_mask(network.schemes, [7]))[:, 7]
    truth = (digits.labels == 7).numpy()
    assert rows[7]["average_precision"] == pytest.approx(average_precision_score(truth, masked.numpy()))
    assert rows[7]["average_precision_full"] == pytest.approx(average_precision_score(truth, full.logits[:, 7].numpy()))
    assert len({(row["parameters"], row["multiply_adds"]) for row in rows}) == 1


def test_subset_curves_count_only_the_classes(network, digits, monkeypatch):
    """Against masked networks whose logits compete among the chosen classes, by the labels' own numbers."""
    monkeypatch.setattr(subsets, "SUBSETS", 2)
    chosen = []
    original = subsets.extract_subnetwork
    monkeypatch.setattr(subsets, "extract_subnetwork", lambda m, c: chosen.append(c.tolist()) or original(m, c))
    full = predict(network, digits, 80, CPU)
    rows = subset_curves(network, full, digits, 30, CPU, seed=0)
    assert [row["classes"] for row in rows] == [m for m in range(2, 10) for _ in range(2)] + [10]
    pixels = normalised(digits)
    for row, classes in list(zip(rows, chosen, strict=True))[::3]:
        mine = torch.isin(digits.labels, torch.tensor(classes))
        others = torch.ones(10).index_fill(0, torch.tensor(classes), 0).bool()
        with torch.inference_mode():
            masked = network(pixels[mine], branch_mask=class_mask(network.schemes, classes))
        for key, logits in (("accuracy", masked), ("accuracy_full", full.logits[mine])):
            right = logits.masked_fill(others, -np.inf).argmax(1) == digits.labels[mine]
            assert row[key] == pytest.approx(100 * right.double().mean().item())
        assert row["images"] == int(mine.sum())
    assert rows[-1]["accuracy"] == rows[-1]["accuracy_full"]
    assert subset_curves(network, full, digits, 80, CPU, seed=0) == rows


@pytest.mark.parametrize(("classes", "sizes"), [(3, [2, 3]), (10, range(2, 11)), (100, [2, 3, 5, 10, 20, 50, 100])])
def test_sizes_of_subsets_end_with_all(classes, sizes):
    assert list(subset_sizes(classes)) == list(sizes)


def test_coupling_of_energies_that_are_codewords_is_as_designed():
    scheme = load_scheme(10, 10, 3)
    labels = torch.arange(10).repeat(4)
    energies = torch.tensor(scheme.words[labels], dtype=torch.float32)
    rows = coupling({"layer3.0": scheme}, {"layer3.0": energies}, labels)
    assert sum(row["pairs"] for row in rows) == 45
    for row in rows:
        assert row["measured"] == pytest.approx(row["designed"])
        assert row["designed"] <= row["bound"] == pytest.approx((3 - 2) / (3 + 2))
    assert max(row["designed"] for row in rows) == pytest.approx(rows[0]["bound"])  # some pair is at distance 4


def test_uniform_energies_overlap_wholly():
    scheme, labels = CodingScheme(np.eye(4)), torch.arange(4)
    (row,) = coupling({"layer2.0": scheme}, {"layer2.0": torch.ones(4, 4)}, labels)
    assert (row["designed"], row["bound"], row["measured"]) == (0, 0, 1)
    assert jaccard(np.array([1.0, 0, 1]), np.array([0, 1.0, 1])) == pytest.approx(1 / 3)


def test_one_image_a_class_has_no_cohesion():
    assert cohesion({"layer2.0": torch.rand(3, 4)}, torch.arange(3)) == []


def test_cohesion_and_coupling_pair_by_pair():
    """Three images of two classes: written out."""
    energies = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.6, 0.4], [0.0, 0.5, 1.5]])
    (row,) = cohesion({"layer2.0": energies}, torch.tensor([0, 0, 1]))
    # Bits 110, 110 and 011.
    assert row["cohesion"] == 1.0
    assert row["coupling"] == pytest.approx(1 / 3)
    unit = energies.double().numpy() / np.linalg.norm(energies.double(), axis=1, keepdims=True)
    assert row["cosine_within"] == pytest.approx(unit[0] @ unit[1])
    assert row["cosine_between"] == pytest.approx((unit[0] @ unit[2] + unit[1] @ unit[2]) / 2)


def test_codewords_as_energies_are_cohesive_and_couple_as_designed():
    scheme, labels = load_scheme(10, 10, 3), torch.arange(10).repeat(4)
    energies = {"layer3.0": torch.tensor(scheme.words[labels], dtype=torch.float32)}
    (row,) = cohesion(energies, labels)
    assert (row["cohesion"], row["cosine_within"]) == (1.0, pytest.approx(1.0))
    by_design = coupling({"layer3.0": scheme}, energies, labels)
    assert row["coupling"] == pytest.approx(sum(pair["designed"] * pair["pairs"] for pair in by_design) / 45)


def record(network, digits, accuracy=2.0, **changes):
    """As the stage writes it, with made-up curves."""
    full = predict(network, digits, 80, CPU)
    singles = single_classes(network, full, digits, 80, CPU)
    one = {key: value for key, value in singles[0].items() if key not in ("class", "average_precision")}
    curves = [
        {**one, "classes": m, "repeat": r, "accuracy": 90.0 + r, "accuracy_full": 90.0 + r - accuracy, "images": 80}
        for m in (2, 3) for r in range(2)
    ]  # fmt: skip
    parameters = to_plain(TrainingParameters()) | changes
    return json.loads(json.dumps({
        "stage": "subnetworks", "name": "x", "parameters": parameters, "full": size(network, 8), "singles": singles,
        "curves": curves, "coupling": coupling(network.schemes, full.energies, digits.labels),
    }))  # fmt: skip


def test_tables_average_coded_runs_and_leave_ablations_out(network, digits):
    records = [record(network, digits), record(network, digits, 4.0, seed=1), record(network, digits, 9.0, mu=1.0)]
    table = subset_table(records).set_index("classes")
    assert table.loc[2, "subsets"] == 4
    assert table.loc[2, "accuracy"] == pytest.approx(90.5)
    assert table.loc[2, "difference"] == pytest.approx(3)
    sizes = size_table(records, paper("kept-parameters", "digits")).set_index("count")
    row = sizes.loc["parameters"]
    assert row["%"] == pytest.approx(100 * row["one class"] / row["full"])
    assert sizes["paper, %"].dropna().tolist() == [38]
    assert len(single_table(records)) == 10
    assert set(coupling_table(records)["block"]) == {"layer2.0", "layer3.0"}


def test_figures_are_drawn_from_records_alone(network, digits, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    records = [record(network, digits)]
    for draw, table in ((draw_subsets, subset_table(records)), (draw_coupling, coupling_table(records))):
        first, second = (save(draw(table), "digits", stem).png.read_bytes() for stem in ("first", "second"))
        assert first == second
    script = (
        "import sys, coded_resnext.reproduction.figures.subnetworks;"
        "sys.exit('torch' in sys.modules)"
    )  # fmt: skip
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0



def test_latency_compares_with_the_full_network_of_the_same_runtime_and_batch():
    points = [
        {"runtime": "PyTorch", "batch": b, "at_once": a, "network": n, "seconds": s, "runs": 3}
        | dict.fromkeys(("lower_quartile", "upper_quartile"), s)
        for b, a, n, s in [(1, 1, "full", 0.3), (1, 1, "one class", 0.2), (64, 8, "full", 8.0), (64, 64, "full", 16.0)]
    ]
    table = latency_table({"points": points, "environment": {"device": "a CPU"}})
    assert table["times faster"].tolist() == pytest.approx([1, 1.5, 1, 1])
    assert table["images/s"].tolist() == pytest.approx([1 / 0.3, 5, 8, 4])


def test_profile_compares_part_with_part():
    points = [
        {"batch": 1, "at_once": 1, "network": network, "part": part, "seconds": seconds, "multiply_adds": cost}
        for network, part, seconds, cost in [
            ("full", "stem", 0.1, 10), ("full", "conv", 0.3, 90), ("one class", "conv", 0.15, 30),
            ("one class", "stem", 0.1, 10),
        ]
    ]  # fmt: skip
    table = profile_table({"points": points, "environment": {"device": "a CPU"}}).set_index("part")
    assert table.loc["conv", "times faster"] == pytest.approx(2)
    assert table.loc["conv", "times fewer multiply-adds"] == pytest.approx(3)
    assert table["% of full"].to_dict() == pytest.approx({"stem": 25, "conv": 75})
