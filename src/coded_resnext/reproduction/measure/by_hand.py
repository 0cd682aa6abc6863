"""One image worked through by hand (notebooks 10, 10b and 10c): its energies as a record has them, and what reads them.

Neither the data set nor a pass through the network is needed: records of stage "early" hold energies of example images,
and the codewords and the calibration are those of the run's checkpoint or of its shipped weights.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image

from ...codes.scheme import CodingScheme, word_text
from ...early_exit.calibration import Calibration, calibration_in
from ...early_exit.channel import evidence
from ...early_exit.stopping import Reading, StoppingRule
from ...evaluation.examples import FOREIGN
from ...training.checkpoint import trained_checkpoint
from ..records.kinds import coded_records
from ..records.records import SHOWN_DROP, read_stage

ALL_BLOCKS = "all blocks"
CANDIDATES = 3  # so many are shown: more would be most of few classes
PIXELS = 128  # of a picture's sides where it is shown


class Example(NamedTuple):
    """An image of a record of stage "early", and what reads its energies.

    Attributes:
        picture: the image, enlarged; None where the record keeps the energies alone.
        classes: names.
        label: its class; None of a foreign image.
        energies: r·E(t̄), (N,) by coded block, in network order.
        schemes: the codewords of these blocks.
        calibration: of the network, from images held out.
    """

    picture: Image.Image | None
    classes: list[str]
    label: int | None
    energies: dict[str, np.ndarray]
    schemes: dict[str, CodingScheme]
    calibration: Calibration

    @property
    def name(self) -> str:
        """Of its class."""
        return "no class" if self.label is None else self.classes[self.label]

    @property
    def first(self) -> str:
        """The first coded block."""
        return next(iter(self.schemes))

    def nearest(self, block: str) -> pd.Series:
        """The distance of a block's energies from the codeword of every class (equation 7), the nearest first."""
        distances = np.linalg.norm(self.energies[block] - self.schemes[block].words, axis=1)
        return pd.Series(distances, index=self.classes).sort_values(kind="stable")

    def read(self, rule: StoppingRule) -> dict[str, Reading]:
        """What a policy reads in every coded block."""
        return rule.read_all({block: torch.from_numpy(spent)[None] for block, spent in self.energies.items()})


def example(preset: str, *groups: str) -> Example | None:
    """An image of the preset's first coded run whose record has some: of the first of these groups that is not empty.

    None where no record has one of these groups, or where neither a checkpoint nor shipped weights are here with their
    calibration.
    """
    record = next((record for record in coded_records(read_stage(preset, "early")) if record.get("examples")), None)
    if record is None:
        return None
    rows = [row for group in groups for row in record["examples"] if row["group"] == group]
    checkpoint = trained_checkpoint(preset, record["name"])
    if not rows or checkpoint is None:
        return None
    model = checkpoint.network()
    calibration = calibration_in(checkpoint.folder, model)
    if calibration is None:
        return None
    row = rows[0]
    label = None if row["group"] == FOREIGN else row["label"]
    energies = {block: np.array(row["energies"][block]) for block in model.schemes}
    return Example(_picture(row), record["classes"], label, energies, dict(model.schemes), calibration)


def margins(image: Example) -> pd.DataFrame:
    """How sure every coded block is, and where policy "margin" lets the image go that may lose `SHOWN_DROP` points.

    Returns:
        A row a block: block, nearest and second (classes), margin (by how much the second codeword is farther),
        threshold (missing where the block is no exit), leaves.
    """
    thresholds = image.calibration.thresholds("margin", "drop", SHOWN_DROP)
    rule = StoppingRule(image.schemes, "margin", thresholds, image.calibration)
    rows, stays = [], True
    for block, reading in image.read(rule).items():
        leaves = stays and block in thresholds and bool(rule.content(block, reading))
        stays = stays and not leaves
        nearest, second = image.nearest(block).index[:2]
        rows.append({
            "block": block, "nearest": nearest, "second": second, "margin": float(reading.score),
            "threshold": thresholds.get(block, np.nan), "leaves": leaves,
        })  # fmt: skip
    return pd.DataFrame(rows)


