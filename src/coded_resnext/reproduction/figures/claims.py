"""The paper's main claims, beside what the records of a preset say of them.

A claim about which of two numbers is larger should hold on any data, so it gets a verdict; comparison.py has all
numbers one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..records.answers import SOFTMAX, Answers, answers, removal_condition
from ..records.intervals import Estimate, difference, of_classes, rate
from ..records.kinds import run_kinds
from ..records.paper import NETWORK_SIZES, SAME_IN_PAPER, compared_with, paper
from ..records.presets import load_preset
from ..records.records import Record, metric, piece, read_stage
from .tables import removal_means

NOT_RUN = "not run"
NOT_MEASURED = "not measured"  # for instance against foreign images, where the data set has none
LEVEL, CLAIM, CHECK, COUNT = "level", "claim", "check", "count"
MARGIN = 0.5  # points: losing less than this is losing nothing; the paper's own test set tells no smaller difference
CODED, PLAIN = "coded", "plain"
NO_LOSS, NO_DROPPING = "coded, mu=0.0", "coded, drop_branch=0.0"
DROPPING_ALONE = "coded, mu=0.0, branch_sum=raw"
FEWER = 60.0  # percent of the parameters, which a path of one class is said to save

Vectors = dict[int, np.ndarray]  # numbers of the classes, by seed


class Claim(NamedTuple):
    """A row of the summary; without a record only its name and the paper's number are known."""

    claim: str
    row: str
    paper: str
    ours: float | None = None
    error: float | None = None
    runs: int | None = None
    images: int | None = None
    verdict: str = NOT_RUN
    paper_inside: str = ""
    power: float | None = None
    over: str = ""
    paired: str = ""
    effect: float | None = None


class _Theirs(NamedTuple):
    """The paper's number: as text, as the effect that a power is reckoned with, and whether it is as exact as read."""

    text: str = ""
    effect: float = math.nan
    exact: bool = True


def claims(preset: str, *repetitions: str) -> pd.DataFrame:
    """The paper's main claims beside what the records of a preset say; its numbers on the preset's data or CIFAR-10.

    There are four kinds of row. A *level* is a number, which may well differ on other data or a smaller network. A
    *claim* says which of two numbers is larger and could have failed: "agrees" when all of the 95 % interval of the
    difference is on its side, "differs" when none is, else "undecided"; of one run with "(one run)" behind it. That
    nothing is lost is a claim of non-inferiority: less than `MARGIN` points. A *check* compares too, but could not
    reasonably fail, and gets no verdict. A *count* follows from the architecture. Runs of the preset's first coded kind
    and of the plain kind count, averaged over seeds, and the ablations of the first coded kind.

    Args:
        preset: whose records are looked at.
        repetitions: presets of the same runs with other seeds, whose records count as the preset's own.
    Returns:
        Columns claim, row (its kind), paper (text, since some of its numbers are ranges; ~ was read off a plot), ours
        and error (95 %; percent or percentage points), runs (of the side that was run less often), images, verdict
        ("not run" without a record, empty where nothing is claimed), paper_inside (whether the paper's number lies in
        our interval), power (of a claim: how often, percent, it would agree with our runs and images if the paper's
        effect were the true one), over (what the error counts) and paired (what both sides have in common), see
        `Estimate`; effect (the paper's, as a number); scale (of the preset).
    Raises:
        ValueError: an unknown preset, a record of another schema or without a metric.
    """
    records = _Records(preset, *repetitions)
    rows = [
        *_accuracy_claims(records),
        *_owed_accuracy_claims(records),
        *_removal_claims(records),
        *_binary_claims(records),
        *_early_claims(records),
        *_control_claims(records),
        *_codeword_claims(records),
        *_size_claims(load_preset(preset).data),
    ]
    table = pd.concat([_frame(rows), _ablation_claims(records)], ignore_index=True)
    return table.assign(scale=load_preset(preset).scale)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Of `claims` what fits into a terminal: without what is in the file for whoever wants to recompute a verdict."""
    return table[["claim", "row", "paper", "ours", "error", "runs", "verdict", "power"]]


def without_paper(table: pd.DataFrame) -> pd.DataFrame:
    """Of `claims` what was measured, without the paper's numbers and verdicts: for images of one's own."""
    measured = table[table["ours"].notna() & (table["row"] != COUNT)].rename(columns={"claim": "measured"})
    return measured[["measured", "ours", "error", "runs", "images", "over", "paired"]]


def ablation_claims(preset: str) -> pd.DataFrame:
    """Those rows of `claims` that compare the ablations of the first coded kind with it."""
    return _ablation_claims(_Records(preset))


def _ablation_claims(records: _Records) -> pd.DataFrame:
    numbers, other = records.paper("exponent")
    theirs = numbers.set_index("exponent")["value"]
    gained = theirs[4] - theirs[2]
    precision = [records.controls(kind, "own codeword") for kind in (CODED, "coded, branch_sum=concatenated")]
    rows = [
        *_dropping_claims(records),
        *_coding_loss_claims(records),
        _accuracies(
            "accuracy, exponent 4 less exponent 2", CLAIM, _theirs(f"{gained:+.1f}", gained, other),
            records.accuracy(CODED), records.accuracy("coded, exponent=2.0"),
        ),
        _classes("mean average precision lost by concatenation", CLAIM, _Theirs("fails"), records, *precision),
    ]  # fmt: skip
    return _frame(rows)


def is_narrower_plain(kind: str) -> bool:
    """Whether runs of a kind, see `run_kinds`, are of a plain network of another width than the preset's."""
    return kind.startswith("plain, ") and "width" in kind


