"""What the page shows is what the library says, to the digits shown; and input that cannot be shown says why."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from coded_resnext import decode, extract_subnetwork, load_images, predict
from coded_resnext.data.sets import ImageSet
from coded_resnext.errors import Missing, Refused
from coded_resnext.explorer.measure import describe, explore, open_subject, removal, union_sizes
from coded_resnext.explorer.page import union_size
from coded_resnext.explorer.pictures import FOREIGN, UNKNOWN, Pictures, picture_url, read_folder, read_set
from coded_resnext.network.cost import multiply_adds
from coded_resnext.network.decoding import codeword_distances
from coded_resnext.reproduction.records.records import read_record
from coded_resnext.subnetworks.measure import size


def noise(subject, labels) -> Pictures:
    """Images of nothing, for networks that no test can have trained."""
    side, channels = subject.data["image_size"], subject.model.options["in_channels"]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(labels), channels, side, side), generator=generator, dtype=torch.uint8)
    images = ImageSet(
        "noise", torch.tensor(labels), tuple(subject.data["classes"]), tuple(subject.data["mean"]),
        tuple(subject.data["std"]), side, pixels,
    )  # fmt: skip
    return Pictures(images, ("somewhere",) * len(labels), "noise", len(labels))


@pytest.fixture(scope="module")
def shipped():
    return open_subject("cifar10-small")


@pytest.fixture(scope="module")
def of_noise(shipped):
    return describe(shipped, noise(shipped, [*range(10), FOREIGN, UNKNOWN]))


def test_energies_and_answers_are_the_networks(subject, pictures, data):
    found = predict(subject.model, pictures.images, 50, torch.device("cpu"))
    texts = [picture_url(pictures.images.image(i)) for i in range(len(pictures))]
    for image in data["images"]:
        i = texts.index(image["picture"])
        if texts.count(image["picture"]) > 1:  # two of the foreign tiles are alike
            continue
        assert image["label"] == int(pictures.images.labels[i])
        for b, (name, scheme) in enumerate(subject.model.schemes.items()):
            energies = found.energies[name][i : i + 1]
            distances = codeword_distances(energies, torch.tensor(scheme.words, dtype=torch.float32))[0].sort()
            assert image["nearest"][b] == int(decode(energies, scheme))
            assert image["second"][b] == int(distances.indices[1])
            # half a unit of the last digit, and what another batch size rounds otherwise
            assert np.array(image["energies"][b]) == pytest.approx(1000 * energies[0].numpy(), abs=0.51)
            assert image["distance"][b] == pytest.approx(1000 * float(distances.values[0]), abs=0.51)
            assert image["margin"][b] == pytest.approx(1000 * float(distances.values[:2].diff()), abs=0.51)
        assert image["answer"] == int(found.logits[i].argmax())


def test_shares_right_are_the_predictions(subject, pictures, data):
    labelled = pictures.images.subset(pictures.labelled)
    found = predict(subject.model, labelled, 50, torch.device("cpu"))
    assert data["right"]["images"] == len(labelled) == 300
    shares = [found.decoding_accuracy(name, s, labelled.labels) for name, s in subject.model.schemes.items()]
    assert data["right"]["blocks"] == [round(10 * share) for share in [*shares, found.accuracy(labelled.labels)]]
    for block, share in zip(data["confusions"]["blocks"], shares, strict=True):
        assert block["wrong"] == round(3 * (100 - share))
        assert sum(count for _, _, count in block["by_distance"]) == block["wrong"]


def test_the_first_four_are_what_they_say(data):
    assert None not in data["first"].values()
    easy, late, turned, foreign = (data["images"][data["first"][k]] for k in ("easy", "late", "turned", "foreign"))
    assert set(easy["nearest"]) == {easy["label"]} == {easy["answer"]}
    assert late["nearest"][-1] == late["answer"] == late["label"] != late["nearest"][-2]
    assert turned["nearest"][0] != turned["label"] == turned["answer"]
    assert foreign["label"] == FOREIGN


@pytest.mark.parametrize("chosen", [(0,), (3, 8), (1, 4, 9)])
def test_sizes_of_unions_are_those_of_subnetworks(shipped, of_noise, chosen):
    cut = size(extract_subnetwork(shipped.model, chosen), 32)
    assert union_size(of_noise, chosen) == (cut["parameters"], cut["multiply_adds"])


def test_the_union_of_all_classes_is_the_network(shipped, of_noise):
    whole = (of_noise["network"]["parameters"], of_noise["network"]["multiply_adds"])
    assert union_size(of_noise, range(10)) == whole
    assert whole[1] == multiply_adds(shipped.model, 32).total


def test_removals_are_masked_passes(subject, pictures, data):
    of_one = pictures.images.subset(pictures.labelled[::10])
    found = removal(subject.model, Pictures(of_one, ("",) * len(of_one), "", len(of_one)), 20)
    pixels = next(iter(_batches(of_one)))
    for (b, name), branch in itertools.product(enumerate(subject.model.schemes), (0, 7)):
        with torch.inference_mode():
            answers = subject.model(pixels, branch_mask={name: torch.arange(10) != branch}).argmax(1)
        right = torch.bincount(of_one.labels[answers == of_one.labels], minlength=10).tolist()
        assert found["without"][b][branch] == right
    assert sum(data["removal"]["each"]) == data["removal"]["images"] == 300


def _batches(images):
    from coded_resnext.data.batches import eval_batches

    return (pixels for pixels, _ in eval_batches(images, len(images), torch.device("cpu")))


def test_thresholds_and_exits_are_the_records(of_noise):
    record = read_record("cifar10-small", "exits", "coded-s0")
    rows = [row for row in record["targets"] if row["policy"] == "margin" and row["multiply_adds"] < 100]
    points = of_noise["exits"]["policies"]["margin"]["points"]
    assert points[0]["multiply_adds"] == 10_000
    assert points[0]["accuracy"] == round(100 * record["metrics"]["accuracy"])
    assert {point["accuracy"] for point in points[1:]} == {round(100 * row["accuracy"]) for row in rows}
    assert [p["multiply_adds"] for p in points] == sorted((p["multiply_adds"] for p in points), reverse=True)
    assert of_noise["spent"] == [round(10 * share) for share in record["exit_costs"][:-1]] + [1000]
    for image in of_noise["images"]:
        for point, left in zip(points, image["exits"]["margin"], strict=True):
            content = [image["margin"][b] >= point["thresholds"].get(n, 1e9) for b, n in enumerate(of_noise["blocks"])]
            assert left == [*content, True].index(True)


def test_without_an_exits_record_there_is_no_slider(data):
    assert "policies" not in data["exits"]
    assert "of other weights" in data["exits"]["why"]


def test_a_record_that_is_missing_is_named(subject, pictures, no_records):
    why = describe(subject, pictures)["exits"]["why"]
    assert why.startswith("There is no exits record of digits, coded-s0: python -m coded_resnext evaluate digits exits")


def test_a_plain_network_says_what_it_cannot_show():
    plain = open_subject("cifar10-small-plain")
    data = describe(plain, noise(plain, [0, 1, 2, FOREIGN]))
    assert not data["blocks"]
    assert data["confusions"] is None
    assert data["sizes"] is union_sizes(plain.model, 32) is None
    assert "plain network" in data["exits"]["why"]
    assert "plain network" in data["removal"]["why"]
    assert data["images"][0]["nearest"] == []


def test_images_of_no_class_are_shown_and_never_counted(shipped):
    data = describe(shipped, noise(shipped, [FOREIGN, UNKNOWN]))
    assert data["right"] is data["confusions"] is None
    assert "None of these images" in data["removal"]["why"]
    assert [image["label"] for image in data["images"]] == [FOREIGN, UNKNOWN]


def test_a_folder_of_ones_own(run_folder, digit_folder):
    data = explore(str(run_folder), digit_folder)
    assert data["found"] == data["measured"] == 62
    assert [image["label"] for image in data["images"]].count(FOREIGN) == 1
    assert [image["label"] for image in data["images"]].count(UNKNOWN) == 1
    assert {image["folder"] for image in data["images"] if image["label"] == FOREIGN} == {"noise"}


def test_a_large_folder_is_drawn_from_evenly(subject, digit_folder):
    drawn = read_folder(digit_folder, 1, subject.data, limit=20)
    counts = torch.bincount(drawn.images.labels[drawn.images.labels >= 0], minlength=10)
    assert counts.min() >= 1
    assert drawn.found == 62
    again = read_folder(digit_folder, 1, subject.data, limit=20)
    assert torch.equal(drawn.images.pixels, again.images.pixels)


def test_unreadable_files_are_all_named(subject, digit_folder):
    for name in ("0/broken.png", "notes.txt"):
        (digit_folder / name).write_text("no image")
    with pytest.raises(Refused, match=r"notes\.txt, 0/broken\.png; remove or replace"):
        read_folder(digit_folder, 1, subject.data)


def test_images_of_another_size_are_all_named(subject, digit_folder):
    for name in ("1/large.png", "2/larger.png"):
        Image.new("L", (9, 9)).save(digit_folder / name)
    with pytest.raises(Refused, match=r"of 8x8.*1/large\.png \(9x9\), 2/larger\.png \(9x9\); resize"):
        read_folder(digit_folder, 1, subject.data)


def test_no_images(subject, tmp_path):
    with pytest.raises(Missing, match="has no image: expected"):
        read_folder(tmp_path, 1, subject.data)
    with pytest.raises(Missing, match="there is no folder"):
        read_folder(tmp_path / "absent", 1, subject.data)


def test_unknown_models(tmp_path):
    with pytest.raises(Refused, match="unknown model 'cifar10-smal'; did you mean 'cifar10-small'"):
        explore("cifar10-smal")
    with pytest.raises(Missing, match=r"is no model: expected a folder with checkpoint\.json"):
        explore(str(tmp_path))


def test_a_network_too_large_for_removals_says_so(subject, pictures, monkeypatch):
    monkeypatch.setattr("coded_resnext.explorer.measure.WORK", 1e6)
    assert "Too much to compute for 10 classes" in removal(subject.model, pictures, 50)["why"]


def test_pictures_stay_within_what_a_page_carries(subject, pictures, data, monkeypatch):
    monkeypatch.setattr("coded_resnext.explorer.measure.CARRIED", 20_000)
    fewer = describe(subject, pictures)
    assert sum(len(image["picture"]) for image in fewer["images"]) <= 20_000
    assert {k: fewer["images"][i]["picture"] for k, i in fewer["first"].items()} == {
        k: data["images"][i]["picture"] for k, i in data["first"].items()
    }


def test_the_test_images_are_those_of_the_runs_seed():
    """A network of seed 3 learnt from images that seed 0 tests."""
    digits = load_images("digits", "train")
    data = {"name": "digits", "classes": digits.classes, "mean": digits.mean, "std": digits.std, "image_size": 8}
    found = read_set({**data, "crop": False}, 3, 10_000)
    assert torch.equal(found.images.pixels, load_images("digits", "test", seed=3).pixels)
