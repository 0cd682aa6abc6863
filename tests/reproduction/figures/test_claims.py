"""What a claim's verdict rests on."""

import numpy as np
import pytest
from made_up import IMAGES, decoding, point, removal, write, write_binary, write_everything

from coded_resnext.reproduction.figures import claims
from coded_resnext.reproduction.figures.text import as_text
from coded_resnext.reproduction.records.answers import SOFTMAX, pack

pytestmark = pytest.mark.usefixtures("no_records")


def by_claim(preset="digits"):
    return claims.claims(preset).set_index("claim")


def test_without_records_nothing_is_run():
    table = claims.claims("digits")
    assert set(table[table["row"] != claims.COUNT]["verdict"]) == {claims.NOT_RUN}
    assert table["images"].isna().all()
    assert "not run" in as_text(table)


def test_claims_come_from_the_records():
    write_everything()
    table = by_claim()
    assert table.loc["accuracy, coded", ["paper", "ours"]].tolist() == ["94.41", 95.0]
    assert table.loc["accuracy, plain", "paper"] == "93.66"
    assert table.loc["coded minus plain: nothing is lost", "ours"] == 1.0
    assert table.loc["accuracy without its active branches", "ours"] == 80.5
    assert table.loc["early decoding by the last coded block", "ours"] == 93.0
    assert table.loc["binary classifiers, mean precision", "ours"] == 91.0
    measured = table[table["row"] != claims.COUNT]
    assert (measured["images"].isna() == measured["ours"].isna()).all()
    assert (measured["images"].dropna() == IMAGES).all()
    not_run = table[table["verdict"] == "not run"]
    assert not_run["ours"].isna().all()
    assert len(not_run) == 16  # of ablations, the cuts of networks that have no paths, and what is counted
    assert table["scale"].str.startswith("toy, ").all()


def test_the_papers_side_is_what_it_printed_and_plotted():
    """As in data/paper: 94.4 less 93.1 by the exponent, 95.4 less 94.4 without inactive branches, figure 4 from its
    first block to its softmax."""
    theirs = by_claim()["paper"]
    printed = {
        "accuracy, exponent 4 less exponent 2": "+1.3",
        "coded minus plain: nothing is lost": "+0.75",
        "removing inactive branches gains": "~1.0",
        "removing active branches loses": "~4.8",
        "removing active branches hurts more than inactive": "~5.8",
        "early decoding by the first coded block": "~71.5",
        "early decoding by the last coded block": "~94.0",
        "decoding improves from the first block to the last": "~22.5",
        "softmax of the same runs": "~94.4",
        "binary precision gained by branch dropping": "~54 or more",
        "branch dropping costs no accuracy": "+0.08",
    }
    assert theirs[list(printed)].to_dict() == printed


def test_all_branches_of_a_set_are_removed():
    """A codeword with more zeros than ones: each set is followed to its own end."""
    rows = {("inactive", 0): 95.0, ("inactive", 1): 94.0, ("inactive", 2): 93.0}
    rows |= {("active", 0): 95.0, ("active", 1): 50.0}
    curves = [
        {"set": which, "removed": removed, "repeat": 0, "accuracy": accuracy}
        for (which, removed), accuracy in rows.items()
    ]
    write("specialisation", "coded-s0", curves=curves, block="layer2.0")
    ours = by_claim()["ours"]
    assert ours["accuracy without a block's inactive branches"] == 93.0
    assert ours["accuracy without its active branches"] == 50.0


def test_only_claims_have_a_verdict():
    """A level says nothing of the paper on other data, and a check could not reasonably fail."""
    write_everything()
    table = by_claim()
    table = table[table["ours"].notna()]
    assert (table[table["row"].isin([claims.LEVEL, claims.CHECK])]["verdict"] == "").all()
    words = {"agrees (one run)", "differs (one run)", "undecided"}
    assert set(table[table["row"] == claims.CLAIM]["verdict"]) <= words
    assert table.loc["removing active branches loses", "row"] == claims.CHECK
    assert table[table["row"] == claims.COUNT]["verdict"].str.contains("without shortcuts").all()


@pytest.mark.parametrize(
    ("numbers", "claim", "verdict"),
    [
        ({"coded": 90.0, "plain": 95.0}, "coded minus plain: nothing is lost", "differs (one run)"),
        ({"coded": 94.0, "plain": 95.0}, "coded minus plain: nothing is lost", "undecided"),
        ({"coded": 99.0, "plain": 92.0}, "coded minus plain: nothing is lost", "agrees (one run)"),
        ({"coded": 99.0, "plain": 92.0}, "coded is better than plain", "agrees (one run)"),
        ({"active": (80.0, 80.5)}, "removing active branches hurts more than inactive", "undecided"),
        ({"active": (80.0, 95.0)}, "removing active branches hurts more than inactive", "differs (one run)"),
        ({"active": (80.0, 60.0)}, "removing inactive branches gains", "undecided"),
    ],
)
def test_a_verdict_follows_the_numbers(numbers, claim, verdict):
    write_everything(**numbers)
    assert by_claim().loc[claim, "verdict"] == verdict


