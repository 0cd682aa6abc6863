"""A page a claim (docs/claims): the paper's number, ours, the records behind it, and what would change the verdict.

Written from `claims` and the records alone, so that a page cannot say what no record says.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ... import paths
from ..records.kinds import run_kinds
from ..records.paper import SAME_IN_PAPER, compared_with
from ..records.presets import load_preset
from ..records.records import Record, read_stage
from .again import presets_once
from .claims import (
    CODED,
    DROPPING_ALONE,
    NO_DROPPING,
    NO_LOSS,
    NOT_RUN,
    PLAIN,
    claims,
    is_decayed_plain,
    is_narrower_plain,
)
from .headlines import SHOWN_PRESETS, headline_cell, paper_column
from .regimes import what_held
from .text import as_markdown

SMALL_PLAIN = "plain, narrower"
DECAYED_PLAIN = "plain, another weight decay"
UP = "../.."  # from docs/claims to the repository's root
ARCHITECTURES = "architectures"  # the folder of records that belong to no preset


class Page(NamedTuple):
    """One claim of the paper, or one of ours.

    Attributes:
        stem: of its file.
        claim: in one sentence, the title.
        says: where the paper says it, in our words.
        rows: of `claims`.
        stages: whose records are behind them.
        kinds: of the runs of these records, see `run_kinds`; SMALL_PLAIN for any narrower plain network, DECAYED_PLAIN
            for one with any other weight decay.
        notebook: that computes and shows it.
        item: its figure or table in figures/<preset>/.
        change: what would change the verdict.
    """

    stem: str
    claim: str
    says: str
    rows: tuple[str, ...]
    stages: tuple[str, ...]
    kinds: tuple[str, ...]
    notebook: str
    item: str
    change: str


PAGES = (
    Page(
        "accuracy", "Coding costs no accuracy",
        "Section 4.2 and table 2: the coded network is as accurate as the plain one of the same size, and on CIFAR "
        "more so.",
        (
            "accuracy, coded", "accuracy, plain", "coded minus plain: nothing is lost", "coded is better than plain",
        ),
        ("accuracy",), (CODED, PLAIN), "04_accuracy", "table-2-accuracy",
        "A difference whose whole 95 % interval lies below minus half a point would turn the first claim. The "
        "paper's network for 300 epochs with several seeds would decide both; one seed decides for itself alone.",
    ),
    Page(
        "what-accuracy-owes", "What coding gains, the coding loss gains",
        "Figure 5, on CIFAR-100: the softmax is better with the coding loss than without. The rest is ours: a coded "
        "network without it is normalised and drops branches all the same, so that the gain over the plain network "
        "is that of the loss, and that of normalising and dropping. Where there are runs with dropping alone, or of "
        "plain networks with more weight decay, they tell whether any regulariser would gain it. The coded network's "
        "weight decay was not chosen.",
        (
            "accuracy gained by the coding loss", "accuracy gained by normalising and dropping",
            "accuracy gained by dropping alone",
            "accuracy gained by the weight decay that held-out images choose, plain",
            "coded is better than plain with the weight decay that held-out images choose",
        ),
        ("accuracy",), (CODED, NO_LOSS, PLAIN, DROPPING_ALONE, DECAYED_PLAIN), "08_ablations",
        "figure-5-coding-loss-weight",
        "A coding loss that gains nothing, or another regulariser that gains as much.",
    ),
    Page(
        "specialisation", "Branches work for their own classes",
        "Section 4.3 and figure 2a: removing a block's branches at random hurts when they are active in the "
        "codeword of the image's class, and does not when they are inactive.",
        (
            "accuracy without a block's inactive branches", "accuracy without its active branches",
            "removing inactive branches gains", "removing active branches loses",
            "removing active branches hurts more than inactive",
            "without a coding loss, removing the same inactive branches loses",
        ),
        ("specialisation",), (CODED, NO_LOSS), "05_specialisation", "figure-2a-branch-removal",
        "The label of the image picks the branches, so a gain may come from knowing it: the network without a "
        "coding loss is the control. If removing the same inactive branches gained as much there, specialisation "
        "would not be what is seen.",
    ),
    Page(
        "binary-classifiers", "A class's path alone is a binary classifier",
        "Section 4.3 and figure 2b: with only the branches of one codeword, and no more training, the logit of the "
        "class tells its images from all others.",
        (
            "binary classifiers, mean precision", "binary classifiers, mean recall",
            "binary classifiers, mean average precision", "binary classifiers, mean precision against foreign images",
        ),
        ("binary",), (CODED,), "06_binary_classifiers", "figure-2b-binary-classifiers",
        "These are levels, which differ on other data and in smaller networks: they get no verdict. The paper's "
        "network on its data would make them comparable. What the paths owe to coding is asked under [what a path "
        "owes](what-a-path-owes.md).",
    ),
    Page(
        "early-decoding", "The class is known before the network ends",
        "Section 4.4 and figure 4: the codeword nearest to a coded block's energies names the class, the better "
        "the later the block, and the last block nearly as well as the softmax.",
        (
            "early decoding by the first coded block", "early decoding by the last coded block",
            "decoding improves from the first block to the last", "softmax of the same runs",
            "early decoding by the first coded block beats a linear probe of the plain network's",
            "early decoding by the last coded block beats a linear probe of the plain network's",
        ),
        ("early", "accuracy"), (CODED, PLAIN), "07_early_decoding", "figure-4-early-decoding",
        "The comparison with a linear probe is ours: a probe at the same place reads a whole block of a plain "
        "network and is fitted to labels. A first block that decodes better than the probe would turn its row.",
    ),
    Page(
        "what-a-path-owes", "A path owes its worth to its codeword",
        "The paper does not ask this: it cuts every class by its own codeword. These comparisons are ours.",
        (
            "mean average precision, own codeword less another's",
            "mean average precision, own codeword less the mean of all others'",
            "mean average precision, own codeword less the same cut without a coding loss",
            "mean average precision, own codeword less the same cut of a plain network",
            "mean average precision, own codeword less the same cut with dropping alone",
            "mean average precision, own codeword less that of a small plain network, whole",
        ),
        ("binary",), (CODED, NO_LOSS, NO_DROPPING, PLAIN, DROPPING_ALONE, SMALL_PLAIN),
        "06_binary_classifiers", "controls",
        "If another class's codeword served a class as well as its own, the first two rows would differ from zero "
        "no more. With dropping alone is a raw sum trained with the same dropping and nothing else: that row is what "
        "coding and normalising add to it.",
    ),
    Page(
        "codewords", "Designed codewords are better than others",
        "Appendix A designs the words for their distance, but nothing in the paper compares them with others: "
        "random words of the same weight, or the same words dealt to other classes. These comparisons are ours.",
        tuple(
            f"{what} less that with {words}"
            for words in ("random codewords", "the same codewords dealt otherwise")
            for what in (
                "accuracy", "decoding by the first coded block", "decoding by the last coded block",
                "accuracy without inactive branches", "mean average precision, own codeword,",
            )
        ),
        ("accuracy", "early", "specialisation", "binary"),
        (CODED, "coded, scheme=random", "coded, scheme=permuted"), "11_paper_vs_ours", "claims",
        "A difference from random words whose whole 95 % interval is on one side. The same words dealt to other "
        "classes should make none: what the classes mean was not looked at.",
    ),
    Page(
        "parameters-saved", "A class's path has far fewer parameters",
        "Section 4.3: a binary classifier keeps 38, 27 and 35 % of the parameters of the three networks, which is "
        "to save at least 60 %.",
        tuple(f"parameters that one class's path saves, of {data}'s network" for data in SAME_IN_PAPER.values()),
        (), (), "02_architectures", "kept-by-one-class",
        "It is counted, so no training changes it. Counting every tensor that a file must hold, the projection "
        "shortcuts too, less is saved; without the shortcuts on both sides the paper's number comes out. The paper "
        "does not say how it counts.",
    ),
    Page(
        "branch-dropping", "Paths stand alone because training dropped branches",
        "Section 4.5 and figure 6: without dropping, a path's precision collapses; with it, accuracy is not lost. "
        "Which way of dropping images held out would choose, among those whose paths stand alone, is a table apart: "
        f"[the small CIFAR-10 network]({UP}/figures/cifar10-small/choice-of-dropping.md).",
        ("binary precision gained by branch dropping", "branch dropping costs no accuracy"),
        ("binary", "accuracy"), (CODED, NO_DROPPING), "08_ablations", "figure-6-branch-dropping",
        "Precision without dropping as high as with it would turn the first claim. The second wants more seeds "
        "where its interval is wide.",
    ),
    Page(
        "coding-loss", "The coding loss makes blocks decode",
        "Section 4.5 and figure 5, on CIFAR-100: without the coding loss a block decodes at chance.",
        (
            "decoding by the last block without a coding loss", "decoding by the last block gained by the coding loss",
        ),
        ("early",), (CODED, NO_LOSS), "08_ablations", "figure-5-coding-loss-weight",
        "It could hardly fail, since no codeword is seen without the loss: a check, without a verdict.",
    ),
    Page(
        "exponent", "An exponent of 4 is better than 2",
        "Section 4.5: accuracy with the fourth power in the coding loss, with the square, and with the absolute value.",
        ("accuracy, exponent 4 less exponent 2",),
        ("accuracy",), (CODED, "coded, exponent=2.0"), "08_ablations", "exponent",
        "One run of each decides at most for itself: more seeds of both.",
    ),
    Page(
        "the-sum", "Branches must be summed",
        "Section 3: if branches wrote to channels of their own, the next block could read which are silent, and "
        "cutting a path out would fail.",
        ("mean average precision lost by concatenation",),
        ("binary",), (CODED, "coded, branch_sum=concatenated"), "08_ablations", "branch-sums",
        "A concatenated network whose paths stand alone as well as those of a sum.",
    ),
)  # fmt: skip

COLUMNS = {
    "row": "kind", "ours": "ours", "error": "error, 95 %", "runs": "runs", "images": "images", "over": "error of",
    "paired": "paired by", "power": "power, %", "verdict": "verdict",
}  # fmt: skip
LEGEND = """\
Percent and percentage points. A *claim* could have failed: it *agrees* or *differs* when all of its 95 % interval is
on one side, of one run as one run only, and is *undecided* otherwise; *nothing is lost*, or costs nothing, means less
than half a point. Its power is how often, with so many runs and images, it would agree if the paper's effect were the
true one. A *level* is a number, a *check* a comparison that could not reasonably fail, a *count* follows from the
architecture: none has a verdict on the paper. `figures/<preset>/claims.csv` has every row in full, and whether the
paper's number lies in our interval.

