"""Class surgery: add a class to a trained network, or take one out, without training the network again; and its effect.

A new class gets a spare codeword in every scheme, at the scheme's own distance from all others; only the branches of
its path and its row of fc are trained. Other classes use these branches too: what that costs them is measured by
forgetting every class and teaching it anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..codes.algebraic import weight_class
from ..codes.packing import to_rows, words_of_weight
from ..codes.scheme import CodingScheme
from ..data.batches import eval_batches, seeds
from ..data.sets import ImageSet
from ..errors import Refused
from ..evaluation.prediction import percent_equal, predict
from ..evaluation.probe import pooled_features, probe
from ..network.losses import CodingLoss, total_loss
from ..network.model import CodedResNeXt, class_mask
from .measure import Row

MOST_WORDS = 1_000_000  # up to so many are all tried; of more, so many random ones
PIECE = 10_000  # words looked at together: their shared ones with 1,000 codewords take 40 MB
LONGEST_CODE = 64  # branches up to which algebraic codes are known

MOST_CLASSES = 10  # of more classes the first ones are tried
MOST_IMAGES = 5000  # random ones of the training set; a path is small and learns from few
EPOCHS = 4
LEARNING_RATE = 0.02
LEARNING_BATCH = 64
NEW_CLASS = "new"  # what it is called until its user renames it


def spare_codeword(scheme: CodingScheme, *, distance: int | None = None, seed: int = 0) -> np.ndarray:
    """A word (N,) of the scheme's weight, at `distance` or more from all its codewords; their own minimum by default.

    Among those that are, the one whose branches work for the fewest classes, so that it disturbs the fewest. Few words
    are all tried; of many, those that algebraic codes of this distance have, where the scheme's own words may come
    from, and then random ones.

    Raises:
        ValueError: there is none, or none was found.
    """
    n, w, distance = scheme.num_branches, scheme.num_active, distance or scheme.min_distance
    if math.comb(n, w) <= MOST_WORDS:
        pieces = iter([to_rows(words_of_weight(n, w), n)])
    else:
        pieces = _many_words(n, w, distance, seeds("new codeword", seed))
    for rows in pieces:
        shared = (rows.astype(np.float32) @ scheme.words.T.astype(np.float32)).max(axis=1)
        fitting = rows[2 * (w - shared) >= distance]
        if len(fitting):
            return fitting[(fitting @ scheme.column_sums).argmin()]
    raise Refused(
        f"{scheme} has no room for one more word: design one with "
        f"design_scheme({scheme.num_classes + 1}, {n}, {w}) and train again"
    )


def _many_words(n: int, w: int, distance: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """(PIECE, N) booleans of weight w, some thousand at a time: the table of shared ones stays small."""
    if n <= LONGEST_CODE:
        words = weight_class(n, w, distance)
        yield from (to_rows(words[i : i + PIECE], n) for i in range(0, len(words), PIECE))
    for _ in range(MOST_WORDS // PIECE):
        yield rng.random((PIECE, n)).argsort(axis=1) < w


@torch.no_grad()
def with_new_class(model: CodedResNeXt, distances: Mapping[str, int] | None = None) -> CodedResNeXt:
    """A network with one class more, the last: spare codewords, and a row of fc that starts as the mean of the others.

    Args:
        distances: how far the codeword is at least from all others, by block; the schemes' own by default.
    Raises:
        ValueError: a plain network; a scheme without room, see `spare_codeword`.
    """
    if not model.schemes:
        raise Refused("this network is plain: it has no paths, and a new class would need all of it")
    longer = {
        scheme: CodingScheme(np.vstack([scheme.words, spare_codeword(scheme, distance=(distances or {}).get(name))]))
        for name, scheme in model.schemes.items()
    }
    row = model.fc.weight.mean(0, keepdim=True)
    schemes = {name: longer[scheme] for name, scheme in model.schemes.items()}
    names = (*model.class_names, NEW_CLASS) if model.class_names else ()
    return _same_with(model, schemes, torch.cat([model.fc.weight, row]), names)


@torch.no_grad()
def without_class(model: CodedResNeXt, k: int) -> CodedResNeXt:
    """The network without class k: neither its row of fc nor its codewords are there.

    Logits of the others stay what they are. Branches that work for no other class are silenced: their columns of
    conv3 become zero.

    Raises:
        ValueError: no such class, or too few would be left.
    """
    rest = [other for other in range(model.num_classes) if other != k]
    if len(rest) == model.num_classes:
        raise Refused(f"class {k} is not in 0 … {model.num_classes - 1}, the classes of the network")
    schemes = {name: CodingScheme(scheme.words[rest]) for name, scheme in model.schemes.items()}
    names = tuple(name for other, name in enumerate(model.class_names) if other != k)
    smaller = _same_with(model, schemes, model.fc.weight[rest], names)
    for name, scheme in schemes.items():
        weight = smaller.get_submodule(name).conv3.weight
        weight[:, _channels(torch.from_numpy(scheme.column_sums == 0), weight.shape[1])] = 0
    return smaller


def train_new_class(
    model: CodedResNeXt, images: ImageSet, k: int, *, mu: float, epochs: int, learning_rate: float, batch_size: int,
    seed: int,
) -> None:  # fmt: skip
    """Train the path of class k and its row of fc by equation 6, and nothing else; batch statistics stay as they are.

    Args:
        model: of `with_new_class`; changed in place, and in evaluation mode afterwards.
        images: of all classes: the others must be seen, or their shared branches forget them.
        mu: weight of the coding loss.
        learning_rate: of SGD with momentum 0.9, without weight decay, which would reach what is frozen.
    """
    device = model.fc.weight.device
    masks = path_masks(model, k)
    parameters = {name: parameter for name, parameter in model.named_parameters() if name in masks}
    optimiser = torch.optim.SGD(parameters.values(), learning_rate, momentum=0.9)
    coding_loss = CodingLoss(model.schemes).to(device)
    model.eval()
    for epoch in range(epochs):
        order = seeds("order of surgery", seed, epoch).permutation(len(images))
        for pixels, labels in eval_batches(images.subset(order), batch_size, device):
            logits, energies = model(pixels, return_energies=True)
            total_loss(logits, energies, labels, coding_loss, mu)[0].backward()
            for name, parameter in parameters.items():
                parameter.grad.mul_(masks[name].to(device))
            optimiser.step()
            model.zero_grad()


def path_masks(model: CodedResNeXt, k: int) -> dict[str, Tensor]:
    """Which entries of which parameters are the path of class k and its row of fc: {parameter: 0 or 1}.

    The last batch norm of a block is everybody's, and is left out.
    """
    row = torch.zeros(model.num_classes, 1)
    row[k] = 1
    masks = {"fc.weight": row}
    for name, keep in class_mask(model.schemes, [k]).items():
        block = model.get_submodule(name)
        channels = _channels(keep, block.conv3.in_channels).float()
        for layer in ("conv1", "conv2"):
            masks[f"{name}.{layer}.weight"] = channels[:, None, None, None]
        for layer in ("bn1", "bn2"):
            masks |= {f"{name}.{layer}.{tensor}": channels for tensor in ("weight", "bias")}
        masks[f"{name}.conv3.weight"] = channels[None, :, None, None]
    return masks


def _channels(branches: Tensor, width: int) -> Tensor:
    """(N,) by branch to (N·d,) by channel."""
    return branches.repeat_interleave(width // len(branches))


def _same_with(
    model: CodedResNeXt, schemes: Mapping[str, CodingScheme], rows: Tensor, names: tuple[str, ...]
) -> CodedResNeXt:
    """A copy in evaluation mode with other schemes and other rows of fc, as many as the schemes have classes."""
    other = CodedResNeXt(**{**model.options, "num_classes": len(rows)}, schemes=schemes).to(rows)
    other.load_state_dict({**model.state_dict(), "fc.weight": rows})
    other.class_names, other.preparation = names, model.preparation
    return other.eval()


def forget_and_learn(
    model: CodedResNeXt, train: ImageSet, test: ImageSet, *, mu: float, seed: int, batch_size: int, device: torch.device
) -> list[Row]:
    """Take a class out, then teach it anew on a spare codeword, for one class after the other.

    The new path begins with branches that the old one left trained, so this is easier than a class never seen. And to
    forget a class is not to be unable to see it: its branches work for others too, and what comes before the coded
    blocks is everybody's. A linear probe on the last block's features tells what is left to be read.

    Args:
        model: a trained coded network; it stays as it is.
        mu: weight of the coding loss, as in the training.
        batch_size: of the evaluations.
    Returns:
        A row a class: accuracy (percent) of the other classes' images with the network whole (`others`), after
        forgetting (`others_without`) and after learning (`others_after`); of its own images (`own`, `own_after`); and
        in what share of the coded blocks the spare codeword is the old one (`same_codeword`). And of its own images
        those that a probe of all classes finds in the whole network (`probed`), after forgetting (`probed_without`) and
        after learning (`probed_after`).
    """
    count = model.num_classes
    train = train.subset(seeds("images to learn anew", seed).permutation(len(train))[:MOST_IMAGES])
    whole = predict(model, test, batch_size, device).logits.argmax(1)

    def read_by_a_probe(network: CodedResNeXt) -> Tensor:
        """What a probe of all classes takes every test image for."""
        block = network.block_names[-1]
        known, asked = (pooled_features(network, [block], images, batch_size, device)[block]
                        for images in (train, test))  # fmt: skip
        return probe(known, train.labels, asked)

    probed = read_by_a_probe(model)
    rows: list[Row] = []
    for k in range(min(count, MOST_CLASSES)):
        images, own = moved_last(test, k), test.labels == k
        fewer = without_class(model, k)
        without = predict(fewer, images.subset((~own).nonzero()[:, 0]), batch_size, device).logits.argmax(1)
        # As far as the codewords were from each other before: those of few classes that are left may be farther apart.
        more = with_new_class(fewer, {name: scheme.min_distance for name, scheme in model.schemes.items()})
        train_new_class(
            more, moved_last(train, k), count - 1,
            mu=mu, epochs=EPOCHS, learning_rate=LEARNING_RATE, batch_size=LEARNING_BATCH, seed=seed,
        )  # fmt: skip
        after = predict(more, images, batch_size, device).logits.argmax(1)
        same = [
            (more.schemes[name].words[-1] == scheme.words[k]).all().item() for name, scheme in model.schemes.items()
        ]
        rows.append({
            "class": test.classes[k],
            "others": percent_equal(whole[~own], test.labels[~own]),
            "others_without": percent_equal(without, images.labels[~own]),
            "others_after": percent_equal(after[~own], images.labels[~own]),
            "own": percent_equal(whole[own], test.labels[own]),
            "own_after": percent_equal(after[own], images.labels[own]),
            "same_codeword": sum(same) / len(same),
            "probed": percent_equal(probed[own], test.labels[own]),
            "probed_without": percent_equal(read_by_a_probe(fewer)[own], test.labels[own]),
            "probed_after": percent_equal(read_by_a_probe(more)[own], test.labels[own]),
        })  # fmt: skip
    return rows


def moved_last(images: ImageSet, k: int) -> ImageSet:
    """The same images, with class k numbered as the last and those behind it one less."""
    names: Sequence[str] = images.classes
    labels = torch.where(images.labels == k, len(names) - 1, images.labels - (images.labels > k).long())
    return replace(images, labels=labels, classes=(*names[:k], *names[k + 1 :], names[k]))