def is_decayed_plain(kind: str) -> bool:
    """Whether runs of a kind are of the plain network with another weight decay than the preset's."""
    return kind.startswith("plain, weight_decay=")


class _Records:
    """What the records of presets of the same kinds of runs have, by kind."""

    def __init__(self, *presets: str) -> None:
        self.data = load_preset(presets[0]).data
        self.stages: dict[str, list[tuple[str, Record]]] = {}
        for stage in ("training", "accuracy", "specialisation", "binary", "early"):
            records = [record for preset in presets for record in read_stage(preset, stage)]
            self.stages[stage] = list(zip(run_kinds(records), records, strict=True))

    def paper(self, item: str) -> tuple[pd.DataFrame, str]:
        """The paper's numbers on our data, or what is nearest to it; and " of …" where they are of other data.

        Of data that the paper does not have CIFAR-10 is expected, which is what ImageNet, some of whose figures show
        ranges alone, is compared with too.
        """
        numbers = paper(item, self.data if self.data == "cifar100" else "cifar10")
        data_set = numbers["data_set"].iloc[0]
        return numbers, "" if data_set == compared_with(self.data) else f" of {data_set}"

    def of(self, stage: str, kind: str) -> Iterator[Record]:
        return (record for there, record in self.stages[stage] if there == kind)

    def small_plain(self) -> str:
        """The kind of the plain network narrower than the preset's; where there is none, one that has no runs."""
        return next((kind for kind, _ in self.stages["binary"] if is_narrower_plain(kind)), "plain, width")

    def chosen_decay(self) -> str:
        """The kind of plain runs whose weight decay is best on held-out images; empty where one only was tried."""
        tried: dict[str, list[float]] = {}
        for kind, record in self.stages["training"]:
            if (kind == PLAIN or is_decayed_plain(kind)) and record["parameters"]["holdout"]:
                tried.setdefault(kind, []).append(piece(record, "history")[-1]["accuracy"])
        return max(tried, key=lambda kind: fmean(tried[kind])) if len(tried) > 1 else ""

    def images(self, stage: str) -> int:
        return int(metric(self.stages[stage][0][1], "images"))

    def accuracy(self, kind: str) -> list[Answers]:
        return [answers(record, SOFTMAX, metric(record, "accuracy")) for record in self.of("accuracy", kind)]

    def decoding(self, kind: str, place: int) -> list[Answers]:
        """By the decoder at a place of figure 4: 0 for the first block, −1 for the softmax, −2 for the last block."""
        found = []
        for record in self.of("early", kind):
            row = piece(record, "curves")[place]
            found.append(answers(record, row["block"], row["accuracy"]))
        return found

    def probes(self, kind: str, place: int) -> list[Answers]:
        """By a linear probe at a place of figure 4's blocks, without the softmax; newer records of plain networks."""
        found = []
        for record in self.of("accuracy", kind):
            if "probes" in record:
                row = record["probes"][place]
                found.append(answers(record, row["block"], row["accuracy"]))
        return found

    def removal(self, kind: str, which: str, *, whole: bool = False) -> list[Answers]:
        """Without all branches of a set, or with all of them."""
        found = []
        for record in self.of("specialisation", kind):
            means = removal_means(record)
            removed = 0 if whole else max(number for there, number in means if there == which)
            found.append(answers(record, removal_condition(which, removed), means[which, removed]))
        return found

    def points(self, kind: str, column: str, scale: float = 1.0) -> Vectors:
        """Of the binary classifiers; of those records that have the number."""
        found = {}
        for record in self.of("binary", kind):
            values = [point[column] for point in piece(record, "points")]
            if None not in values:
                found[record["seed"]] = scale * np.array(values)
        return found

    def controls(self, kind: str, cut: str) -> Vectors:
        """Average precision of all classes' classifiers under one way of cutting, percent."""
        found = {}
        for record in self.of("binary", kind):
            values = [row["average_precision"] for row in piece(record, "controls") if row["cut"] == cut]
            found[record["seed"]] = 100 * np.array(values)
        return found

    def other_paths(self, kind: str) -> Vectors:
        """Average precision of every class on the paths of all others, the mean, percent; newer records have it."""
        found = {}
        for record in self.of("binary", kind):
            if "paths" in record:
                paths = np.array(record["paths"])  # (K, K), path by class
                found[record["seed"]] = 100 * (paths.sum(0) - paths.diagonal()) / (len(paths) - 1)
        return found


