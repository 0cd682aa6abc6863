"""How figures look, and how they are saved: the same thing has the same colour everywhere.

Figures are functions from the DataFrames of tables.py to a matplotlib Figure: the paper's in paper.py, diagrams and
pictures of codes in diagrams.py, subnetworks and early exit in modules of their own.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import numpy as np
import pandas as pd
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ... import paths
from ...files import write_atomically

P = ParamSpec("P")

# Okabe and Ito's colours, told apart by readers who see no red or no green (Wong, Nature Methods 8, 2011).
CODED_COLOUR = "#0072B2"
PLAIN_COLOUR = "#E69F00"
ACTIVE = "#D55E00"
INACTIVE = "#009E73"
POSITIVES = "#222222"
IN_DISTRIBUTION = "#56B4E9"
OUT_OF_DISTRIBUTION = "#CC79A7"
PAPER_COLOUR = "#999999"
LEADER = "#c0c0c0"
# Where names have letters that DejaVu has not, the first of these that is installed draws them.
FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS",
)  # fmt: skip
LONGEST_NAME = 24  # characters of a class's name that figures show
# Tol's muted scheme, told apart like those above and mixed up with none: classes, policies and ablations.
ONE_CLASS, ANOTHER_CLASS, BOTH_CLASSES = "#88CCEE", "#DDCC77", "#117733"
NO_LOSS_COLOUR = "#882255"
POLICIES = {  # of early exit: colour, marker and line
    "distance": ("#88CCEE", "s", "--"),
    "margin": ("#332288", "o", "-"),
    "entropy": ("#117733", "^", "-."),
    "patience": ("#AA4499", "v", ":"),
    "posterior": ("#999933", "D", (0, (4, 1, 1, 1, 1, 1))),
}

WIDTH = 5.5  # inches: NeurIPS text
COLUMN = 2.7  # two side by side
UNDATED = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
STYLE = ["default", Path(__file__).with_name("coded_resnext.mplstyle")]
MARKERS = "osD^v"
BAND = 0.18  # opacity of confidence bands
SOFTMAX_PLACE = 0.6  # where the softmax stands to the right of the coded blocks, which are at −1, −2, … from the last


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw a figure under the project's style, with one legend of all labels; the reader's own settings stay."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style.context([*STYLE, {"font.family": _families()}]):
            figure = function(*args, **kwargs)
            _legend(figure)
        return figure

    return wrapper


class SavedFigure(NamedTuple):
    """The two files of a figure; as the last value of a notebook's cell it is shown with its caption."""

    pdf: Path
    png: Path
    caption: str = ""
    alternative: str = ""

    def __repr__(self) -> str:  # the stem only: notebooks are committed, and hold no path of anybody's machine
        return f"{self.png.stem} (.pdf and .png)"

    def _ipython_display_(self) -> None:
        _show(self.png.read_bytes(), repr(self), self.caption, self.alternative)


class ShownFigure(NamedTuple):
    """A figure that is shown with its caption and written nowhere: of another preset than the notebook's."""

    stem: str
    preset: str
    png: bytes
    caption: str
    alternative: str

    def __repr__(self) -> str:
        return f"{self.stem} of {self.preset}"

    def _ipython_display_(self) -> None:
        _show(self.png, repr(self), self.caption, self.alternative)


def _show(png: bytes, text: str, caption: str, alternative: str) -> None:
    """In a notebook: the picture, what it shows for who does not see it, and its caption below."""
    from IPython.display import Markdown, display

    picture = {"image/png": b64encode(png).decode("ascii"), "text/plain": text}
    display(picture, raw=True, metadata={"image/png": {"alt": alternative}} if alternative else {})
    if caption:
        display(Markdown(caption))


def save(figure: Figure, preset: str, stem: str) -> SavedFigure:
    """Write figures/<preset>/<stem>.pdf and .png: the same bytes for the same figure."""
    written = {kind: paths.FIGURES / preset / f"{stem}.{kind}" for kind in UNDATED}
    for kind, path in written.items():
        write_atomically(path, rendered(figure, kind))
    return SavedFigure(**written)


def rendered(figure: Figure, kind: str) -> bytes:
    """A figure as a file of a kind of `UNDATED`."""
    buffer = io.BytesIO()
    with style.context([*STYLE, {"font.family": _families()}]):
        figure.savefig(buffer, format=kind, metadata=UNDATED[kind])
    return buffer.getvalue()


def canvas(xlabel: str, ylabel: str, width: float = COLUMN, height: float = 2.3) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, in inches; not one of pyplot's, which nobody would close."""
    figure = Figure((width, height))
    axes = figure.subplots()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes


def curve(axes: Axes, x: pd.Series, rows: pd.DataFrame, **look: Any) -> None:
    """A mean with its spread as bars and its binomial interval as a band; of one or two points, as bars."""
    axes.errorbar(x, rows["accuracy"], rows["std"].fillna(0.0), **look)
    if len(rows) > 2:
        axes.fill_between(x, rows["low"], rows["high"], color=look["color"], alpha=BAND, linewidth=0)
    else:
        axes.vlines(x, rows["low"], rows["high"], color=look["color"], alpha=2 * BAND, linewidth=3)


