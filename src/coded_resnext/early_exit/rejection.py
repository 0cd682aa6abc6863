"""Images of no class: how well a score tells them from the images that a network was trained for.

A coded network has such a score without training for it: the distance of its energies to the nearest codeword.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..evaluation.prediction import Predictions
from ..network.decoding import codeword_distances

RECALL = 0.95  # of its own images that the network must keep, when false acceptances are counted
NUMBERS = ("auroc", "aupr", "fpr95")


def rejection(
    own: Predictions, foreign: Predictions, schemes: Mapping[str, CodingScheme]
) -> list[dict[str, str | float]]:
    """How well each score accepts test images and rejects foreign ones.

    Returns:
        A row a score: score, auroc, aupr (area under precision and recall, test images being the positives) and
        fpr95, the share of foreign images accepted where 95 % of the test images are; percent.
    """
    truth = torch.cat([torch.ones(len(own.logits)), torch.zeros(len(foreign.logits))]).numpy()
    theirs = acceptance_scores(foreign, schemes)
    rows = []
    for name, scores in acceptance_scores(own, schemes).items():
        both = torch.cat([scores, theirs[name]]).numpy()
        false_positives, recall, _ = roc_curve(truth, both, drop_intermediate=False)
        numbers = (
            roc_auc_score(truth, both),
            average_precision_score(truth, both),
            false_positives[recall >= RECALL].min(),
        )
        rows.append({"score": name} | {key: 100 * float(value) for key, value in zip(NUMBERS, numbers, strict=True)})
    return rows


def acceptance_scores(predictions: Predictions, schemes: Mapping[str, CodingScheme]) -> dict[str, Tensor]:
    """Scores (n,) in float64, higher for images that look like the training set's.

    Less the distance to the nearest codeword, in each block and of all blocks in a row, where the codewords of a class
    are one long one; beside them what needs only the softmax: its largest probability, and the energy score
    log Σ exp(logit) of Liu et al., NeurIPS 2020.
    """
    scores: dict[str, Tensor] = {}
    squared: Tensor | float = 0.0
    for name, scheme in schemes.items():
        distances = codeword_distances(
            predictions.energies[name].double(), torch.tensor(scheme.words, dtype=torch.float64)
        )
        scores[name] = -distances.amin(1)
        squared = squared + distances.square()
    scores["all blocks"] = -squared.amin(1).sqrt()
    logits = predictions.logits.double()
    scores["softmax probability"] = logits.softmax(1).amax(1)
    scores["energy of the logits"] = logits.logsumexp(1)
    return scores
