"""Figures: the same bytes twice, drawable from made-up data, and no network needed."""

import io
from base64 import b64decode, b64encode

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from coded_resnext import paths
from coded_resnext.codes.scheme import load_scheme
from coded_resnext.errors import NothingToShow
from coded_resnext.reproduction.figures import diagrams, energies, exits, forest, networks
from coded_resnext.reproduction.figures import paper as of_paper
from coded_resnext.reproduction.figures import style as figures
from coded_resnext.reproduction.figures.codewords import schemes_of
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
    "3": lambda: of_paper.logit_histograms(histograms(1), THRESHOLDS, 0),
    "7": lambda: of_paper.logit_histograms(histograms(), THRESHOLDS, 0),
    "7 of seven": lambda: of_paper.logit_histograms(histograms(7, foreign=False), THRESHOLDS, 0),
    "4": lambda: of_paper.early_decoding(early(), tables.paper("figure-4")),
    "4 alone": lambda: of_paper.early_decoding(early()),
    "5": lambda: of_paper.coding_loss_weight(varied(early(), "mu", (0.0, 6.0)), 93.0, paper("figure-5", "cifar100")),
    "5 alone": lambda: of_paper.coding_loss_weight(varied(early(), "mu", (0.0, 6.0))),
    "6": lambda: of_paper.branch_dropping(
        varied(binary(), "drop_branch", DROPS), rates([{"drop_branch": drop} for drop in DROPS]), paper("figure-6")
    ),
    "exponent": lambda: of_paper.loss_exponent(rates([{"exponent": e} for e in (1.0, 2.0, 4.0)]), paper("exponent")),
    "distances": lambda: diagrams.distances(SCHEMES, dict.fromkeys(SCHEMES, 4), dict.fromkeys(SCHEMES, 4)),
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


def test_names_keep_apart():
    """Two points at one place: their names are beside it and hide neither it nor each other."""
    _, axes = figures.canvas("x", "y")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    figures.label_points(axes, [0.5, 0.5], [0.5, 0.5], ["one", "two"])
    first, second = (np.array(text.xyann) for text in axes.texts)
    assert not np.allclose(first, second)
    assert min(np.hypot(*first), np.hypot(*second)) > 0


def test_many_codewords_are_shown_by_some_of_them():
    """Sixty of a thousand, sorted, and every column's sum."""
    left, right = diagrams.codebook(load_scheme(1000, 32, 16)).axes
    assert left.images[0].get_array().shape == (32, diagrams.SHOWN)
    assert [bar.get_width() for bar in right.patches] == [500] * 32


def test_curves_of_several_runs_are_averaged_where_all_have_one():
    rows = pd.DataFrame({
        "run": ["a", "a", "b", "b"], "policy": "margin", "multiply_adds": [40.0, 80.0, 60.0, 100.0],
        "accuracy": [80.0, 90.0, 86.0, 90.0],
    })  # fmt: skip
    mean = exits.mean_curve(rows)
    assert (mean["multiply_adds"].min(), mean["multiply_adds"].max()) == (60, 80)
    assert mean["accuracy"].iloc[0] == pytest.approx((85 + 86) / 2)
    assert mean["std"].iloc[0] == pytest.approx(np.std([85, 86], ddof=1))
    assert (exits.mean_curve(rows[:2])["std"] == 0).all()


@pytest.mark.parametrize(("lowest", "enlarged"), [(60.0, True), (90.0, False)])
def test_the_top_is_enlarged_where_there_is_room(lowest, enlarged):
    """The five points below the best interval, rounded up; of a flat trade-off the inset would hide the curve."""
    curves = pd.DataFrame({
        "run": "a", "policy": "margin", "multiply_adds": [40.0, 50.0, 90.0], "accuracy": [lowest, 91.0, 92.0],
    })  # fmt: skip
    static = pd.DataFrame({
        "kind": ["coded", "plain, branch_width=4", "plain, weight_decay=0.001"], "multiply_adds": [100.0, 61.7, 98.0],
        "accuracy": 92.0, "std": np.nan, "low": 91.0, "high": 92.4,
    })  # fmt: skip
    figure = exits.tradeoff(curves, static)
    insets = figure.axes[0].child_axes
    assert [axes.get_ylim() for axes in insets] == [(88, 93)] * enlarged
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["margin", "coded", "plain, narrower: 62 %", "plain, weight_decay=0.001"]


BLOCKS = {"layer2.0": load_scheme(10, 10, 5), "layer3.0": load_scheme(10, 10, 3)}
RUN = {"layers": [1, 1, 1], "num_branches": 10, "active": {"layer2": 5, "layer3": 3}}


def png():
    file = io.BytesIO()
    Image.new("L", (8, 8), 100).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def image(group, told, **more):
    """Energies that are the codeword of a class in both blocks."""
    spent = {name: scheme.words[told].astype(float).tolist() for name, scheme in BLOCKS.items()}
    return {"group": group, "image": 0, "softmax": told, "energies": spent, "picture": png(), **more}