def bits(image: Example, block: str) -> pd.DataFrame:
    """A column a branch: its energy, log p(v | 1) − log p(v | 0) of its bit, and the codeword of the image's class."""
    spent = image.energies[block]
    rows = {"energy": spent, "speaks for a 1": image.calibration.channels[block].soft(torch.from_numpy(spent)).numpy()}
    if image.label is not None:
        rows[f"codeword of {image.name}"] = image.schemes[block].words[image.label]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(spent) + 1, name="branch"), dtype=float).T


def evidence_of_block(image: Example, block: str) -> pd.DataFrame:
    """Every class with its codeword, its distance, and what the block says for it: the sum over its codeword's ones."""
    words = torch.tensor(image.schemes[block].words, dtype=torch.float64)
    says = evidence(torch.tensor(image.energies[block])[None], words, image.calibration.channels[block])[0].numpy()
    table = pd.DataFrame(
        {"codeword": list(map(word_text, image.schemes[block].words)), "evidence": says}, index=image.classes
    )
    table.insert(1, "distance", image.nearest(block))
    return table.sort_values("distance").rename_axis("class").reset_index()


def decoded_together(image: Example) -> pd.DataFrame:
    """What every coded block says alone, and with all blocks before it.

    Returns:
        A row a block: block, alone (the class of the nearest codeword), together (the likeliest class by all blocks so
        far), probability of that class and, where the image has one, of its own; percent.
    """
    rule = StoppingRule(image.schemes, "posterior", {}, image.calibration)
    rows = []
    for block, reading in image.read(rule).items():
        probable = 100 * (reading.closeness / rule.temperature(block)).softmax(1)[0]
        row = {
            "block": block, "alone": image.nearest(block).index[0], "together": image.classes[int(reading.labels)],
            "probability": float(probable.max()),
        }  # fmt: skip
        rows.append(row if image.label is None else row | {f"of {image.name}": float(probable[image.label])})
    return pd.DataFrame(rows)


def nearest_of(images: Mapping[str, Example | None]) -> pd.DataFrame:
    """How far the energies of some images, by what they are called, are from the nearest codeword in every block.

    Returns:
        A row a block, then one of all blocks, where a class's codewords are one long one; two columns an image, nearest
        (class) and distance. Images that are None have none.
    """
    columns = {}
    for name, image in images.items():
        if image is None:
            continue
        of_blocks = pd.DataFrame({block: image.nearest(block) for block in image.schemes})
        of_blocks[ALL_BLOCKS] = np.sqrt(of_blocks.pow(2).sum(axis=1))
        columns[name, "nearest"], columns[name, "distance"] = of_blocks.idxmin(), of_blocks.min()
    return pd.DataFrame(columns)


def branches_left(image: Example) -> pd.DataFrame:
    """The candidates of the first coded block, and what runs behind it to choose among them.

    Returns:
        A row a number of candidates: candidates, classes (the nearest first), own (whether the image's is among them)
        and, a column a later coded block, how many of its branches work for one of them.
    """
    order = list(image.nearest(image.first).index)
    rows = []
    for m in range(1, 1 + min(CANDIDATES, len(order))):
        named = [image.classes.index(name) for name in order[:m]]
        left = {block: int(scheme.words[named].any(0).sum()) for block, scheme in image.schemes.items()}
        del left[image.first]
        rows.append({"candidates": m, "classes": ", ".join(order[:m]), "own": image.label in named, **left})
    return pd.DataFrame(rows)


def _picture(row: Mapping[str, Any]) -> Image.Image | None:
    if "picture" not in row:
        return None
    with Image.open(io.BytesIO(base64.b64decode(row["picture"]))) as picture:
        return picture.resize((PIXELS, PIXELS), Image.Resampling.NEAREST)
