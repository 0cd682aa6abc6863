"""One image on its way through the coded blocks (notebook 00): what it spends where, beside the codeword it is near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ...codes.scheme import CodingScheme, word_text
from .style import ACTIVE, INACTIVE, WIDTH, short_name, shown_name, styled


def nearest_codewords(energies: np.ndarray, scheme: CodingScheme, classes: Sequence[str]) -> pd.DataFrame:
    """Every class with its codeword and the distance of one image's energies (N,) from it, the nearest first."""
    distances = np.linalg.norm(energies - scheme.words, axis=1)
    table = pd.DataFrame({"class": classes, "codeword": list(map(word_text, scheme.words)), "distance": distances})
    return table.sort_values("distance").reset_index(drop=True)


@styled
def way_of_an_image(
    picture: Image.Image,
    energies: Mapping[str, np.ndarray],
    schemes: Mapping[str, CodingScheme],
    classes: Sequence[str],
    label: int,
) -> Figure:
    """The image, then each coded block's energies; the bars of the branches that work for its class stand out.

    Args:
        energies: (N,) by coded block, in network order.
        label: the class whose codeword colours the bars.
    """
    figure = Figure((WIDTH, 1.7))
    first, *places = figure.subplots(1, 1 + len(energies))
    first.imshow(picture, cmap="gray" if picture.mode == "L" else None)
    first.set_axis_off()
    first.set_title(f"class {shown_name(classes[label])}")
    highest = max(values.max() for values in energies.values())
    for axes, (block, values) in zip(places, energies.items(), strict=True):
        active = schemes[block].words[label].astype(bool)
        branches = np.arange(1, len(values) + 1)
        axes.bar(branches[active], values[active], color=ACTIVE, label="1 in its codeword")
        axes.bar(branches[~active], values[~active], color=INACTIVE, label="0")
        axes.axhline(1, color="black", linestyle="--", linewidth=0.6)
        nearest = nearest_codewords(values, schemes[block], classes).iloc[0]
        axes.set(ylim=(0, 1.05 * highest), title=f"{short_name(block)}: {shown_name(nearest['class'])}", xticks=[])
        if axes is not places[0]:
            axes.set_yticklabels([])
    places[0].set_ylabel("energy")
    figure.supxlabel("branch; above each block the class of the nearest codeword")
    return figure