def early_record():
    means = [{"block": name, "energies": scheme.words.astype(float).tolist(), "inactive_share": 0.0}
             for name, scheme in BLOCKS.items()]  # fmt: skip
    return {
        "stage": "early", "name": "coded-s0", "parameters": RUN, "energies": means, "classes": NAMES,
        "thresholds": {"layer3.0": 1.0}, "examples": [image("easy", 3, label=3), image("foreign", 4)],
    }  # fmt: skip


def test_an_image_leaves_at_the_first_block_that_is_sure():
    figure = energies.energies_of_images(early_record(), BLOCKS)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [text.endswith("leaves") for text in texts] == [False, True, False] * 2
    assert texts[0].startswith("= cat")
    assert texts[3].startswith("deer")  # nothing is right of a foreign image


def test_energies_that_are_codewords_look_like_them():
    means = energies.mean_energies([early_record()])
    schemes = schemes_of(early_record(), list(BLOCKS), 10)
    assert {name: scheme.num_active for name, scheme in schemes.items()} == {"layer2.0": 5, "layer3.0": 3}
    figure = energies.energies_by_class({"coded": means}, schemes, NAMES)
    pictures = [axes.collections[0].get_array() for axes in figure.axes[:4]]
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[2], pictures[3])


def test_older_records_have_no_energies():
    with pytest.raises(NothingToShow, match="repeat stage early"):
        energies.mean_energies([{"stage": "early", "name": "coded-s0"}])


def test_paths_share_the_branches_of_both_codewords():
    kept = networks.Kept(46.0, 62.0)
    record = {"parameters": RUN}
    figure = networks.class_paths(record, BLOCKS, NAMES, kept, kept)
    assert networks.block_names(record) == ["layer1.0", "layer2.0", "layer3.0"]
    colour = to_rgba(networks.BOTH[0])
    shared = [patch for patch in figure.axes[1].patches if patch.get_facecolor() == colour]
    assert len(shared) == sum((scheme.words[0] & scheme.words[1]).sum() for scheme in BLOCKS.values())


def test_every_decoder_says_what_it_costs():
    table = pd.DataFrame(
        {"cost": [40.0, 90.0, 100.0], "accuracy": [70.0, np.nan, 95.0]}, index=[*BLOCKS, "softmax"]
    )
    texts = [text.get_text() for text in networks.decoders({"parameters": RUN}, BLOCKS, table, "cat").axes[0].texts]
    assert {"40 %", "90 %", "100 %", "70 %", "95 %", "?"} <= set(texts)
    uncounted = networks.decoders({"parameters": RUN}, BLOCKS, table.assign(cost=np.nan, accuracy=95.0), "cat")
    texts = [text.get_text() for text in uncounted.axes[0].texts]
    assert "right" in texts
    assert not {"spent", "?"} & set(texts)


def test_the_forest_has_room_for_every_effect():
    """Nothing at its edge: neither an interval nor the paper's value."""
    table = pd.DataFrame({
        "claim": ["small", "large"], "row": "claim", "ours": [0.1, 85.0], "error": [0.2, 5.0], "runs": 1,
        "effect": [np.nan, -3.0], "verdict": ["undecided", "agrees"],
    })  # fmt: skip
    low, high = forest.forest(table).axes[0].get_xlim()
    assert low < -3.0
    assert high > 90.0


KEPT = networks.Kept(46.0, 62.0)
WITH_RECORDS = {
    "energies of classes": lambda: energies.energies_by_class(
        {"coded": energies.mean_energies([early_record()])}, BLOCKS, NAMES
    ),
    "energies of images": lambda: energies.energies_of_images(early_record(), BLOCKS),
    "paths": lambda: networks.class_paths({"parameters": RUN}, BLOCKS, NAMES, KEPT, KEPT),
}


@pytest.mark.parametrize("name", WITH_RECORDS)
def test_the_same_records_make_the_same_bytes(name):
    first, second = (figures.save(WITH_RECORDS[name](), "digits", stem) for stem in ("first", "second"))
    assert first.png.read_bytes() == second.png.read_bytes()
    assert first.pdf.read_bytes() == second.pdf.read_bytes()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("$x$ and $5", r"\$x\$ and \$5"),
        ("two\nlines\t\tand more", "two lines and more"),
        ("n" * 100, "n" * 23 + "…"),
        ("été|<b>", "été|<b>"),
    ],
)
def test_names_of_classes_as_figures_have_them(name, shown):
    assert figures.shown_name(name) == shown


def test_a_letter_that_no_font_has_is_shown_by_its_number(monkeypatch, recwarn):
    monkeypatch.setattr(figures, "_families", lambda: ["DejaVu Sans"])
    figures._has_glyph.cache_clear()
    assert figures.shown_name("猫 1") == "U+732B 1"
    figures.save(figures.styled(lambda: figures.canvas(figures.shown_name("猫"), "é")[0])(), "digits", "name")
    assert not [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)]
    figures._has_glyph.cache_clear()