def _frame(rows: Sequence[Claim]) -> pd.DataFrame:
    numbers = {"ours": float, "error": float, "runs": "Int64", "images": "Int64", "power": float, "effect": float}
    return pd.DataFrame(rows).astype(numbers)


def _accuracy_claims(records: _Records) -> list[Claim]:
    read, other = records.paper("table-2")
    numbers = read.set_index("network")["value"]
    coded, plain = records.accuracy(CODED), records.accuracy(PLAIN)
    gained = numbers["coded"] - numbers["plain"]
    theirs = _theirs(f"{gained:+.2f}", gained, other)
    return [
        _level("accuracy, coded", _theirs(f"{numbers['coded']:.2f}", numbers["coded"], other), coded),
        _level("accuracy, plain", _theirs(f"{numbers['plain']:.2f}", numbers["plain"], other), plain),
        _accuracies("coded minus plain: nothing is lost", CLAIM, theirs, coded, plain, MARGIN),
        _accuracies("coded is better than plain", CLAIM, theirs, coded, plain),
    ]


def _owed_accuracy_claims(records: _Records) -> list[Claim]:
    """What coded less plain is made of: the coding loss, and normalising and dropping, which is all else.

    And dropping alone, and another regulariser instead, in presets that have such runs.
    """
    numbers, other = records.paper("figure-5")
    read = numbers.query("network == 'coded' and decoder == 'softmax'").set_index("mu")["value"]
    theirs = _theirs(f"~{read[6] - read[0]:+.1f}", read[6] - read[0], other)
    coded, without_loss, plain = map(records.accuracy, (CODED, NO_LOSS, PLAIN))
    rows = [
        _accuracies("accuracy gained by the coding loss", CLAIM, theirs, coded, without_loss),
        _accuracies("accuracy gained by normalising and dropping", CLAIM, _Theirs(), without_loss, plain),
    ]
    if dropping := records.accuracy(DROPPING_ALONE):
        rows.append(_accuracies("accuracy gained by dropping alone", CLAIM, _Theirs(), dropping, plain))
    if decayed := records.accuracy(records.chosen_decay()):
        by = "the weight decay that held-out images choose"
        rows += [
            _accuracies(f"accuracy gained by {by}, plain", CLAIM, _Theirs(), decayed, plain),
            _accuracies(f"coded is better than plain with {by}", CLAIM, _Theirs(), coded, decayed),
        ]
    return rows


