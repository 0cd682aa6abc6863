"""What stands under every figure and table: what it shows, of which runs, what its marks are, and the paper's number.

Words are here; runs, seeds and images are counted in the records, and the paper's numbers are read from its files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..records.kinds import run_kinds
from ..records.paper import DESIGN, SCHEME_RECORDS, SEARCH
from ..records.presets import is_own, load_preset
from ..records.records import Record, read_stage
from . import quotes

SPREAD = "Bars: one standard deviation over seeds"
INTERVAL = "the binomial 95 % interval of the test images"
CURVE = f"{SPREAD}; bands: {INTERVAL}."
RUNS = ("coded",)  # kinds of runs, by how their names begin
BOTH = ("coded", "plain")
EVERY = ("",)
BENCHMARKS = ("step", "latency", "profile")  # by the clock, of a network of the paper
HOMES = {  # stages whose records belong to no preset: the folder that they are in
    **dict.fromkeys(BENCHMARKS, "benchmark"),
    "architecture": "architectures",
    **dict.fromkeys((DESIGN, SEARCH), SCHEME_RECORDS),
}
NETWORKS = {"resnext29-10x11d": "ResNeXt-29 (10×11d), the paper's for CIFAR-10"}


class Caption(NamedTuple):
    """The words of a figure or table.

    Attributes:
        title: a few words.
        shows: in a sentence or two.
        marks: what points, lines, bars and bands of the figure are; empty for a table.
        number: of the paper, such as "Figure 2a"; empty for what the paper has not.
        stages: of the records that it is made from; the runs of the first are counted.
        kinds: of those runs; empty where one of them stands for all. A kind is its name; "" is every one.
        theirs: the paper's number, from the name of a data set of ours.
        having: the piece of a record that it shows; older records lack it and do not count.
    """

    title: str
    shows: str
    marks: str = ""
    number: str = ""
    stages: tuple[str, ...] = ()
    kinds: tuple[str, ...] = RUNS
    theirs: Callable[[str], str] | None = None
    having: str = ""


def _codebook(sizes: str, network: str) -> Caption:
    return Caption(
        f"The scheme of {network}, {sizes}",
        "Which branches work for which class, as the designer of this project found it: the minimum distance is the "
        "largest that is possible.",
        "Filled: the branch works for the class. Right: how many classes each branch works for.",
    )


CAPTIONS = {
    # 01: codes
    "table-3-schemes": Caption(
        "The schemes of CIFAR-10", "The codeword of every class, one digit a branch; as printed in the paper.",
        number="Table 3",
    ),
    "schemes": Caption(
        "Three schemes a network",
        "The published scheme, the paper's search run again at its distance, and the designer's. `distance` is the "
        "smallest Hamming distance of two codewords, `bound` the proven largest possible one, `spread` the fullest "
        "column less the emptiest, `pairs` the pairs of classes at that distance: at a larger distance more of them "
        "are no loss, since the closest pair is what is confused first.",
        stages=(DESIGN, SEARCH), kinds=(),
    ),
    "scheme-proofs": Caption(
        "Why no scheme is better", "The largest possible minimum distance for the sizes of a network, and its proof.",
    ),
    "figure-1c-coding-scheme": Caption(
        "The codewords of CIFAR-10, r = 3/10", "Which branches work for which class in the last coded stage.",
        "Filled cell: the branch works for the class.", number="Figure 1c",
    ),
    "codebook-10x10-5": Caption(
        "The codewords of CIFAR-10, r = 5/10", "Which branches work for which class in the first coded stage.",
        "Filled cell: the branch works for the class.",
    ),
    "codebook-100x20-8": _codebook("r = 8/20", "CIFAR-100"),
    "codebook-100x20-4": _codebook("r = 4/20", "CIFAR-100"),
    "codebook-1000x32-16": _codebook("r = 16/32", "ImageNet"),
    "codebook-1000x32-8": _codebook("r = 8/32", "ImageNet"),
    "scheme-distances": Caption(
        "How far codewords are apart",
        "All pairs of codewords by their Hamming distance, for every scheme of the paper's networks.",
        "Bars: pairs of codewords of the built-in schemes, ours but for CIFAR-10's; dashed: the proven upper bound on "
        "the minimum distance; triangle: the minimum of the published scheme.",
    ),
    "distance-bound-by-classes": Caption(
        "How many classes fit", "How the proven upper bound on the minimum distance of 32 branches falls with classes.",
        "Lines: no scheme has a larger minimum distance; points: what the built-in "
        "schemes reach.",
    ),
    # 02: architectures
    "table-1-architectures": Caption(
        "The three networks", "Stages of the networks as counted in ours.", number="Table 1",
        stages=("architecture",), kinds=(),
    ),
    "table-4-cost": Caption(
        "What coding costs, counted", "Parameters and multiply-adds of coded and plain networks.", number="Table 4",
        stages=("architecture",), kinds=(), theirs=quotes.table_4,
    ),
    "table-4-step": Caption(
        "What coding costs, by the clock", "Time and memory of a training step; medians, and ratios to the plain "
        "network's.", number="Table 4", stages=("step",), kinds=(),
    ),
    "kept-by-one-class": Caption(
        "What one class keeps", "What the network of a single class keeps of the whole, percent.",
        number="Section 4.3", stages=("architecture",), kinds=(), theirs=quotes.kept_parameters,
    ),
    "figure-1a-resnext-block": Caption(
        "A ResNeXt block", "The conventional block: a sum of branches beside a shortcut.",
        "Batch norm and ReLU after the first two convolutions are not drawn.", number="Figure 1a",
    ),
    "figure-1b-coded-block": Caption(
        "A coded block", "The energies of the branches are normalised and pushed towards the codeword of the class.",
        "Orange, 1: the branch works for the class; green, 0: it does not.", number="Figure 1b",
    ),
    # 03: training
    "learning-curves": Caption(
        "Learning curves", "Accuracy on the images held out (on the test images where none are), accuracy of the last "
        "coded block as a decoder, and the coding loss, at the epochs that were evaluated.",
        "Lines, or points where few were: means over seeds; bands: one standard deviation.",
        stages=("training",), kinds=("coded", "plain", "coded, mu="),
    ),
    # 04 to 07: the paper's results
    "table-2-accuracy": Caption(
        "Accuracy", "Top-1 accuracy on the test images, percent, and the difference in points; std over seeds; low and "
        "high: the binomial 95 % interval, of the difference its own.", number="Table 2",
        stages=("accuracy", "specialisation", "binary", "early", "training"), kinds=EVERY, theirs=quotes.table_2,
    ),
    "figure-2a-branch-removal": Caption(
        "Removing branches", "Accuracy without some branches of one block, taken at random among those that work for "
        "the true class and among those that do not.", CURVE,
        number="Figure 2a", stages=("specialisation",), theirs=quotes.figure_2a,
    ),
    "worth-of-branches": Caption(
        "What each branch is worth to each class", "Accuracy of the images of every class without one branch of the "
        "block of figure 2a, less that with all branches.",
        "Framed: the branch works for the class. Numbers: percentage points, means over seeds.",
        stages=("specialisation",), having="by_class",
    ),
    "branch-removal-by-block": Caption(
        "Removing branches, block by block", "Accuracy without all active or all inactive branches of each block.",
        stages=("specialisation",), kinds=EVERY, having="blocks",
    ),
    "figure-2b-binary-classifiers": Caption(
        "Binary classifiers", "Recall and precision of the path of every class as a classifier of its own, against "
        "the other classes and against foreign images; thresholds are from training images.",
        "A line joins the two points of a class, which share their recall; grey boxes: the range of the paper's.",
        number="Figure 2b", stages=("binary",), theirs=quotes.figure_2b,
    ),
    "figure-8-binary-classifiers": Caption(
        "Binary classifiers of many classes", "Recall and precision of the path of every class as a classifier of its "
        "own.", "Area: the number of classes at a point.", number="Figures 2c and 8", stages=("binary",),
    ),
    "figure-3-logit-histogram": Caption(
        "Logits of one class", "The logit of the first class's path for its images, for other classes and for foreign "
        "images.", "Every histogram fills 100 %; dashed: the threshold.", number="Figure 3",
        stages=("binary",), kinds=(),
    ),
    "figure-7-logit-histograms": Caption(
        "Logits of ten classes", "As in figure 3, for the first ten classes.",
        "Every histogram fills 100 %; dashed: the threshold.", number="Figure 7", stages=("binary",), kinds=(),
    ),
    "controls": Caption(
        "What a path owes to its codeword", "Average precision of the classifier of every class: cut out by its own "
        "codeword, by that of another class, or not cut out; of coded networks and of plain ones cut the same way.",
        "A point is a class, a bar the mean over classes; the dotted line is chance.",
        stages=("binary",), kinds=BOTH,
    ),
    "paths-by-distance": Caption(
        "A class on the path of another", "Average precision by how far apart the two codewords are.",
        stages=("binary",), kinds=EVERY, having="paths",
    ),
    "figure-4-early-decoding": Caption(
        "Early decoding", "Accuracy of every coded block as a decoder, by the codeword nearest to its energies, then "
        "of the softmax.", CURVE, number="Figure 4", stages=("early", "exits", "architecture"),
        theirs=quotes.figure_4,
    ),
    "network-and-decoders": Caption(
        "The network and its decoders", "Every coded block names a class: the one whose codeword is nearest to the "
        "energies of its branches. Below: the share of all multiply-adds that is spent by then, and how often the "
        "answer is right.", "A box is a branch; hatched: it works for the first class.",
        stages=("early", "exits", "architecture"), theirs=quotes.figure_4,
    ),
    "energies-by-class": Caption(
        "Energies become codewords", "Mean energy of every branch over the test images of a class, in every coded "
        "block, beside the codewords that the coding loss pushes them towards; below, where they are there, of runs "
        "without that loss.", "Darker: more energy. *Astray*: share of the energy in branches whose bit is 0.",
        stages=("early",), kinds=("coded", "coded, mu="), having="energies",
    ),
    "energies-of-images": Caption(
        "One image lights up its branches", "Test images drawn by chance among those that every block gets right "
        "(easy), that only later stages do (late), that the first block gets wrong by more than the median of the "
        "margins of those it gets right (wrong early), and among images of no class (foreign). Beside each block: the "
        "class of the nearest codeword, right (=) or wrong (≠), and by how much the second-nearest is farther; the "
        "image would leave where this margin exceeds a threshold that costs half a point on the images held out.",
        "Darker: more energy. Dots: branches that work for the true class, or for the named one.",
        stages=("early",), kinds=(), having="examples",
    ),
    "energies-by-block": Caption(
        "What inactive branches carry", "Share of a block's energy in branches that do not work for the true class, "
        "percent; `if_even`: were all branches alike.", stages=("early",), kinds=EVERY, having="energies",
    ),
    "decoding-and-probes": Caption(
        "Decoding beside a linear probe", "Accuracy of early decoding and of a linear classifier on the averaged "
        "features of the plain network at the same block, percent.", stages=("early", "accuracy"),
    ),
    # 08: ablations
    "ablations": Caption(
        "Every kind of run", "What each ablation does to accuracy, to early decoding and to binary classifiers.",
        stages=("accuracy", "early", "binary"), kinds=EVERY,
    ),
    "choice-of-dropping": Caption(
        "Which dropping held-out images choose", "Accuracy and mean average precision of the paths on the images held "
        "out, by how branches were dropped in training; chosen is the most accurate whose paths reach 0.90. A plain "
        "network's accuracy on the same images says what is lost, less_plain. The test images, in the column accuracy, "
        "had no say.", stages=("accuracy",),
        kinds=("coded", "coded, drop_branch=", "coded, drop_ramp=", "plain"), having="held",
    ),
    "figure-5-coding-loss-weight": Caption(
        "The weight of the coding loss", "Accuracy of the softmax and of two early decoders against μ: ours, and the "
        "paper's on its data.", CURVE,
        number="Figure 5", stages=("early", "accuracy"), kinds=("coded", "coded, mu="), theirs=quotes.figure_5,
    ),
    "figure-6-branch-dropping": Caption(
        "Branch dropping", "Binary classifiers after training with several probabilities of dropping a branch.",
        "A point is a class; grey boxes: the range of the paper's, a band where it gives no recall.",
        number="Figure 6", stages=("binary", "accuracy"), kinds=("coded", "coded, drop_branch="),
        theirs=quotes.figure_6,
    ),
    "exponent": Caption(
        "The exponent of the coding loss", "Accuracy after training with several exponents.", CURVE,
        number="Section 4.5", stages=("accuracy",), kinds=("coded", "coded, exponent="), theirs=quotes.exponent,
    ),
    "branch-sums": Caption(
        "Normalised, summed or concatenated", "Binary classifiers of networks whose branches are summed as in "
        "equation 3, without its normalisation, or not summed at all.", "A point is a class.",
        stages=("binary", "accuracy"), kinds=("coded", "coded, branch_sum="),
    ),
    # 09: subnetworks
    "paths-of-classes": Caption(
        "The path of a class, and of two", "Which branches a network cut to the first class keeps, or to the first "
        "two; shares are means over classes and over random pairs.",
        "A box is a branch; two hatchings: of one class only; plain colour: of both.", stages=("subnetworks",),
    ),
    "forget-and-relearn": Caption(
        "A class forgotten and taught anew", "Every class in turn is taken out, and taught again by training the "
        "branches of a new codeword alone: its own accuracy, and what the others gain and lose.",
        "Points: one network; lines join what belongs together.", stages=("surgery",), kinds=(),
    ),
    "subnetworks-size": Caption(
        "The size of one class's network", "What it keeps of the full network, by several counts.",
        number="Section 4.3", stages=("subnetworks",), theirs=quotes.kept_parameters,
    ),
    "subnetworks-one-class": Caption(
        "One class's network at work", "Average precision of the cut-out network of every class and of the full "
        "network's logit.", stages=("subnetworks",),
    ),
    "subnetworks-subsets": Caption(
        "Networks of several classes", "Networks cut to random subsets of classes: their accuracy less that of the "
        "full network among the same classes, and what they keep.",
        "Bands: one standard deviation over subsets and seeds.", stages=("subnetworks",),
    ),
    "subnetworks-coupling": Caption(
        "Overlap of paths", "Jaccard overlap of two classes' paths, by their codewords and by measured energies.",
        "Bars: from the least to the largest over pairs of classes; on the line training reached the design.",
        stages=("subnetworks",),
    ),
    "subnetworks-cohesion": Caption(
        "Cohesion and coupling of paths", "How alike two images of one class, and of two classes, use the branches: "
        "Jaccard overlap of the branches read as 1 (cohesion, coupling), and the cosine of the energies.",
        stages=("subnetworks",), having="cohesion",
    ),
    "subnetworks-surgery": Caption(
        "Forgotten and taught anew", "Accuracy of the class and of all others after its own branches are removed, and "
        "after these alone are trained again; probed: what a linear probe finds of its images in the last block's "
        "features, before, after forgetting and after learning.", stages=("surgery",),
    ),
    "subnetworks-latency": Caption(
        "Latency of a cut-out network", "Medians and quartiles over rounds that alternate between the networks.",
        stages=("latency",), kinds=(),
    ),
    "subnetworks-profile": Caption(
        "Where the time goes", "Milliseconds of every part, whole and cut to one class.",
        stages=("profile",), kinds=(),
    ),
    # 10: early exit
    "exit-tradeoff": Caption(
        "What stopping early saves", "Accuracy against multiply-adds of every policy; thresholds were chosen on "
        "held-out images.", "Lines and bands: mean and standard deviation over seeds, as far as all seeds "
        f"reach; points: networks that never stop, with {INTERVAL}, a narrower one by what it costs. An inset, where "
        "there is room, enlarges the top.",
        stages=("exits",), kinds=EVERY,
    ),
    "exit-networks": Caption(
        "Networks that never stop", "What early exit is compared with.", stages=("exits",), kinds=EVERY,
    ),
    "exit-targets": Caption(
        "Early exit for an accuracy", "Thresholds chosen to lose 0, 0.5 or 1 point: what is lost and what is saved on "
        "the test images.", stages=("exits",),
    ),
    "exit-budgets": Caption(
        "Early exit for a budget", "Thresholds chosen to spend a share of the multiply-adds on average.",
        stages=("exits",),
    ),
    "exit-rivals": Caption(
        "Early exit beside its rivals", "The same budgets spent by codewords, by the class means (E²CM) and trained "
        "linear heads of a plain network's own features, and by networks that never stop; thresholds and policies were "
        "chosen on held-out images.", stages=("exits",), kinds=EVERY,
    ),
    "exit-sureness": Caption(
        "Do scores know when an answer is right?", "AUROC of every exit's score for its own answer being right, by "
        "block; class means and linear heads are of a plain network.", stages=("exits",), kinds=EVERY,
    ),
    "exit-guarantees": Caption(
        "Early exit with a guarantee", "Exits that make no more than 1, 2 or 5 % of the images wrong with 95 % "
        "confidence, by a test on held-out images, and what they bring on the test images. Of entropy and posterior, "
        "whose temperatures are fitted to those images too, nearly so.", stages=("exits",),
    ),
    "exit-anytime": Caption(
        "Every image cut short", "Accuracy of the deepest block that a budget pays for.", stages=("exits",),
    ),
    "exit-shares": Caption(
        "Where images leave", "Share of the test images that leave at each block, with the thresholds for half a "
        "point.", "A bar is a policy; numbers in percent; darker is earlier, hatched is the softmax.",
        stages=("exits",),
    ),
    "exit-times": Caption(
        "Early exit by the clock", "Accuracy on all test images against milliseconds an image of one coded network, "
        "one by one and in batches.", f"Bars: {INTERVAL}.", stages=("timing", "exits"), kinds=(),
    ),
    # 10b: decoding across blocks
    "exit-agreement": Caption(
        "Early and late answers", "How often a block, the softmax, both or neither are right, percent.",
        stages=("exits",),
    ),
    "decoding-across-blocks": Caption(
        "Blocks decoded together", "Accuracy of each block alone, and by how much decoding all blocks up to it as one "
        "channel is better or worse, from soft energies or from hard bits.", f"{SPREAD}.", stages=("exits",),
    ),
    # 10c: rejection and verification
    "rejection": Caption(
        "Images of no class", "Foreign images accepted where 95 % of the network's own images are: the shorter the "
        "better, 95 % is chance. Codewords lose where their bars are longer than those that read the logits.",
        f"{SPREAD}; filled: distance to the nearest codeword, of a block or of all; hatched: scores of the logits.",
        stages=("exits",),
    ),
    "decode-then-verify": Caption(
        "Decode, then verify", "An early block names candidates, and only their branches run after it: how much "
        "accuracy that costs.", f"Numbers: candidates. {SPREAD}.", stages=("exits",),
    ),
    # 11: the paper beside ours
    "claims": Caption(
        "The claims", "What the paper claims, beside what these runs say, in percentage points. That nothing is lost "
        "means less than half a point.",
        "Bars: 95 % intervals; grey ticks: the paper; filled: agrees, hollow: undecided, cross: differs, bar alone: a "
        "check without a verdict; n: seeds.",
        stages=("accuracy", "specialisation", "binary", "early", "training"), kinds=EVERY,
    ),
    "comparison": Caption(
        "Every number", "Every number of the paper beside ours, where there is one.",
        stages=("accuracy", "specialisation", "binary", "early"), kinds=EVERY,
    ),
    "regimes": Caption(
        "What holds where", "The same claims on fitted and under-fitted networks, of every preset that was run; runs: "
        "seeds, or fewer where a cell says so.", stages=(), kinds=(),
    ),
    "energy-and-removal": Caption(
        "Is it the energy?", "What inactive branches carry of a block's energy, and what removing them gains, block by "
        "block, of every preset that was run.", stages=(), kinds=(),
    ),
    "gain-by-images": Caption(
        "What coding is worth, by training images", "The same network and recipe on 100 to 4,500 CIFAR-10 images a "
        "class, with as many passes but for the last: coded less plain; and a coded network without all inactive, or "
        "all active, branches of one block (c3.3, the paper's) less the whole one.", "Bars: 95 % intervals.",
        stages=(), kinds=(),
    ),
}  # fmt: skip

OF_OWN_IMAGES = {  # instead of those above
    "table-3-schemes": Caption(
        "The codewords", "The codeword of every class, one digit a branch, in the coded stages.", stages=("training",),
    ),
    "figure-1c-coding-scheme": Caption(
        "The codewords of the last coded stage", "Which branches work for which class.",
        "Filled cell: the branch works for the class.", stages=("training",),
    ),
}  # fmt: skip

WITH_DATA = {  # what a notebook draws with the data set at hand, under its notebook
    "00_tour": {"tour": Caption(
        "One image on its way", "The energy of every branch in every coded block, for a test image that the first "
        "block takes for another class and the last for its own; above each block the class of the nearest codeword.",
        "Colours: whether the branch works for the image's class; dashed: what a codeword asks of a branch that does.",
        stages=("training",), kinds=(),
    )},
    "10_early_exit": {"exit-examples": Caption(
        "Which images leave where", "Test images by the place where the policy that loses half a point lets them go, "
        "and those that the early answer and the whole network's do not agree on.",
        "Above each: the answer, and what it is where that is wrong; early/late in the last row.", stages=("exits",),
        kinds=(),
    )},
}  # fmt: skip


def words_of(stem: str, preset: str) -> Caption:
    """The words of a preset's figure or table; of one's own images some items are not what the paper's are."""
    if stem in OF_OWN_IMAGES and is_own(preset):
        return OF_OWN_IMAGES[stem]
    return CAPTIONS.get(stem) or next(items[stem] for items in WITH_DATA.values() if stem in items)