def points(axes: Axes, table: pd.DataFrame) -> None:
    """Recall and precision of the rows of a `binary_table`, against foreign images too where there are any."""
    looks = (
        ("precision", "in distribution", {"s": 14, "color": IN_DISTRIBUTION, "marker": "o"}),
        ("precision_out", "out of distribution", {"s": 16, "color": OUT_OF_DISTRIBUTION, "marker": "^"}),
    )
    for precision, label, look in looks:
        if table[precision].notna().any():
            axes.scatter(table["recall"], table[precision], zorder=3, label=label, **look)


def shown_text(text: str) -> str:
    """Text with names in it as figures have it: on one line, and a dollar sign is no formula.

    A letter that no font here has is shown by its number, as U+732B.
    """
    letters = (letter if _has_glyph(letter) else f"U+{ord(letter):X}" for letter in " ".join(text.split()))
    return "".join(letters).replace("$", r"\$")


def shown_name(name: str, longest: int = LONGEST_NAME) -> str:
    """A class's name as figures have it: not too long either."""
    line = " ".join(name.split())
    return shown_text(line if len(line) <= longest else f"{line[: longest - 1]}…")


@cache
def _families() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in installed)]


@cache
def _has_glyph(letter: str) -> bool:
    fonts = (font_manager.get_font(font_manager.findfont(name)) for name in _families())
    return any(font.get_char_index(ord(letter)) for font in fonts)


def label_points(axes: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str]) -> None:
    """Names beside points, each where it hides the fewest points and names, tried from near to far; in their order.

    A point whose name is empty only is not to be hidden. The axes' limits must not change any more.
    """
    figure = axes.get_figure()
    x_low, x_high = axes.get_xlim()
    y_low, y_high = axes.get_ylim()
    size = np.array([0.78 * figure.get_figwidth(), 0.7 * figure.get_figheight()])  # inches of the axes, about
    spots = np.column_stack([(np.array(x) - x_low) / (x_high - x_low), (np.array(y) - y_low) / (y_high - y_low)]) * size
    taken = [(*spot, 0.06, 0.06) for spot in spots]  # middle, width and height
    for name, spot, point in zip(names, spots, zip(x, y, strict=True), strict=True):
        wide, high = 0.05 * len(name), 0.1
        boxes = [
            (spot[0] + dx * (wide / 2 + away), spot[1] + dy * (high / 2 + away), wide, high)
            for away in (0.05, 0.12, 0.2)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
        ]
        best = min(boxes, key=lambda box: (sum(_overlap(box, other) for other in taken) + _outside(box, size)))
        taken.append(best)
        offset = 72 * (np.array(best[:2]) - spot)  # points
        axes.annotate(name, point, xytext=offset, textcoords="offset points", ha="center", va="center", fontsize=6.5)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Area that two boxes share, given by middle, width and height."""
    shared = [(one[2 + i] + other[2 + i]) / 2 - abs(one[i] - other[i]) for i in range(2)]
    return max(0.0, shared[0]) * max(0.0, shared[1])


def _outside(box: tuple[float, ...], size: np.ndarray) -> float:
    return sum(max(0.0, box[2 + i] / 2 - box[i]) + max(0.0, box[i] + box[2 + i] / 2 - size[i]) for i in range(2))


def paper_box(axes: Axes, rows: pd.DataFrame, line: str, label: str) -> None:
    """A grey box from the lowest to the highest recall and precision among the paper's numbers.

    Where the paper gives no recall there are two lines, of the lowest and the highest precision.
    """
    recall, precision = (rows[rows["metric"].str.endswith(rate)]["value"] for rate in ("recall", "precision"))
    look = {"edgecolor": PAPER_COLOUR, "facecolor": "none", "linestyle": line, "linewidth": 1, "label": label}
    if recall.empty:
        for bound in (precision.min(), precision.max()):
            axes.axhline(bound, color=PAPER_COLOUR, linestyle="--", linewidth=1, label="paper's range, any recall")
    else:
        size = recall.max() - recall.min(), precision.max() - precision.min()
        axes.add_patch(Rectangle((recall.min(), precision.min()), *size, **look))


def short_name(block: str) -> str:
    """As the paper counts stages: "layer2.0" is the first block of c3."""
    stage, _, place = block.partition(".")
    return f"c{int(stage.removeprefix('layer')) + 1}.{int(place) + 1}"


def source(paper: pd.DataFrame) -> str:
    """How the legend calls the paper's numbers."""
    return f"paper, {paper['data_set'].iloc[0]}"


def finish_grid(figure: Figure, unused: Sequence[Axes], xlabel: str, ylabel: str) -> Figure:
    """Labels that panels share; places without a panel stay empty."""
    for axes in unused:
        axes.set_axis_off()
    figure.supxlabel(xlabel)
    figure.supylabel(ylabel)
    return figure


def _legend(figure: Figure) -> None:
    """One legend above the axes, where it hides nothing; each label once, in as many columns as surely fit."""
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        widest = 0.36 + 0.056 * max(map(len, entries))  # inches: the handle, and letters of 7 pt DejaVu
        columns = max(1, min(len(entries), int(figure.get_figwidth() / widest)))
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns)
