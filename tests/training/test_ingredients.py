"""What a run is made of: whose codewords, and which weights it starts from."""

import dataclasses

import numpy as np
import pytest
import torch

from coded_resnext import CodedResNeXt, assign_classes, load_images
from coded_resnext.codes.scheme import CodingScheme, load_scheme
from coded_resnext.errors import CheckpointError, CodedResNeXtError
from coded_resnext.training.fit import fit
from coded_resnext.training.ingredients import choose_schemes, network_options, start_from
from coded_resnext.training.own import plain_init, recipe_for, survey
from coded_resnext.training.parameters import TrainingParameters

BASE = TrainingParameters(name="ingredients", layers=(1, 1, 1), width=4, branch_width=1, epochs=2, warmup_epochs=1)
BUILT_IN = load_scheme(10, 10, 5)


@pytest.fixture(scope="module")
def images():
    return load_images("digits", "train")


def with_scheme(scheme, **changes):
    return dataclasses.replace(BASE, scheme=str(scheme), **changes)


def test_permuted_words_are_the_built_in_ones_in_an_order_that_the_seed_draws(images):
    first, again, other = (choose_schemes(with_scheme("permuted", seed=seed), images) for seed in (1, 1, 2))
    assert first == again
    assert first["layer2"] != other["layer2"]
    for scheme in (first["layer2"], other["layer2"]):
        assert scheme != BUILT_IN
        assert sorted(map(bytes, scheme.words)) == sorted(map(bytes, BUILT_IN.words))


def test_random_words_differ_and_are_no_design(images):
    drawn = [choose_schemes(with_scheme("random", seed=seed), images)["layer2"] for seed in range(20)]
    assert len(set(drawn)) == 20
    assert {scheme.num_active for scheme in drawn} == {5}
    assert {scheme.min_distance for scheme in drawn} == {2, 4}  # the built-in ones are 4 apart in any case
    # Any place of the ten is as likely to be a one as any other.
    ones = np.stack([scheme.words for scheme in drawn]).sum(axis=(0, 1))
    assert abs(ones - 100).max() < 4 * np.sqrt(200 * 0.5 * 0.5)


def test_a_file_goes_where_its_ratio_does(images, tmp_path):
    own = CodingScheme(np.roll(BUILT_IN.words, 1, axis=1))
    own.save(tmp_path / "own.txt")
    schemes = choose_schemes(with_scheme(tmp_path / "own.txt"), images)
    assert schemes == {"layer2": own, "layer3": load_scheme(10, 10, 3)}
    assert not choose_schemes(with_scheme(tmp_path / "own.txt", coded=False), images)


def test_words_dealt_by_a_confusion_table_come_back_by_their_file(images, tmp_path):
    """What the README tells to do with an accuracy record."""
    confusion = np.random.default_rng(0).integers(0, 20, (10, 10)).tolist()
    dealt = assign_classes(BUILT_IN, np.array(confusion))
    dealt.save(tmp_path / "dealt.txt")
    assert dealt != BUILT_IN
    assert choose_schemes(with_scheme(tmp_path / "dealt.txt"), images)["layer2"] == dealt


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("permutd", "scheme must be permuted, random or a file: there is no file permutd"),
        (load_scheme(10, 10, 3), None),
        (load_scheme(100, 20, 8), "is of 100 classes in 20 branches, 8 active: wanted is one of 10 in 10"),
        (CodingScheme(np.eye(10, dtype=int)), "is of 10 classes in 10 branches, 1 active: wanted is one of 10 in 10"),
    ],
)
def test_a_scheme_that_fits_nowhere_is_refused(images, scheme, said, tmp_path):
    if isinstance(scheme, CodingScheme):
        scheme.save(tmp_path / "own.txt")
        scheme = tmp_path / "own.txt"
    if said is None:
        choose_schemes(with_scheme(scheme), images)
        return
    with pytest.raises(CodedResNeXtError, match=said):
        choose_schemes(with_scheme(scheme), images)


def test_a_run_goes_on_with_the_scheme_it_began_with(tmp_path):
    file = tmp_path / "own.txt"
    CodingScheme(np.roll(BUILT_IN.words, 1, axis=1)).save(file)
    parameters = with_scheme(file, evaluate_every=2)
    stopped = dataclasses.replace(parameters, epochs=3)
    folder = tmp_path / "run"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coded_resnext.training.fit._print_row", lambda row, epochs: row["epoch"] == 2 and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(stopped, folder=folder)
    CodingScheme(np.roll(BUILT_IN.words, 2, axis=1)).save(file)
    with pytest.raises(CheckpointError, match="changed after"):
        fit(stopped, folder=folder)


def test_what_a_trained_network_gives_to_a_new_one(images, tmp_path):
    """Everything but the classifier; running statistics too."""
    trained = fit(BASE, folder=tmp_path / "first").weights()
    model = CodedResNeXt(**network_options(BASE, images), schemes=choose_schemes(with_scheme("random"), images))
    drawn = {key: value.clone() for key, value in model.state_dict().items()}
    start_from(model, tmp_path / "first")
    for key, value in model.state_dict().items():
        assert torch.equal(value, drawn[key] if key.startswith("fc.") else trained[key]), key
    wider = dataclasses.replace(BASE, width=8)
    with pytest.raises(CheckpointError, match="is from another network"):
        start_from(CodedResNeXt(**network_options(wider, images), schemes={}), tmp_path / "first")

    started = fit(dataclasses.replace(BASE, init=str(tmp_path / "first"), learning_rate=1e-6), folder=tmp_path / "next")
    assert torch.allclose(started.weights()["layer1.0.conv1.weight"], trained["layer1.0.conv1.weight"], atol=1e-4)


def test_a_recipe_from_a_shipped_network_takes_its_sizes(tmp_path):
    import drawn

    seen = survey(drawn.clothes(tmp_path / "clothes", per_class=10, test=2))
    alone, _ = recipe_for(seen)
    recipe, _ = recipe_for(seen, "cifar10-small")
    assert (recipe["branch_width"], recipe["num_branches"], recipe["image_size"]) == (6, 10, 32)
    assert recipe["epochs"] * 5 == alone["epochs"]
    assert recipe["learning_rate"] * 5 == pytest.approx(alone["learning_rate"])
    assert plain_init({"init": "cifar10-small"}) == {"init": "cifar10-small-plain"}
    assert plain_init({"init": str(tmp_path)}) == plain_init({}) == {}