def heading(stem: str, preset: str) -> str:
    """The paper's number, or the name of the file, and a few words."""
    words = words_of(stem, preset)
    return f"{words.number or stem} · {words.title}"


def alternative(stem: str, preset: str) -> str:
    """What a picture shows, for who does not see it; the numbers are in its table and caption."""
    words = words_of(stem, preset)
    return " ".join(part for part in (f"{words.title}.", words.shows, words.marks) if part)


def caption(stem: str, preset: str, *, drawn: bool) -> str:
    """The text under a figure or table of a preset.

    Args:
        drawn: a figure, whose marks are explained; else the table of that name.
    """
    words = words_of(stem, preset)
    title = f"{words.number}: {words.title}" if words.number else words.title
    theirs = words.theirs(load_preset(preset).data) if words.theirs and not is_own(preset) else ""
    sentences = [f"{title}.", words.shows, words.marks if drawn else "", _sample(words, preset), theirs]
    return " ".join(sentence for sentence in sentences if sentence)


def _sample(words: Caption, preset: str) -> str:
    """Which data and network, how many seeds and test images: from the records."""
    if not words.stages:
        return ""
    stage = words.stages[0]
    records = read_stage(HOMES.get(stage, preset), stage)
    if not records:
        return ""
    if stage in HOMES:
        device = records[0]["environment"]["device"]
        return f"Network: {NETWORKS[records[0]['name']]}; {device}." if stage in BENCHMARKS else ""
    names = run_kinds(records)
    wanted = [
        (record, name)
        for record, name in zip(records, names, strict=True)
        if (not words.kinds or _among(name, words.kinds)) and (not words.having or words.having in record)
    ]
    if not wanted:
        return ""
    first, _ = wanted[0]
    runs = _seeds(Counter(name for _, name in wanted)) if words.kinds else f"seed {first['seed']}"
    images = first["metrics"].get("images")
    timed = "timed on " if stage == "timing" else ""
    tested = f"; {timed}{images:,.0f} test images" if images else ""
    return f"Runs: {load_preset(preset).title}, {_network(first)}; {runs}{tested}."


def _among(name: str, kinds: Sequence[str]) -> bool:
    """A kind that ends in "=" or is empty stands for all that begin so."""
    return any(name.startswith(kind) if kind.endswith("=") or not kind else name == kind for kind in kinds)


def _seeds(counts: Counter[str]) -> str:
    """The first coded kind and the plain one first, then ablations."""
    kinds = sorted(counts, key=lambda kind: (kind not in BOTH, kind))
    return ", ".join(f"{counts[kind]} seed{'s' * (counts[kind] > 1)} of {kind.replace(', ', ' ')}" for kind in kinds)


def _network(record: Record) -> str:
    """Named as ResNeXt names them: layers, branches and the width of one."""
    has = record["parameters"]
    layers = 3 * sum(has["layers"]) + 2
    return f"ResNeXt-{layers} ({has['num_branches']}×{has['branch_width']}d), {has['epochs']} epochs"
