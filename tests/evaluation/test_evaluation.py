"""What the evaluations claim, on networks whose answers can be worked out otherwise."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from coded_resnext import CodedResNeXt, class_mask, load_images, predict
from coded_resnext.codes.scheme import load_scheme
from coded_resnext.data.batches import eval_batches
from coded_resnext.evaluation import binary
from coded_resnext.evaluation.binary import (
    average_precisions,
    best_threshold,
    binary_classifiers,
    binary_logits,
    codeword_distances,
    logit_histograms,
    path_logits,
    sample_negatives,
    training_threshold,
    training_thresholds,
)
from coded_resnext.evaluation.examples import GROUPS, MANY, choose_examples, choose_foreign
from coded_resnext.evaluation.prediction import Predictions, class_energies, confusion_counts, early_decoding
from coded_resnext.evaluation.removal import branch_removal, removal_by_block, removal_by_class
from coded_resnext.network.class_paths import ClassPaths
from coded_resnext.training.checkpoint import Checkpoint, Description
from coded_resnext.training.parameters import TrainingParameters, to_plain
from coded_resnext.training.run import Run

CPU = torch.device("cpu")


def test_predictions_do_not_depend_on_the_batch_size(network, digits):
    whole, parts = predict(network, digits, 60, CPU), predict(network, digits, 7, CPU)
    assert torch.allclose(whole.logits, parts.logits, atol=1e-5)  # float32, other kernels for other shapes
    assert list(whole.energies) == list(network.schemes)


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_a_network_computes_in_its_own_precision(precision, network, digits):
    expected = predict(network, digits, 60, CPU)
    found = predict(copy.deepcopy(network).to(precision), digits, 60, CPU)
    assert {found.logits.dtype, *(value.dtype for value in found.energies.values())} == {torch.float32}
    tolerance = 0.05 if precision == torch.bfloat16 else 1e-5
    assert (found.logits - expected.logits).abs().max() < tolerance * expected.logits.abs().max()


def test_early_decoding_counts_right_answers(network, digits):
    predictions = predict(network, digits, 60, CPU)
    rows = {row["block"]: row["accuracy"] for row in early_decoding(predictions, network.schemes, digits.labels)}
    assert list(rows) == [*network.schemes, "softmax"]
    words = torch.tensor(network.schemes["layer3.0"].words, dtype=torch.float32)
    nearest = torch.cdist(predictions.energies["layer3.0"], words).argmin(1)
    assert rows["layer3.0"] == pytest.approx(100 * (nearest == digits.labels).float().mean().item())


def test_what_is_taken_for_what(network, digits):
    predictions = predict(network, digits, 60, CPU)
    counts = confusion_counts(predictions, digits.labels)
    expected = torch.zeros(10, 10, dtype=torch.int64)
    for label, answer in zip(digits.labels.tolist(), predictions.logits.argmax(1).tolist(), strict=True):
        expected[label, answer] += 1
    assert torch.equal(counts, expected)


def test_removing_no_branch_changes_nothing(network, digits):
    rows = branch_removal(network, digits, "layer2.1", repeats=2, seed=0, batch_size=25, device=CPU)
    full = predict(network, digits, 60, CPU).accuracy(digits.labels)
    assert all(row["accuracy"] == pytest.approx(full) for row in rows if row["removed"] == 0)
    assert {(row["set"], row["removed"]) for row in rows} == set(itertools.product(("active", "inactive"), range(6)))
    again = branch_removal(network, digits, "layer2.1", repeats=2, seed=0, batch_size=17, device=CPU)
    for row, same in zip(rows, again, strict=True):
        assert np.array_equal(row.pop("right"), same.pop("right"))
        assert row == same


def test_removing_all_of_a_set_is_a_mask(network, digits):
    """Nothing random is left: every image keeps its class's branches, or all others."""
    rows = branch_removal(network, digits, "layer2.1", repeats=1, seed=0, batch_size=60, device=CPU)
    words = torch.tensor(network.schemes["layer2.1"].words)[digits.labels]
    images = torch.cat([x for x, _ in _batches(digits)])
    for which, keep in (("inactive", words), ("active", ~words)):
        with torch.inference_mode():
            right = network(images, branch_mask={"layer2.1": keep}).argmax(1) == digits.labels
        (row,) = [row for row in rows if row["set"] == which and row["removed"] == 5]
        assert row["accuracy"] == pytest.approx(100 * right.double().mean().item())
        assert np.array_equal(row["right"], right.numpy())