def _removal_claims(records: _Records) -> list[Claim]:
    read, other = records.paper("figure-2a")
    numbers = read.set_index(["set", "removed"])["value"]
    last = read["removed"].max()
    whole, inactive, active = numbers["inactive", 0], numbers["inactive", last], numbers["active", last]
    sizes = dict(zip(SAME_IN_PAPER.values(), NETWORK_SIZES[::2], strict=True))[read["data_set"].iloc[0]]
    some = "" if last == sizes.num_branches - sizes.num_active else f" without {last}"  # its figure ends before all
    none, no_inactive, no_active = _removals(records, CODED)
    without_loss = _removals(records, NO_LOSS)
    return [
        _level("accuracy without a block's inactive branches", _read(inactive, some + other), no_inactive),
        _level("accuracy without its active branches", _read(active, other), no_active),
        _accuracies(
            "removing inactive branches gains", CLAIM, _read(inactive - whole, some + other), no_inactive, none
        ),
        _accuracies("removing active branches loses", CHECK, _read(whole - active, other), none, no_active),
        _accuracies(
            "removing active branches hurts more than inactive", CLAIM, _read(inactive - active, some + other),
            no_inactive, no_active,
        ),
        _accuracies(
            "without a coding loss, removing the same inactive branches loses", CLAIM, _Theirs(),
            without_loss[0], without_loss[1],
        ),
    ]  # fmt: skip


def _removals(records: _Records, kind: str) -> tuple[list[Answers], list[Answers], list[Answers]]:
    """Nothing removed, all inactive and all active branches of a block."""
    return (
        records.removal(kind, "inactive", whole=True),
        records.removal(kind, "inactive"),
        records.removal(kind, "active"),
    )


def _binary_claims(records: _Records) -> list[Claim]:
    read, other = records.paper("figure-2b")
    here, foreign = (read[read["negatives"] == f"{where} distribution"] for where in ("in", "out of"))
    precision = here[here["metric"].str.endswith("precision")]["value"]
    recall = here[here["metric"].str.endswith("recall")]["value"]
    name = "binary classifiers, mean"
    rows = [
        ("precision", _range(precision, other), "precision", 1.0),
        ("recall", _range(recall, other), "recall", 1.0),
        ("average precision", _Theirs(), "average_precision", 100.0),
        ("precision against foreign images", _range(foreign["value"], other), "precision_out", 1.0),
    ]
    return [
        _classes(f"{name} {what}", LEVEL, theirs, records, records.points(CODED, column, scale))
        for what, theirs, column, scale in rows
    ]


def _early_claims(records: _Records) -> list[Claim]:
    read, other = records.paper("figure-4")
    numbers = read["value"].tolist()  # in network order, the softmax last
    first, last, softmax = (records.decoding(CODED, place) for place in (0, -2, -1))
    return [
        _level("early decoding by the first coded block", _read(numbers[0], other), first),
        _level("early decoding by the last coded block", _read(numbers[-2], other), last),
        _accuracies(
            "decoding improves from the first block to the last", CHECK, _read(numbers[-2] - numbers[0], other),
            last, first,
        ),
        _level("softmax of the same runs", _read(numbers[-1], other), softmax),
        *(
            _accuracies(
                f"early decoding by the {which} coded block beats a linear probe of the plain network's",
                CLAIM, _Theirs(), decoder, records.probes(PLAIN, place),
            )
            for which, decoder, place in (("first", first, 0), ("last", last, -1))
        ),
    ]  # fmt: skip