± is a 95 % error: Student's t of the runs and, where an accuracy is concerned, of the draw of the test images; of one
run's binary classifiers, of the classes. In a difference runs of one seed are in pairs, and so are the answers to one
image where the records have them (*paired by runs, images*). Random removals of one network are averaged before its
run counts as one. ~ was read off a plot; of CIFAR-100's 12 inactive branches the paper's ends *without 8*. Foreign
images are CIFAR-100's for CIFAR-10, CIFAR-10's for CIFAR-100, and patches of photographs for the digits.

*Toy* is another network or other data than the paper's, and its levels should differ:
"""


def full_table() -> str:
    """All claims beside the records of the presets that are shown, as Markdown."""
    tables = {preset: claims(preset).set_index("claim") for preset in SHOWN_PRESETS}
    run = {preset: table for preset, table in tables.items() if table["runs"].notna().any()}
    return _beside(run)


def claim_pages() -> dict[str, str]:
    """Every page of docs/claims as Markdown, by file name; README.md lists them."""
    return {"README.md": _index()} | {f"{page.stem}.md": _page(page) for page in PAGES}


def _index() -> str:
    pages = "\n".join(f"* [{page.claim}]({page.stem}.md)" for page in PAGES)
    shown = [load_preset(preset) for preset in SHOWN_PRESETS]
    scales = "\n".join(f"* *{preset.title}*: {preset.scale}." for preset in shown)
    pages += "\n* and whether the verdicts on the digits come out [again with other seeds](again.md)"
    held = "\n".join(f"* {what_held(preset.name)}" for preset in shown if claims(preset.name)["runs"].notna().any())
    return (
        f"# What the paper claims, and what the records say\n\n{pages}\n\n{full_table()}\n{LEGEND}\n{scales}\n\n"
        f"## What held where\n\n{held}\n"
    )


def _page(page: Page) -> str:
    parts = [f"# {page.claim}", "[All claims](README.md)", f"**The paper.** {page.says}"]
    measured = {}
    for preset in _presets() if page.stages else ("digits",):
        table = claims(preset) if page.stages else pd.concat(map(claims, SAME_IN_PAPER))  # whose networks are counted
        table = table[table["claim"].isin(page.rows)].set_index("claim")
        if table["ours"].notna().any():
            measured[preset] = table
    if measured:
        parts += ["**Ours.**", _beside(measured, "" if page.stages else "counted")]
    else:
        parts.append("**Ours.** Not run: no preset has records of such runs.")
    parts.append(f"**What would change the verdict.** {page.change}")
    for preset in measured:
        parts.append(_source(page, preset, measured[preset], _behind(page, preset)))
    parts.append(f"Computed and shown by notebook [{page.notebook}]({UP}/notebooks/{page.notebook}.ipynb).")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _beside(tables: dict[str, pd.DataFrame], head: str = "") -> str:
    """Claims of several presets as Markdown, under their titles or `head`, less those that none has run.

    The paper's numbers on a data set stand before the first preset that is compared with them.
    """
    every = pd.concat(list(tables.values()))
    every = every[~every.index.duplicated()]
    columns: dict[str, pd.Series] = {"kind": every["row"]}
    ours = []
    for preset, table in tables.items():
        told = load_preset(preset)
        columns.setdefault(paper_column(compared_with(told.data)), table["paper"])
        most = table["runs"].max()
        ours.append((head or told.title) + ("" if pd.isna(most) else f" (n = {most})"))
        columns[ours[-1]] = pd.Series({claim: headline_cell(row, most) for claim, row in table.iterrows()})
    rows = pd.DataFrame(columns, index=every.index)
    rows[ours] = rows[ours].fillna(NOT_RUN)
    return as_markdown(rows[(rows[ours] != NOT_RUN).any(axis=1)].fillna("").reset_index(names="claim"))


def _presets() -> list[str]:
    """Those that the README shows, then all others of the repository but for repetitions."""
    return [*SHOWN_PRESETS, *(preset for preset in presets_once() if preset not in SHOWN_PRESETS)]


def _behind(page: Page, preset: str) -> dict[str, list[Record]]:
    """The records behind a page, by stage, and those of the trainings behind them."""
    if not page.stages:
        return {"architecture": read_stage(ARCHITECTURES, "architecture")}
    records: dict[str, list[Record]] = {}
    for stage in page.stages:
        every = read_stage(preset, stage)
        records[stage] = [r for r, kind in zip(every, run_kinds(every), strict=True) if _behind_it(kind, page)]
    names = {record["name"] for stage in page.stages for record in records[stage]}
    return {"training": [r for r in read_stage(preset, "training") if r["name"] in names], **records}


def _behind_it(kind: str, page: Page) -> bool:
    narrower, decayed = SMALL_PLAIN in page.kinds, DECAYED_PLAIN in page.kinds
    return kind in page.kinds or (narrower and is_narrower_plain(kind)) or (decayed and is_decayed_plain(kind))


def _source(page: Page, preset: str, table: pd.DataFrame, records: dict[str, list[Record]]) -> str:
    """Of one preset: every number, how large, by which command, how long, from which records, and the picture."""
    lines = [f"## {load_preset(preset).title if page.stages else 'Records'}", ""]
    if table["runs"].notna().any():
        numbers = table[table["ours"].notna()].round(2).rename(columns=COLUMNS)
        lines += [as_markdown(numbers[list(COLUMNS.values())].reset_index(names="claim"))]
    if page.stages:
        lines.append(f"* Scale: {load_preset(preset).scale}.")
    lines.append(f"* Command: `make reproduce PRESET={preset}`")
    for stage, those in records.items():
        if not those:
            continue
        folder = preset if page.stages else ARCHITECTURES
        links = ", ".join(f"[{r['name']}]({UP}/data/results/{folder}/{r['stage']}-{r['name']}.json)" for r in those)
        devices = ", ".join(sorted({r["environment"]["device"] for r in those}))
        lines.append(f"* Records, {stage}: {links}; {sum(r['seconds'] for r in those) / 60:.1f} minutes on {devices}")
    picture = f"figures/{preset}/{page.item}"
    if (paths.ROOT / f"{picture}.png").is_file():
        lines += ["", f"![{page.claim}: {load_preset(preset).title}]({UP}/{picture}.png)"]
    elif (paths.ROOT / f"{picture}.csv").is_file():
        lines.append(f"* Table: [{page.item}]({UP}/{picture}.csv)")
    return "\n".join(lines)
