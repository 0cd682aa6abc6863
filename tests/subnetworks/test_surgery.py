"""Adding and forgetting classes: what must stay the same does, and a new class is learned."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from coded_resnext import CodedResNeXt, CodingLoss, CodingScheme, load_images, load_scheme, predict
from coded_resnext.data.batches import eval_batches
from coded_resnext.evaluation.prediction import percent_equal
from coded_resnext.subnetworks.surgery import path_masks, spare_codeword, train_new_class, with_new_class, without_class

CPU = torch.device("cpu")


def nine(active):
    """The shipped scheme of ten classes, without its last word: surely one more fits."""
    return CodingScheme(load_scheme(10, 10, active).words[:9])


@pytest.fixture
def network(randomise_batch_norm):
    torch.manual_seed(0)
    schemes = {"layer2": nine(5), "layer3": nine(3)}
    return randomise_batch_norm(CodedResNeXt([1, 1, 1], 9, 10, 2, width=8, in_channels=1, schemes=schemes)).eval()


@pytest.mark.parametrize("scheme", [nine(5), nine(3), CodingScheme(load_scheme(100, 20, 4).words[:80])])
def test_a_spare_codeword_keeps_weight_and_distance(scheme):
    longer = CodingScheme(np.vstack([scheme.words, spare_codeword(scheme)]))
    assert longer.num_active == scheme.num_active
    assert longer.min_distance >= scheme.min_distance


def test_a_spare_codeword_takes_branches_that_are_free():
    words = np.zeros((2, 6), dtype=int)
    words[0, :2] = words[1, 1:3] = 1  # distance 2
    assert spare_codeword(CodingScheme(words))[3:].sum() == 2


def test_surgery_keeps_how_images_are_prepared_and_the_precision(network):
    names = tuple("abcdefghi")
    network.knows({"name": "made-up", "classes": names, "mean": [0.5], "std": [0.5], "image_size": 8}, crop=False)
    network.double()
    more, fewer = with_new_class(network), without_class(network, 4)
    assert more.class_names == (*names, "new")
    assert fewer.class_names == tuple("abcdfghi")
    assert more.preparation == fewer.preparation == network.preparation
    assert torch.equal(more.conv1.weight, network.conv1.weight)


def test_a_full_scheme_has_no_room():
    with pytest.raises(ValueError, match=r"no room for one more word.*design_scheme\(5, 4, 1\)"):
        spare_codeword(CodingScheme(np.eye(4)))


def test_a_new_class_leaves_the_other_logits(network):
    images = torch.randn(3, 1, 8, 8)
    more = with_new_class(network)
    assert more.num_classes == 10
    assert torch.equal(more(images)[:, :9], network(images))
    assert all(np.array_equal(more.schemes[n].words[:9], s.words) for n, s in network.schemes.items())


def test_forgetting_leaves_the_other_logits(network):
    images = torch.randn(3, 1, 8, 8)
    fewer = without_class(network, 4)
    rest = [0, 1, 2, 3, 5, 6, 7, 8]
    used = all((scheme.words[rest].any(axis=0)).all() for scheme in network.schemes.values())
    assert used  # every branch works for somebody else, so that nothing is silenced
    assert torch.allclose(fewer(images), network(images)[:, rest], atol=1e-6)


def test_forgetting_silences_branches_of_nobody_else(randomise_batch_norm):
    schemes = {"layer2": CodingScheme(np.eye(3, 10))}
    model = randomise_batch_norm(CodedResNeXt([1, 1], 3, 10, 2, width=8, schemes=schemes)).eval()
    fewer = without_class(model, 1)
    assert fewer.layer2[0].conv3.weight[:, 4:8].abs().sum() == 0  # branch 1; d is 4 in the second stage
    assert torch.equal(fewer.layer2[0].conv3.weight[:, :4], model.layer2[0].conv3.weight[:, :4])


def test_training_a_class_changes_its_path_and_row_only(network):
    images = load_images("digits", "train").subset(range(64))
    model = with_new_class(network)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    train_new_class(model, images, 9, mu=1.0, epochs=1, learning_rate=0.01, batch_size=32, seed=0)
    masks, changed = path_masks(model, 9), set()
    for key, value in model.state_dict().items():
        difference = (value - before[key]).abs()
        frozen = difference * (1 - masks[key]) if key in masks else difference
        assert frozen.max() == 0, key
        if difference.max() > 0:
            changed.add(key)
    assert changed == set(masks)


def test_a_network_learns_a_tenth_digit_and_keeps_the_others():
    """Trained without nines for some epochs, then with them on their path alone; on most digits, for it is quick."""
    torch.manual_seed(0)
    test, train = (load_images("digits", split) for split in ("train", "test"))
    schemes = {"layer2": nine(5), "layer3": nine(3)}
    model = CodedResNeXt([1, 1, 1], 9, 10, 2, width=8, in_channels=1, schemes=schemes)
    known = train.subset((train.labels < 9).nonzero()[:, 0])
    optimiser, loss = torch.optim.SGD(model.parameters(), 0.1, 0.9), CodingLoss(model.schemes)
    for epoch in range(6):
        order = np.random.default_rng(epoch).permutation(len(known))
        for pixels, labels in eval_batches(known.subset(order), 64, CPU):
            logits, energies = model.train()(pixels, return_energies=True)
            (F.cross_entropy(logits, labels) + 2 * loss(energies, labels)).backward()
            optimiser.step()
            optimiser.zero_grad()
    others = test.subset((test.labels < 9).nonzero()[:, 0])
    nines = test.subset((test.labels == 9).nonzero()[:, 0])
    before = predict(model, others, 500, CPU).accuracy(others.labels)
    more = with_new_class(model)
    train_new_class(more, train, 9, mu=2.0, epochs=4, learning_rate=0.02, batch_size=64, seed=0)
    after = predict(more, others, 500, CPU).accuracy(others.labels)
    found = percent_equal(predict(more, nines, 500, CPU).logits.argmax(1), nines.labels)
    assert before > 90
    assert found > 60
    assert after > before - 8  # nines are taken for others' digits, and their branches are shared
    fewer = without_class(more, 9)
    assert predict(fewer, others, 500, CPU).accuracy(others.labels) >= after  # one rival less


def test_plain_networks_and_unknown_classes_are_refused(network):
    with pytest.raises(ValueError, match="plain"):
        with_new_class(CodedResNeXt([1], 9, 10, 2, width=8))
    with pytest.raises(ValueError, match=r"class 9 is not in 0 … 8"):
        without_class(network, 9)


def test_a_thousand_classes_of_imagenet_have_room_for_one_more():
    """A million random words held none for (1000, 32, 16), at 4 GB of memory; the code it comes from has some."""
    scheme = load_scheme(1000, 32, 16)
    tracemalloc.start()
    word = spare_codeword(scheme)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert CodingScheme(np.vstack([scheme.words, word])).min_distance == scheme.min_distance
    assert peak < 500e6