def _control_claims(records: _Records) -> list[Claim]:
    """Ours, not the paper's: what a path owes to its codeword, to the coding loss, to being trained with either."""
    own, another = (records.controls(CODED, cut) for cut in ("own codeword", "another codeword"))
    without_loss, plain = (records.controls(kind, "own codeword") for kind in (NO_LOSS, PLAIN))
    small = records.controls(records.small_plain(), "whole network")
    name = "mean average precision, own codeword less"
    rows = [
        _classes(f"{name} another's", CLAIM, _Theirs(), records, own, another),
        _classes(f"{name} the mean of all others'", CLAIM, _Theirs(), records, own, records.other_paths(CODED)),
        _classes(f"{name} the same cut without a coding loss", CLAIM, _Theirs(), records, own, without_loss),
        _classes(f"{name} the same cut of a plain network", CHECK, _Theirs(), records, own, plain),
        _classes(f"{name} that of a small plain network, whole", CLAIM, _Theirs(), records, own, small),
    ]
    if dropping := records.controls(DROPPING_ALONE, "own codeword"):
        rows.append(_classes(f"{name} the same cut with dropping alone", CLAIM, _Theirs(), records, own, dropping))
    return rows


def _codeword_claims(records: _Records) -> list[Claim]:
    """Ours: what the design of the words is worth, in presets that have runs with others."""
    rows = []
    for scheme, name in (("random", "random codewords"), ("permuted", "the same codewords dealt otherwise")):
        kind = f"coded, scheme={scheme}"
        if not any(True for _ in records.of("accuracy", kind)):
            continue
        own = (records.controls(there, "own codeword") for there in (CODED, kind))
        gains = [records.removal(there, "inactive") for there in (CODED, kind)]
        rows += [
            _accuracies(f"accuracy less that with {name}", CLAIM, _Theirs(), *map(records.accuracy, (CODED, kind))),
            _accuracies(
                f"decoding by the first coded block less that with {name}", CLAIM, _Theirs(),
                records.decoding(CODED, 0), records.decoding(kind, 0),
            ),
            _accuracies(
                f"decoding by the last coded block less that with {name}", CLAIM, _Theirs(),
                records.decoding(CODED, -2), records.decoding(kind, -2),
            ),
            _accuracies(f"accuracy without inactive branches less that with {name}", CLAIM, _Theirs(), *gains),
            _classes(f"mean average precision, own codeword, less that with {name}", CLAIM, _Theirs(), records, *own),
        ]  # fmt: skip
    return rows


def _dropping_claims(records: _Records) -> list[Claim]:
    numbers, other = records.paper("figure-6")
    read = numbers.set_index(["p_drop", "metric"])["value"]
    gained = read[0.1, "lowest precision"] - read[0.0, "highest precision"]
    kept = read[0.1, "accuracy"] - read[0.0, "accuracy"]
    with_dropping, without = (records.points(kind, "precision") for kind in (CODED, NO_DROPPING))
    theirs = _theirs(f"~{gained:.0f} or more", gained, other, exact=False)
    return [
        _classes(
            "binary precision gained by branch dropping", CLAIM, theirs, records, with_dropping, without
        ),
        _accuracies(
            "branch dropping costs no accuracy", CLAIM, _theirs(f"{kept:+.2f}", kept, other),
            records.accuracy(CODED), records.accuracy(NO_DROPPING), MARGIN,
        ),
    ]  # fmt: skip


