"""What the README says of the results: seven claims, what a path owes to what, what trained weights are worth."""

from __future__ import annotations

from statistics import fmean
from typing import NamedTuple

import pandas as pd

from ..records.kinds import run_kinds
from ..records.paper import EXPECTED, compared_with
from ..records.presets import REFERENCES, load_preset
from ..records.records import metric, read_stage
from .claims import CODED, COUNT, NO_DROPPING, NO_LOSS, NOT_RUN, PLAIN, claims
from .tables import controls_table
from .text import as_markdown

SHOWN_PRESETS = ("cifar10", "cifar10-60-epochs", "cifar10-few", "cifar10-small", "digits", "cifar100-small")
MARKS = {"agrees": "✓", "differs": "✗", "undecided": "?"}
SHIPPED, NOTHING = "from-shipped", "from-nothing"  # presets of a folder with few images
SAYS = "percent, or points"


class Headline(NamedTuple):
    """A row of the README: what it says, the claim that it is, and the page of that claim."""

    says: str
    claim: str
    page: str


HEADLINES = (
    Headline("accuracy, coded less plain", "coded minus plain: nothing is lost", "accuracy"),
    Headline("accuracy gained by the coding loss", "accuracy gained by the coding loss", "what-accuracy-owes"),
    Headline(
        "accuracy lost by removing a block's active rather than inactive branches",
        "removing active branches hurts more than inactive", "specialisation",
    ),
    Headline("precision of a class's path alone", "binary classifiers, mean precision", "binary-classifiers"),
    Headline(
        "class named right by the first coded block", "early decoding by the first coded block", "early-decoding"
    ),
    Headline(
        "precision that a path gains by branch dropping", "binary precision gained by branch dropping",
        "branch-dropping",
    ),
    Headline(
        "parameters that a class's path saves, of the paper's network",
        "parameters that one class's path saves, of CIFAR-10's network", "parameters-saved",
    ),
)  # fmt: skip


def headline_table() -> str:
    """Seven claims as Markdown: the paper's number, then ours of each preset that was run; by data set of the paper."""
    columns: dict[str, list[str]] = {}
    for preset in SHOWN_PRESETS:
        table = claims(preset).set_index("claim")
        if not table["runs"].notna().any():
            continue
        data_set = compared_with(load_preset(preset).data)
        table.index = table.index.str.replace(f"of {data_set}'s network", f"of {EXPECTED}'s network")
        rows = [table.loc[row.claim] for row in HEADLINES]
        columns.setdefault(paper_column(data_set), [row["paper"] for row in rows])
        most = table["runs"].max()
        head = f"{load_preset(preset).title} (n = {most})"
        columns[head] = [headline_cell(row, most) for row in rows]
    says = [f"[{row.says}](docs/claims/{row.page}.md)" for row in HEADLINES]
    return as_markdown(pd.DataFrame({SAYS: says, **columns}), marked=[SAYS])


def paper_column(data_set: str) -> str:
    """The head of the paper's numbers on one of its data sets."""
    return "paper" if data_set == EXPECTED else f"paper, {data_set}"


def headline_cell(row: pd.Series, most: int) -> str:
    """A number with its 95 % error and the mark of its verdict; of how many runs, where it is fewer than `most`."""
    if pd.isna(row["ours"]):
        return row["verdict"]
    if row["row"] == COUNT:
        verdict = row["verdict"]
        for word, mark in MARKS.items():
            verdict = verdict.replace(word, mark)
        return f"{row['ours']:.1f} {verdict}"
    mark = MARKS.get(row["verdict"].split(" ")[0])
    fewer = f"(n = {row['runs']})" if row["runs"] < most else None
    return " ".join(filter(None, (f"{row['ours']:.1f} ± {row['error']:.1f}", mark, fewer)))


def owed() -> str:
    """Three sentences: how well a class's path stands alone, and what takes that away."""
    preset = load_preset(REFERENCES[0])  # of the digits even a plain network's paths stand alone
    table = controls_table(read_stage(preset.name, "binary"))
    runs = table.groupby("kind")["runs"].first()
    mean = 100 * table.groupby(["kind", "cut"])["average_precision"].mean()
    own = mean[CODED, "own codeword"]
    lost = {
        "to branch dropping in training": own - mean[NO_DROPPING, "own codeword"],
        "to the coding loss": own - mean[NO_LOSS, "own codeword"],
        "to its own codeword rather than another's": own - mean[CODED, "another codeword"],
    }
    most, *between, least = sorted(lost, key=lost.__getitem__, reverse=True)
    return (
        f"In our small network ({preset.title}) a class's path alone has a mean average precision of {own:.1f} %, and "
        f"{mean[CODED, 'another codeword']:.1f} % when it is cut by another class's codeword (n = {runs[CODED]}). "
        f"The same cut has {mean[NO_LOSS, 'own codeword']:.1f} % in a network trained without the coding loss "
        f"(n = {runs[NO_LOSS]}), {mean[NO_DROPPING, 'own codeword']:.1f} % in one trained without branch dropping "
        f"(n = {runs[NO_DROPPING]}), and {mean[PLAIN, 'own codeword']:.1f} % in a plain network, which had neither "
        f"(n = {runs[PLAIN]}). "
        f"So a path owes most {most} ({lost[most]:.1f} points), then "
        f"{', then '.join(f'{what} ({lost[what]:.1f})' for what in between)}, and least {least} ({lost[least]:.1f}).\n"
    )


def from_few_images() -> str:
    """One sentence: what starting from trained weights is worth where there are few images of a class."""
    rates = {}
    for preset in (SHIPPED, NOTHING):
        records = read_stage(preset, "training")
        for kind in (CODED, PLAIN):
            of_kind = zip(records, run_kinds(records), strict=True)
            rates[preset, kind] = [metric(record, "test_accuracy") for record, its in of_kind if its == kind]
    if not all(rates.values()):
        return f"{', '.join(sorted({preset for (preset, _), found in rates.items() if not found}))}: {NOT_RUN}.\n"
    epochs = {preset: next(iter(load_preset(preset).runs.values())).epochs for preset in (SHIPPED, NOTHING)}
    said = {
        preset: f"{fmean(rates[preset, CODED]):.1f} % of their test images after {epochs[preset]} epochs (plain "
        f"{fmean(rates[preset, PLAIN]):.1f}; n = {min(len(rates[preset, kind]) for kind in (CODED, PLAIN))})"
        for preset in (SHIPPED, NOTHING)
    }
    return (
        f"From 60 images each of ten CIFAR-100 classes, none of which is in CIFAR-10, a network that starts from "
        f"`cifar10-small` is right on {said[SHIPPED]}, one that starts from nothing on {said[NOTHING]}.\n"
    )