def test_a_removal_takes_the_stated_number_of_members(network, digits, monkeypatch):
    masks = []
    original = network.forward_blocks

    def watch(x, start=0, stop=None, branch_mask=None):
        masks.extend((branch_mask or {}).values())
        return original(x, start, stop, branch_mask)

    monkeypatch.setattr(network, "forward_blocks", watch)
    branch_removal(network, digits, "layer3.0", repeats=1, seed=0, batch_size=60, device=CPU)
    words = torch.tensor(network.schemes["layer3.0"].words)[digits.labels]
    removed = [(~mask).sum(1).unique().tolist() for mask in masks]
    assert removed == [[i] for i in range(4)] + [[i] for i in range(8)]
    for mask in masks[:4]:
        assert (mask | words).all()
    for mask in masks[4:]:
        assert (mask | ~words).all()


def test_binary_logits_are_those_of_the_masked_network(network, digits):
    """Sharing the blocks before the first coded one is only cheaper."""
    logits, _ = binary_logits(network, network.schemes, digits, 25, CPU)
    images = torch.cat([x for x, _ in _batches(digits)])
    for k in (0, 7):
        with torch.inference_mode():
            whole = network(images, branch_mask=class_mask(network.schemes, [k]))[:, k]
        assert torch.allclose(logits[:, k], whole, atol=1e-4)


def test_a_path_can_be_cut_by_another_codeword_and_a_plain_network_by_any(network, digits):
    plain = CodedResNeXt([1, 2, 1], 10, 10, 2, width=8, in_channels=1).eval()
    plain.load_state_dict(network.state_dict())
    images = torch.cat([x for x, _ in _batches(digits)])
    for model in (network, plain):
        _, logits = binary_logits(model, network.schemes, digits, 60, CPU)
        for k, codeword in ((2, 3), (9, 0)):
            with torch.inference_mode():
                whole = model(images, branch_mask=class_mask(network.schemes, [codeword]))[:, k]
            assert torch.allclose(logits[:, k], whole, atol=1e-4)


def test_removing_every_inactive_branch_is_the_binary_classifier(network, digits):
    """Figure 2a's last inactive removal, done in all blocks at once, leaves what figure 2b measures."""
    images = torch.cat([x for x, _ in _batches(digits)])
    logits, _ = binary_logits(network, network.schemes, digits, 60, CPU)
    with torch.inference_mode():
        masks = {name: torch.tensor(scheme.words)[digits.labels] for name, scheme in network.schemes.items()}
        removed = network(images, branch_mask=masks)
    own = digits.labels[:, None]
    assert torch.allclose(removed.gather(1, own), logits.gather(1, own), atol=1e-4)


def test_average_precision_is_1_for_perfect_logits_and_the_share_of_positives_for_useless_ones():
    logits, images = made_up(4)
    assert average_precisions(logits, images) == [1.0] * 4
    assert average_precisions(torch.zeros_like(logits), images) == [0.25] * 4


def test_a_run_normalises_every_image_as_in_training(tmp_path):
    """A deployed classifier cannot know whose image it is shown; nor has a test set constants of its own."""
    data = {"mean": [0.4], "std": [0.2], "image_size": 8, "classes": list("0123456789")}
    training = to_plain(TrainingParameters())
    checkpoint = Checkpoint(tmp_path, Description(training, {}, {}, data), "hash")
    run = Run(checkpoint)
    for images in (run.train, run.test, run.foreign):
        assert (images.mean, images.std) == ((0.4,), (0.2,))


def f1(positives, negatives, threshold):
    hits = (positives >= threshold).sum()
    return 2 * hits / (len(positives) + hits + (negatives >= threshold).sum())


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_f1_maximum(seed):
    """Against every threshold that separates scores, ties included."""
    rng = np.random.default_rng(seed)
    positives, negatives = rng.normal(1, 1, 30).round(1), rng.normal(0, 1, 50).round(1)
    candidates = np.concatenate([positives, negatives, [-10.0]])
    best = max(f1(positives, negatives, t) for t in candidates)
    assert f1(positives, negatives, best_threshold(positives, negatives)) == pytest.approx(best, rel=1e-12)