def _coding_loss_claims(records: _Records) -> list[Claim]:
    """Of the last coded block as a decoder; the paper's numbers are of CIFAR-100, where chance is 1 %."""
    numbers, other = records.paper("figure-5")
    read = numbers.query("network == 'coded' and decoder == 'block 9'").set_index("mu")["value"]
    trained, without = (records.decoding(kind, -2) for kind in (CODED, NO_LOSS))
    return [
        _level(
            "decoding by the last block without a coding loss", _theirs(f"~{read[0]:.0f}", read[0], other), without
        ),
        _accuracies(
            "decoding by the last block gained by the coding loss", CHECK,
            _theirs(f"~{read[6] - read[0]:.0f}", read[6] - read[0], other), trained, without,
        ),
    ]  # fmt: skip


def _size_claims(data: str) -> list[Claim]:
    """"At least 60 % fewer parameters", of the paper's network for the data set, by both ways of counting."""
    data_set = compared_with(data)
    name = f"parameters that one class's path saves, of {data_set}'s network"
    theirs = f"at least {FEWER:.0f}"
    for record in read_stage("architectures", "architecture"):
        if record["parameters"]["data_set"] == data_set:
            everything, aside = (
                100 - metric(record, key) for key in ("kept_parameters", "kept_parameters_without_shortcuts")
            )
            words = [f"{'agrees' if saved >= FEWER else 'differs'}" for saved in (everything, aside)]
            verdict = f"{words[0]}, all counted; {words[1]} without shortcuts ({aside:.1f})"
            return [Claim(name, COUNT, theirs, ours=everything, verdict=verdict)]
    return [Claim(name, COUNT, theirs)]


def _level(claim: str, theirs: _Theirs, runs: Sequence[Answers]) -> Claim:
    return _row(claim, LEVEL, theirs, rate(runs) if runs else None)


def _accuracies(
    claim: str, row: str, theirs: _Theirs, larger: Sequence[Answers], smaller: Sequence[Answers], margin: float = 0.0
) -> Claim:
    """Whether one accuracy is larger than another, or by less than a margin smaller."""
    return _row(claim, row, theirs, difference(larger, smaller) if larger and smaller else None, margin)


def _classes(
    claim: str, row: str, theirs: _Theirs, records: _Records, more: Vectors, less: Vectors | None = None
) -> Claim:
    """A mean over the binary classifiers of all classes, or whether one way does better than another."""
    if not more or (less is not None and not less):
        measured = row == LEVEL and any(True for _ in records.of("binary", CODED))
        return Claim(claim, row, theirs.text, verdict=NOT_MEASURED if measured else NOT_RUN)
    return _row(claim, row, theirs, of_classes(more, records.images("binary"), less))


def _row(claim: str, row: str, theirs: _Theirs, ours: Estimate | None, margin: float = 0.0) -> Claim:
    if ours is None:
        return Claim(claim, row, theirs.text)
    known = not math.isnan(theirs.effect)
    inside = ("yes" if abs(ours.value - theirs.effect) <= ours.error else "no") if known and theirs.exact else ""
    decides = row == CLAIM
    return Claim(
        claim, row, theirs.text, ours.value, ours.error, ours.runs, ours.images,
        ours.verdict(margin) if decides else "",
        inside,
        ours.power(theirs.effect, margin) if decides and known else None,
        ours.over, ours.paired,
        theirs.effect if known else None,
    )  # fmt: skip


def _theirs(text: str, effect: float, other: str, exact: bool = True) -> _Theirs:
    """A number of the paper; one of other data or another removal, as `other` says, is no effect to reckon with."""
    return _Theirs(text + other, math.nan if other else effect, exact)


def _read(value: float, other: str) -> _Theirs:
    """Off a plot."""
    return _theirs(f"~{value:.1f}", value, other)


def _range(values: pd.Series, other: str) -> _Theirs:
    return _Theirs(f"~{values.min():.0f} to {values.max():.0f}{other}")
