"""What coding is worth by the number of training images, from records in git."""

import pytest

from coded_resnext import paths
from coded_resnext.errors import NothingToShow
from coded_resnext.reproduction.figures.by_images import by_images, images_table, is_of_family, worth_by_images
from coded_resnext.reproduction.figures.claims import claims
from coded_resnext.reproduction.figures.gallery import tabulate
from coded_resnext.reproduction.records.presets import load_preset, shipped_presets


@pytest.fixture(autouse=True)
def only_committed(monkeypatch, committed_results):
    monkeypatch.setattr(paths, "RESULTS", committed_results)


def family():
    return [preset for preset in map(load_preset, shipped_presets()) if is_of_family(preset)]


def test_rows_are_the_presets_of_one_network_by_their_images():
    table = images_table()
    assert table["images"].tolist() == sorted(table["images"])
    assert {1000, 2500, 5000, 10_000, 45_000} <= set(table["images"])
    scales = {preset.title: preset.scale for preset in family()}
    for row in table.itertuples():
        assert scales[row.preset].endswith(f"{row.images:,} of 50,000 images")
        assert row.runs >= 3


def test_numbers_are_those_of_the_claims():
    table = images_table().set_index("preset")
    of_few = claims("cifar10-few").set_index("claim")
    row = table.loc[load_preset("cifar10-few").title]
    assert row["passes"] == 0.5
    assert row["coded_less_plain"] == of_few.loc["coded is better than plain", "ours"]
    assert row["active_removed_loses_error"] == of_few.loc["removing active branches loses", "error"]
    value, error = row["coded_less_plain"], row["coded_less_plain_error"]
    assert f"{value:.1f} ± {error:.1f}" in worth_by_images()


def test_removals_are_drawn_below_zero_where_they_lose():
    table = images_table()
    gain, removals = by_images(table).axes
    lines = {container.get_label(): container[0].get_ydata() for container in removals.containers}
    assert lines["without its active ones"].tolist() == (-table["active_removed_loses"]).tolist()
    assert lines["without a block's inactive branches"].tolist() == table["inactive_removed_gains"].tolist()
    assert len(gain.containers) == 1


def test_other_networks_have_none():
    with pytest.raises(NothingToShow, match="digits trains another network"):
        tabulate("gain-by-images", "digits")


@pytest.mark.usefixtures("no_records")
def test_without_records_there_is_nothing():
    with pytest.raises(NothingToShow, match="one number of training images was run only"):
        tabulate("gain-by-images", "cifar10-few")