@pytest.mark.parametrize(
    ("gains", "not_worse", "better"),
    [
        ((0.3, 0.4, 0.5), "agrees", "agrees"),
        ((-0.1, 0.0, 0.1), "agrees", "undecided"),
        ((-0.5, -0.3, -0.4), "undecided", "differs"),
        ((-1.9, -2.0, -2.1), "differs", "differs"),
    ],
)
def test_nothing_is_lost_within_a_margin(gains, not_worse, better):
    """Seeds in pairs, on the same images, of which every seed's two networks answer others alike."""
    for seed, gain in enumerate(gains):
        order = np.random.default_rng(seed).permutation(IMAGES)
        plain, coded = order < 950, order < 950 + round(10 * gain)
        for name, right, changes in (("coded", coded, {}), ("plain", plain, {"coded": False})):
            write(
                "accuracy", f"{name}-s{seed}", {"accuracy": 100 * right.mean()}, {"seed": seed, **changes},
                right={SOFTMAX: pack(right)},
            )  # fmt: skip
    table = by_claim()
    rows = table.loc[["coded minus plain: nothing is lost", "coded is better than plain"]]
    assert rows["verdict"].tolist() == [not_worse, better]
    assert set(rows["paired"]) == {"runs and images"}
    assert (rows["power"] > 0).all()


def test_the_papers_number_may_lie_in_our_interval():
    write_everything()  # 95 less 94, with an error of 2 points: the paper's 0.75 is within it
    table = by_claim()
    assert table.loc["coded is better than plain", "paper_inside"] == "yes"
    assert table.loc["accuracy, coded", "paper_inside"] == "yes"  # 95 beside 94.41
    assert table.loc["removing active branches loses", "paper_inside"] == "no"  # 14.5 beside 4.8
    assert table.loc["binary classifiers, mean precision", "paper_inside"] == ""  # the paper has a range


def test_only_the_claims_of_a_missing_stage_are_not_run():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    table = by_claim()
    assert table.loc["decoding improves from the first block to the last", "ours"] == 23.0
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
    assert (another["ours"], another["verdict"]) == (pytest.approx(60.0), "agrees (one run)")
    assert another["over"] == "classes"  # one run has no other spread
    plain = table.loc["mean average precision, own codeword less the same cut of a plain network"]
    assert (plain["ours"], plain["verdict"]) == (pytest.approx(0.0), "")


def test_decoding_without_a_coding_loss_is_held_against_decoding_with_it():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    write("early", "mu0", changes={"mu": 0.0}, curves=decoding(10.0, 20.0, 95.0))
    table = by_claim()
    gained = table.loc["decoding by the last block gained by the coding loss"]
    assert (gained["ours"], gained["row"], gained["verdict"]) == (73.0, claims.CHECK, "")
    assert table.loc["decoding by the last block without a coding loss", ["ours", "verdict"]].tolist() == [20.0, ""]


def test_the_control_without_a_coding_loss_removes_the_same_branches():
    for name, mu, last in (("coded-s0", 6.0, 96.0), ("mu0", 0.0, 85.0)):
        curves = removal([95.0, 80.0])
        for row in curves:
            if row["set"] == "inactive" and row["removed"]:
                row["accuracy"] = last
        write("specialisation", name, changes={"mu": mu}, curves=curves, block="layer2.0")
    control = by_claim().loc["without a coding loss, removing the same inactive branches loses"]
    assert (control["ours"], control["verdict"]) == (10.5, "agrees (one run)")


def test_binary_classifiers_vary_by_their_seeds_where_there_are_several():
    """With Student's t; 4.303 with two degrees of freedom."""
    for seed, precision in enumerate((90.0, 91.0, 92.0)):
        write_binary(f"coded-s{seed}", [point("a", precision - 9), point("b", precision + 9)], {"seed": seed})
    row = by_claim().loc["binary classifiers, mean precision"]
    assert (row["ours"], row["over"], row["runs"]) == (91.0, "runs", 3)
    assert row["error"] == pytest.approx(4.303 / 3**0.5, 1e-3)


def test_the_fewer_runs_of_two_are_told():
    for seed in (0, 1):
        write_binary(f"coded-s{seed}", [point(str(k)) for k in range(3)], {"seed": seed})
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
    assert (gained["ours"], gained["verdict"]) == (pytest.approx(70.0), "agrees (one run)")
    assert table.loc["accuracy, exponent 4 less exponent 2", "ours"] == 5.0
    kept = table.loc["branch dropping costs no accuracy"]
    assert (kept["paper"], kept["ours"], kept["verdict"]) == ("+0.08", -4.0, "differs (one run)")


def test_beside_images_of_ones_own_stands_nothing_of_the_paper():
    write_everything()
    everything = claims.claims("digits").set_index("claim")
    measured = claims.without_paper(everything.reset_index()).set_index("measured")
    assert len(measured) > 10
    assert measured["ours"].equals(everything.loc[measured.index, "ours"])
    assert not {"paper", "effect", "paper_inside", "power", "verdict"} & set(measured.columns)
    assert not measured.isin(["agrees", "differs", "undecided"]).any(axis=None)
