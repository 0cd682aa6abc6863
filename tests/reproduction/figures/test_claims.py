"""What a claim's verdict rests on."""

import pytest
from made_up import IMAGES, decoding, point, write, write_binary, write_everything

from coded_resnext.reproduction.figures import claims
from coded_resnext.reproduction.figures.text import as_text

pytestmark = pytest.mark.usefixtures("no_records")


def by_claim(preset="digits"):
    return claims.claims(preset).set_index("claim")


def test_without_records_nothing_is_run():
    table = claims.claims("digits")
    assert set(table["verdict"]) == {claims.NOT_RUN}
    assert table[["ours", "images"]].isna().all(axis=None)
    assert "not run" in as_text(table)


def test_claims_come_from_the_records():
    write_everything()
    claims = by_claim()
    assert claims.loc["accuracy, coded", ["paper", "ours"]].tolist() == ["94.41", 95.0]
    assert claims.loc["accuracy, plain", "paper"] == "93.66"
    assert claims.loc["coded minus plain: nothing is lost", "ours"] == 1.0
    assert claims.loc["accuracy without its active branches", "ours"] == 80.5
    assert claims.loc["early decoding by the last coded block", "ours"] == 93.0
    assert claims.loc["binary classifiers, mean precision", "ours"] == 91.0
    assert (claims["images"].isna() == claims["ours"].isna()).all()
    assert (claims["images"].dropna() == IMAGES).all()
    assert set(claims["verdict"]) == {"", "agrees", "undecided", "not run"}
    undecided = ["coded minus plain: nothing is lost", "removing inactive branches gains"]
    assert claims[claims["verdict"] == "undecided"].index.tolist() == undecided
    not_run = claims[claims["verdict"] == "not run"]
    assert not_run["ours"].isna().all()
    assert len(not_run) == 7  # the rows of ablations, and the cut of a plain network


@pytest.mark.parametrize(
    ("numbers", "claim", "verdict"),
    [
        ({"coded": 90.0, "plain": 95.0}, "coded minus plain: nothing is lost", "differs"),
        ({"coded": 94.0, "plain": 95.0}, "coded minus plain: nothing is lost", "undecided"),
        ({"coded": 99.0, "plain": 92.0}, "coded minus plain: nothing is lost", "agrees"),
        ({"active": (80.0, 80.5)}, "removing active branches hurts more than inactive", "undecided"),
        ({"active": (80.0, 95.0)}, "removing active branches hurts more than inactive", "differs"),
        ({"active": (80.0, 60.0)}, "removing active branches loses", "agrees"),
        ({"active": (80.0, 60.0)}, "removing inactive branches gains", "undecided"),
        ({"first": 97.0}, "decoding improves from the first block to the last", "differs"),
    ],
)
def test_a_verdict_follows_the_numbers(numbers, claim, verdict):
    write_everything(**numbers)
    assert by_claim().loc[claim, "verdict"] == verdict


def test_only_the_claims_of_a_missing_stage_are_not_run():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    table = by_claim()
    assert table.loc["decoding improves from the first block to the last", "verdict"] == "agrees"
    assert table.loc["accuracy, coded", "verdict"] == claims.NOT_RUN


def test_a_data_set_without_foreign_images_says_so():
    write_binary("coded-s0", [point("a", precision_out=None), point("b", precision_out=None)])
    claim = by_claim().loc["binary classifiers, mean precision against foreign images"]
    assert claim["verdict"] == claims.NOT_MEASURED


def test_an_ablation_stands_for_no_claim():
    write("accuracy", "mu-0", {"accuracy": 10.0}, {"mu": 0.0})
    assert by_claim().loc["accuracy, coded", "verdict"] == claims.NOT_RUN


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        claims.claims("digit")


def test_a_path_must_beat_another_codeword_and_a_plain_network():
    names = [point(str(k)) for k in range(3)]
    write_binary("coded-s0", names, own=0.9, another=0.3)
    write_binary("plain-s0", names, {"coded": False}, own=0.9)
    table = by_claim()
    another = table.loc["mean average precision, own codeword less another's"]
    assert (another["ours"], another["verdict"]) == (pytest.approx(60.0), "agrees")
    plain = table.loc["mean average precision, own codeword less the same cut of a plain network"]
    assert (plain["ours"], plain["verdict"]) == (pytest.approx(0.0), "undecided")


@pytest.mark.parametrize(("without", "verdict"), [(20.0, "agrees"), (93.0, "undecided"), (99.0, "differs")])
def test_decoding_without_a_coding_loss_is_held_against_decoding_with_it(without, verdict):
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    write("early", "mu0", changes={"mu": 0.0}, curves=decoding(10.0, without, 95.0))
    table = by_claim()
    gained = table.loc["decoding by the last block gained by the coding loss"]
    assert (gained["ours"], gained["verdict"]) == (93.0 - without, verdict)
    assert table.loc["decoding by the last block without a coding loss", ["ours", "verdict"]].tolist() == [without, ""]


def test_the_fewer_runs_of_two_are_told():
    for name in ("coded-s0", "coded-s1"):
        write_binary(name, [point(str(k)) for k in range(3)])
    write_binary("plain-s0", [point(str(k)) for k in range(3)], {"coded": False}, own=0.5)
    runs = by_claim()["runs"]
    assert runs["mean average precision, own codeword less another's"] == 2
    assert runs["mean average precision, own codeword less the same cut of a plain network"] == 1


def test_ablations_are_compared_with_the_run_they_vary():
    for name, changes, precision in (("coded-s0", {}, 90.0), ("drop0", {"drop_branch": 0.0}, 20.0)):
        write_binary(name, [point(str(k), precision + k) for k in range(3)], changes)
    for name, changes, accuracy in (
        ("coded-s0", {}, 95.0), ("e2", {"exponent": 2.0}, 90.0), ("drop0", {"drop_branch": 0.0}, 99.0),
    ):  # fmt: skip
        write("accuracy", name, {"accuracy": accuracy}, changes)
    table = by_claim()
    gained = table.loc["binary precision gained by branch dropping"]
    assert (gained["ours"], gained["verdict"]) == (pytest.approx(70.0), "agrees")
    assert table.loc["accuracy, exponent 4 less exponent 2", "ours"] == 5.0
    kept = table.loc["accuracy gained by branch dropping"]
    assert (kept["paper"], kept["ours"], kept["verdict"]) == ("+0.08", -4.0, "differs")