def test_the_threshold_lies_between_separable_scores():
    assert best_threshold(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.5
    assert best_threshold(np.array([2.0, 3.0]), np.array([5.0])) == 2.0  # nothing lies below what is accepted


def made_up(num_classes, per_class=4):
    """Perfect logits: 1 for the right class, −1 for the others."""
    labels = torch.arange(num_classes).repeat_interleave(per_class)
    classes = tuple(str(k) for k in range(num_classes))
    images = dataclasses.replace(load_images("digits", "test"), labels=labels, classes=classes)
    return 2.0 * torch.nn.functional.one_hot(labels, num_classes) - 1, images


def test_perfect_logits_make_perfect_classifiers():
    made = made_up(3)
    foreign = torch.full((8, 3), -1.0)
    foreign[:2] = 1.0
    for point in binary_classifiers([0.0] * 3, made, foreign, seed=0):
        assert (point.threshold, point.recall, point.precision, point.average_precision) == (0, 100, 100, 1)
        assert point.precision_out == pytest.approx(100 * 4 / 6)  # 4 of its own, 2 foreign ones accepted
    without = binary_classifiers([0.0] * 3, made, None, seed=0)[0]
    assert without.precision_out is None


def test_negatives_are_sampled_with_many_classes():
    """Nine a positive, by seed, without replacement; recall does not depend on which negatives were drawn."""
    negatives = np.arange(1000.0)
    drawn = sample_negatives(negatives, 10, 0, 1)
    assert len(set(drawn)) == len(drawn) == 90
    assert np.array_equal(drawn, sample_negatives(negatives, 10, 0, 1))
    assert not np.array_equal(drawn, sample_negatives(negatives, 10, 0, 2))
    assert len(sample_negatives(negatives[:30], 10, 0)) == 30
    noisy = made_up(12)
    logits = noisy[0] + torch.randn(noisy[0].shape, generator=torch.Generator().manual_seed(0))
    first, second = (binary_classifiers([0.0] * 12, (logits, noisy[1]), None, seed=0) for _ in range(2))
    assert first == second


def test_histograms_count_every_image():
    made = made_up(3)
    rows = logit_histograms(made, torch.zeros(5, 3), classes=2)
    assert [row["class"] for row in rows] == ["0", "1"]
    for row in rows:
        assert (sum(row["positives"]), sum(row["negatives"]), sum(row["foreign"])) == (4, 8, 5)
        assert len(row["edges"]) == len(row["positives"]) + 1


def _batches(images):
    from coded_resnext.data.batches import eval_batches

    return eval_batches(images, 60, CPU)


def test_prediction_leaves_the_networks_mode_alone(network, digits):
    for training in (True, False):
        network.train(training)
        predict(network, digits, 60, CPU)
        assert network.training == training


def test_thresholds_of_many_classes_go_through_the_images_they_are_found_on(randomise_batch_norm, digits, monkeypatch):
    """Nine negatives a positive and draw, and the same thresholds as from the logits of all images."""
    monkeypatch.setattr(binary, "FEW_CLASSES", 5)
    monkeypatch.setattr(binary, "THRESHOLD_DRAWS", 1)
    monkeypatch.setattr(binary, "NEGATIVES_PER_POSITIVE", 2)
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5)}
    model = CodedResNeXt([1, 1], 10, 10, 2, width=8, in_channels=1, schemes=schemes)
    model = randomise_batch_norm(model).double().eval()
    monkeypatch.setattr(binary, "eval_batches", lambda *args: ((x.double(), y) for x, y in eval_batches(*args)))
    seen, on_paths = [], []
    shared, logits = ClassPaths.shared, ClassPaths.logits
    monkeypatch.setattr(ClassPaths, "shared", lambda self, x: (seen.append(len(x)), shared(self, x))[1])
    monkeypatch.setattr(ClassPaths, "logits", lambda self, x, k: (on_paths.append(len(x)), logits(self, x, k))[1])
    found = training_thresholds(model, model.schemes, digits, seed=0, batch_size=25, device=CPU)
    assert (sum(seen), sum(on_paths)) == (len(digits), 3 * len(digits))
    logits, _ = binary_logits(model, model.schemes, digits, 60, CPU)
    expected = [training_threshold(logits[:, k].__getitem__, digits, k, seed=0) for k in range(10)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_every_class_on_every_path(network, digits):
    """The diagonal is the binary classifiers, the next row the other codeword they are held against."""
    every = path_logits(network, network.schemes, digits, 25, CPU)
    own, another = binary_logits(network, network.schemes, digits, 25, CPU)
    assert every.shape == (60, 10, 10)
    assert torch.equal(every.diagonal(dim1=1, dim2=2), own)
    assert all(torch.equal(every[:, (k + 1) % 10, k], another[:, k]) for k in range(10))


def test_codewords_differ_over_the_schemes_of_a_network(network):
    """Blocks that share a scheme count once."""
    distances = codeword_distances(network.schemes)
    words = [load_scheme(10, 10, ones).words for ones in (5, 3)]
    assert distances[2, 7] == sum((scheme[2] != scheme[7]).sum() for scheme in words)
    assert (distances == distances.T).all()
    assert not distances.diagonal().any()


def test_removal_by_block_has_the_ends_of_figure_2a(network, digits):
    rows = {row["block"]: row for row in removal_by_block(network, digits, batch_size=25, device=CPU)}
    assert list(rows) == list(network.schemes)
    curve = branch_removal(network, digits, "layer2.1", repeats=2, seed=0, batch_size=60, device=CPU)
    for which in ("active", "inactive"):
        ends = {row["accuracy"] for row in curve if row["set"] == which and row["removed"] == 5}
        assert ends == {rows["layer2.1"][which]}


def test_removal_by_class_is_a_mask(network, digits):
    whole, without = removal_by_class(network, digits, "layer2.1", batch_size=25, device=CPU)
    images = torch.cat([x for x, _ in _batches(digits)])
    for n, row in [(None, whole), (3, without[3])]:
        keep = torch.ones(1, 10, dtype=torch.bool)
        if n is not None:
            keep[0, n] = False
        with torch.inference_mode():
            right = network(images, branch_mask={"layer2.1": keep.expand(60, -1)}).argmax(1) == digits.labels
        shares = [100 * right[digits.labels == k].double().mean().item() for k in range(10)]
        assert row == pytest.approx(shares, abs=1e-3)


def test_example_images_are_what_their_group_says():
    """Energies are codewords of what each block answers, so that margins differ by how sure they are."""
    schemes = {"layer2.0": load_scheme(10, 10, 5), "layer3.0": load_scheme(10, 10, 3)}
    labels = torch.arange(10).repeat(9)
    first = labels.clone()
    first[::3] = (first[::3] + 1) % 10
    sure = torch.where(torch.arange(90) % 2 == 0, 1.0, 0.5)
    words = {name: torch.tensor(scheme.words, dtype=torch.float32) for name, scheme in schemes.items()}
    energies = {"layer2.0": words["layer2.0"][first] * sure[:, None], "layer3.0": words["layer3.0"][labels]}
    logits = torch.eye(10)[labels]
    logits[:6] = 0.0  # answered 0
    chosen = choose_examples(Predictions(logits, energies), schemes, labels, seed=0)
    assert [*chosen, "foreign"] == list(GROUPS)
    assert all(0 < len(indices) <= MANY for indices in chosen.values())
    wrong = torch.arange(90) % 3 == 0
    assert not wrong[chosen["easy"]].any()
    assert wrong[chosen["late"]].all()
    assert wrong[chosen["wrong early"]].all()
    assert (sure[chosen["wrong early"]] == 1.0).all()
    right = logits.argmax(1) == labels
    assert right[torch.cat(list(chosen.values()))].all()
    again = choose_examples(Predictions(logits, energies), schemes, labels, seed=0)
    assert all(torch.equal(chosen[group], again[group]) for group in chosen)
    assert len(choose_foreign(4, seed=0).unique()) == 4


def test_energies_of_a_class_sum_to_its_active_branches(network, digits):
    """A row of equation 3 sums to N_act; what inactive branches carry is the rest of what active ones do."""
    predictions = predict(network, digits, 60, CPU)
    rows = {row["block"]: row for row in class_energies(predictions, network.schemes, digits.labels)}
    for name, scheme in network.schemes.items():
        assert np.sum(rows[name]["energies"], axis=1) == pytest.approx(np.full(10, scheme.num_active), abs=1e-2)
        spent = predictions.energies[name].numpy()
        active = (spent * scheme.words[digits.labels]).sum() / spent.sum()
        assert rows[name]["inactive_share"] == pytest.approx(100 * (1 - active), abs=1e-3)
