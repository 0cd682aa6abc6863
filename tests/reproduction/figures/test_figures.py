"""Figures: the same bytes twice, drawable from made-up data, and no network needed."""

from base64 import b64decode

import matplotlib
import numpy as np
import pandas as pd
import pytest

from coded_resnext import paths
from coded_resnext.codes.scheme import load_scheme
from coded_resnext.reproduction.figures import diagrams
from coded_resnext.reproduction.figures import paper as of_paper
from coded_resnext.reproduction.figures import style as figures
from coded_resnext.reproduction.records import paper as tables

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)


def rates(rows, accuracy=90.0):
    """What every table of accuracies has, for the given rows."""
    frame = pd.DataFrame(rows).assign(data_set="cifar10", runs=2, std=0.5, images=1000)
    frame["accuracy"] = np.linspace(accuracy - 5, accuracy, len(frame))
    return frame.assign(low=frame["accuracy"] - 1, high=frame["accuracy"] + 1)


def removal():
    return rates([{"kind": "coded", "set": s, "removed": n} for s in ("active", "inactive") for n in range(6)])


def early(**columns):
    decoders = [("layer2.0", 4), ("layer2.1", 3), ("layer3.0", 2), ("layer3.1", 1), ("softmax", 0)]
    return rates([{"kind": "coded", "decoder": d, "from_end": n, **columns} for d, n in decoders])


