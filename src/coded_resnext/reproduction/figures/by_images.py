"""What coding is worth with fewer or more training images: presets of the same network and recipe, side by side."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..records.presets import REFERENCES, Preset, load_preset
from ..records.records import read_stage
from .again import presets_once
from .claims import claims
from .regimes import training_error
from .style import ACTIVE, CODED_COLOUR, INACTIVE, WIDTH, styled

WHOLE, CLASSES = 50_000, 10  # training images of CIFAR-10, and their classes
SAME = ("data", "layers", "num_branches", "branch_width", "width", "stem", "active", "mu", "drop_branch")
COLUMNS = {  # the claim that each is
    "coded": "accuracy, coded",
    "plain": "accuracy, plain",
    "coded_less_plain": "coded is better than plain",
    "inactive_removed_gains": "removing inactive branches gains",
    "active_removed_loses": "removing active branches loses",
    "paths": "binary classifiers, mean average precision",
    "first_block": "early decoding by the first coded block",
}


def images_table() -> pd.DataFrame:
    """A row a preset that trains the network of the first of `REFERENCES` by its recipe, by the number of images.

    Returns:
        preset, images (trained on), passes (of images through the network, millions), training_error (percent, see
        `training_error`), runs (coded), and of every claim of `COLUMNS` its number, percent or points, and
        `<name>_error`, the 95 % error; removed, runs whose branches were removed.
    """
    rows = []
    for preset in map(load_preset, presets_once()):
        if not is_of_family(preset) or not read_stage(preset.name, "accuracy"):
            continue
        table = claims(preset.name).set_index("claim")
        images = _images(preset)
        row = {
            "preset": preset.title, "images": images, "passes": images * preset.first.epochs / 1e6,
            "training_error": training_error(preset.name), "runs": table.loc[COLUMNS["coded"], "runs"],
        }  # fmt: skip
        for name, claim in COLUMNS.items():
            row |= {name: table.loc[claim, "ours"], f"{name}_error": table.loc[claim, "error"]}
        rows.append(row | {"removed": table.loc[COLUMNS["inactive_removed_gains"], "runs"]})
    return pd.DataFrame(sorted(rows, key=lambda row: row["images"]))


def is_of_family(preset: Preset) -> bool:
    """Whether a preset trains the network of the first of `REFERENCES` by its recipe, on any number of its images."""
    return _network(preset) == _network(load_preset(REFERENCES[0]))


def worth_by_images() -> str:
    """Two sentences: coded less plain, and what removing branches gains, for every number of training images."""
    table = images_table().dropna(subset=["coded_less_plain", "inactive_removed_gains"])
    *most, last = [f"{images:,}" for images in table["images"]]
    better, gains = _listed(table, "coded_less_plain", "runs"), _listed(table, "inactive_removed_gains", "removed")
    return (
        f"Trained on {', '.join(most)} and {last} of CIFAR-10's images the same small network is better coded than "
        f"plain by {better} points. Removing the inactive branches of the block that the paper shows gains {gains}; "
        "other blocks do otherwise.\n"
    )


def _listed(table: pd.DataFrame, name: str, runs: str) -> str:
    """The numbers with their errors, and of how many runs where those are fewer than the row's."""
    rows = zip(table[name], table[f"{name}_error"], table[runs], table["runs"], strict=True)
    *most, last = [
        f"{value:.1f} ± {error:.1f}" + (f" (n = {some})" if some < every else "") for value, error, some, every in rows
    ]
    return f"{', '.join(most)} and {last}"


@styled
def by_images(table: pd.DataFrame) -> Figure:
    """Coded less plain, and what removing branches does, against the number of training images.

    Args:
        table: of `images_table`.
    """
    figure = Figure((WIDTH, 2.4))
    panels = figure.subplots(1, 2)
    looks = (
        (panels[0], "coded_less_plain", "coded less plain", CODED_COLOUR, "o", 1),
        (panels[1], "inactive_removed_gains", "without a block's inactive branches", INACTIVE, "s", 1),
        (panels[1], "active_removed_loses", "without its active ones", ACTIVE, "o", -1),
    )
    for axes, name, label, colour, marker, sign in looks:
        rows = table[table[name].notna()]
        axes.errorbar(
            rows["images"], sign * rows[name], rows[f"{name}_error"], color=colour, marker=marker, label=label
        )
    for axes in panels:
        axes.axhline(0, color="black", linestyle="--", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks(table["images"], [f"{images:,}" for images in table["images"]], rotation=30)
        axes.minorticks_off()
    figure.supxlabel("training images")
    figure.supylabel("accuracy (points)")
    return figure


def _network(preset: Preset) -> tuple[object, ...]:
    return tuple(getattr(preset.first, key) for key in SAME)


def _images(preset: Preset) -> int:
    return preset.first.images_per_class * CLASSES or WHOLE - preset.first.holdout