def binary(names=NAMES, foreign=True, **columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": "coded", "class": names, "recall": rng.uniform(70, 82, len(names)), **columns})
    frame["precision"] = rng.uniform(82, 98, len(frame))
    return frame.assign(precision_out=rng.uniform(48, 97, len(frame)) if foreign else np.nan)


def histograms(classes=10, foreign=True):
    groups = {"positives": [0, 1, 5], "negatives": [50, 30, 0]} | ({"foreign": [20, 30, 1]} if foreign else {})
    return [{"class": name, "edges": [-2.0, 0.0, 2.0, 4.0], **groups} for name in NAMES[:classes]]


def varied(table, parameter, values):
    return pd.concat([table.assign(**{"kind": f"coded, {parameter}={v}", parameter: v}) for v in values])


def paper(item, data="cifar10"):
    return tables.paper(item, data)


THRESHOLDS = dict.fromkeys(NAMES, 1.5)
DROPS = (0.0, 0.1, 0.2)
SCHEMES = {"3/10": load_scheme(10, 10, 3), "5/10": load_scheme(10, 10, 5)}
BOUNDS = pd.DataFrame(
    [(10, 8, 12, None), (1000, 8, 8, 8), (10, 16, 16, None), (1000, 16, 12, 12)],
    columns=["classes", "active", "bound", "reached"],
)
DRAWINGS = {
    "1a": lambda: diagrams.plain_block(),
    "1b": lambda: diagrams.coded_block(),
    "1c": lambda: diagrams.codebook(load_scheme(10, 10, 3), NAMES),
    "1c numbered": lambda: diagrams.codebook(load_scheme(10, 10, 5)),
    "1c of many": lambda: diagrams.codebook(load_scheme(100, 20, 4)),
    "2a": lambda: of_paper.branch_removal(removal(), paper("figure-2a")),
    "2a of ImageNet": lambda: of_paper.branch_removal(removal(), paper("figure-2a", "imagenet")),
    "2a alone": lambda: of_paper.branch_removal(removal()),
    "2b": lambda: of_paper.binary_classifiers(binary(), paper("figure-2b")),
    "2b alone": lambda: of_paper.binary_classifiers(binary(foreign=False)),
    "2c": lambda: of_paper.many_binary_classifiers(binary([str(k) for k in range(200)], foreign=False)),
    "8": lambda: of_paper.many_binary_classifiers(binary([str(k) for k in range(100)])),
    "3": lambda: of_paper.logit_histograms(histograms(1), THRESHOLDS),
    "7": lambda: of_paper.logit_histograms(histograms(), THRESHOLDS),
    "7 of seven": lambda: of_paper.logit_histograms(histograms(7, foreign=False), THRESHOLDS),
    "4": lambda: of_paper.early_decoding(early(), tables.paper("figure-4")),
    "4 alone": lambda: of_paper.early_decoding(early()),
    "5": lambda: of_paper.coding_loss_weight(varied(early(), "mu", (0.0, 6.0)), 93.0, paper("figure-5", "cifar100")),
    "5 alone": lambda: of_paper.coding_loss_weight(varied(early(), "mu", (0.0, 6.0))),
    "6": lambda: of_paper.branch_dropping(
        varied(binary(), "drop_branch", DROPS), rates([{"drop_branch": drop} for drop in DROPS]), paper("figure-6")
    ),
    "exponent": lambda: of_paper.loss_exponent(rates([{"exponent": e} for e in (1.0, 2.0, 4.0)]), paper("exponent")),
    "distances": lambda: diagrams.distances(SCHEMES, dict.fromkeys(SCHEMES, 4)),
    "bound": lambda: diagrams.distance_bound_by_classes(BOUNDS),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure_has_named_axes_and_its_width(name):
    figure = DRAWINGS[name]()
    assert figure.get_figwidth() <= figures.WIDTH  # of the text: nobody has to scale it
    if name in ("1a", "1b"):
        return  # diagrams have no axes
    shown = [axes for axes in figure.axes if axes.axison]
    assert figure.get_supxlabel() or all(axes.get_xlabel() for axes in shown)
    if not name.startswith("1c"):
        assert figure.get_supylabel() or shown[0].get_ylabel()


@pytest.mark.parametrize("name", ["1b", "1c of many", "2b", "3"])
def test_the_same_data_make_the_same_bytes(name):
    first, second = (figures.save(DRAWINGS[name](), "digits", stem) for stem in ("first", "second"))
    assert first.png.read_bytes() == second.png.read_bytes()
    assert first.pdf.read_bytes() == second.pdf.read_bytes()
    assert b"CreationDate" not in first.pdf.read_bytes()


def test_a_saved_figure_is_shown_by_a_notebook_with_its_caption_and_without_its_path(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda what, **more: shown.append((what, more)))
    saved = figures.save(of_paper.early_decoding(early()), "digits", "figure-4-early-decoding")
    assert saved.png == paths.FIGURES / "digits" / "figure-4-early-decoding.png"
    assert repr(saved) == "figure-4-early-decoding (.pdf and .png)"
    saved._replace(caption="Of two seeds.", alternative="Two lines.")._ipython_display_()
    (picture, how), (words, _) = shown
    assert b64decode(picture["image/png"]).startswith(b"\x89PNG")
    assert how["metadata"] == {"image/png": {"alt": "Two lines."}}
    assert words.data == "Of two seeds."


def test_drawing_leaves_the_readers_style_alone():
    def settings():
        return {key: value for key, value in matplotlib.rcParams.items() if key != "backend"}  # found when first needed

    before = settings()
    figures.save(of_paper.branch_removal(removal()), "digits", "figure")
    assert settings() == before


def test_runs_of_several_kinds_are_not_joined():
    with pytest.raises(ValueError, match=r"got coded, mu=0\.0; coded, mu=6\.0: pass rows"):
        of_paper.early_decoding(varied(early(), "mu", (0.0, 6.0)))
    with pytest.raises(ValueError, match="got no run at all"):
        of_paper.branch_removal(removal().iloc[:0])


def test_a_codebook_needs_a_name_for_every_class():
    with pytest.raises(ValueError, match="needs 10 class names, got 3"):
        diagrams.codebook(load_scheme(10, 10, 3), NAMES[:3])


def test_the_lines_of_figure_2a_are_the_numbers():
    table = removal()
    axes = of_paper.branch_removal(table).axes[0]
    line = next(line for line in axes.lines if line.get_color() == figures.ACTIVE and len(line.get_xdata()) == 6)
    assert line.get_ydata().tolist() == table.query("set == 'active'")["accuracy"].tolist()


def test_labels_keep_apart_and_near():
    """Crowded names move no further than they must, none leaves the axes, and their order stays."""
    places = of_paper._spread([0.0, 0.5, 0.98, 0.99, 1.0], gap=0.1)
    assert np.diff(places).min() >= 0.1 - 1e-12  # rounding of one subtraction
    assert places[:2].tolist() == [0.0, 0.5]
    assert places.max() <= 1
