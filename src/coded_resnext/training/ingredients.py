"""What a run is made of, as its parameters say: images, network, codes, the optimiser's groups, its rate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .. import paths
from ..codes.scheme import CodingScheme, load_scheme, scheme_path
from ..data.batches import seeds
from ..data.sets import HOLDOUT_SEED, ImageSet, draw_per_class, split_holdout
from ..errors import Missing, Refused
from ..files import write_atomically
from ..network.model import CodedResNeXt
from ..network.weights import load_weights
from .checkpoint import named_checkpoint
from .parameters import TrainingParameters

PERMUTED, RANDOM = "permuted", "random"  # values of TrainingParameters.scheme beside a file
DESIGN_SECONDS = 5.0  # see design_scheme: on one core it takes up to three times as long


def training_images(parameters: TrainingParameters, images: ImageSet) -> tuple[ImageSet, ImageSet | None]:
    """What of a training set a run learns from, and what is held out of it (None where nothing is).

    The same images are held out of every run; with `images_per_class` the seed draws from the others.
    """
    train, held = split_holdout(images, parameters.holdout, HOLDOUT_SEED)
    if parameters.images_per_class:
        train = draw_per_class(train, parameters.images_per_class, seeds("training images", parameters.seed))
    return train, held


def network_options(parameters: TrainingParameters, images: ImageSet) -> dict[str, Any]:
    """Arguments of CodedResNeXt, but for the schemes."""
    return {
        "layers": list(parameters.layers),
        "num_classes": len(images.classes),
        "num_branches": parameters.num_branches,
        "branch_width": parameters.branch_width,
        "width": parameters.width,
        "stem": parameters.stem,
        "in_channels": images.channels,
        "drop_branch": parameters.drop_branch,
        "branch_sum": parameters.branch_sum,
    }


def choose_schemes(parameters: TrainingParameters, images: ImageSet) -> dict[str, CodingScheme | None]:
    """The codewords of each place in `active`; None where all branches are active: such a place is conventional.

    By `parameters.scheme`: the built-in scheme, or one designed for sizes that none is built in for; the same words
    "permuted", dealt to the classes in an order that the seed draws; "random" words, drawn by the seed among all
    different ones; or the scheme of a file, where its N_act is wanted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file whose sizes fit nowhere.
    """
    if not parameters.coded:
        return {}
    k, n = len(images.classes), parameters.num_branches
    own = own_scheme(parameters, k)
    schemes = {}
    for place, ones in parameters.active.items():
        draw = seeds(f"codewords {ones}", parameters.seed)  # blocks of one ratio have one scheme
        if ones == n:
            schemes[place] = None
        elif parameters.scheme == RANDOM:
            schemes[place] = random_scheme(k, n, ones, draw)
        elif own and ones == own.num_active:
            schemes[place] = own
        else:
            schemes[place] = scheme_for(k, n, ones)
            if parameters.scheme == PERMUTED:
                words = schemes[place].words[draw.permutation(k)]
                schemes[place] = CodingScheme(words, schemes[place].provenance)
    return schemes


def own_scheme(parameters: TrainingParameters, num_classes: int) -> CodingScheme | None:
    """The scheme in the file that `parameters.scheme` names; None where it names none."""
    if parameters.scheme in ("", PERMUTED, RANDOM):
        return None
    if not Path(parameters.scheme).is_file():
        raise Missing(f"scheme must be {PERMUTED}, {RANDOM} or a file: there is no file {parameters.scheme}")
    own = CodingScheme.load(parameters.scheme)
    has, wants = (own.num_classes, own.num_branches), (num_classes, parameters.num_branches)
    if has != wants or own.num_active not in parameters.active.values():
        raise Refused(
            f"{parameters.scheme} is of {has[0]} classes in {has[1]} branches, {own.num_active} active: wanted is one "
            f"of {wants[0]} in {wants[1]}, with as many active as a place in {parameters.active}"
        )
    return own


def random_scheme(num_classes: int, num_branches: int, num_active: int, draw: np.random.Generator) -> CodingScheme:
    """Different words of equal weight and nothing else: what the design is worth is measured against them.

    Raises:
        ValueError: there are fewer words than classes.
    """
    if num_classes > math.comb(num_branches, num_active):
        raise Refused(f"{num_branches} branches, {num_active} active, have fewer words than {num_classes} classes")
    words: dict[bytes, np.ndarray] = {}
    while len(words) < num_classes:
        word = np.zeros(num_branches, dtype=bool)
        word[draw.permutation(num_branches)[:num_active]] = True
        words.setdefault(word.tobytes(), word)
    return CodingScheme(np.stack(list(words.values())), {"construction": "random words"})


def start_from(model: CodedResNeXt, name: str) -> None:
    """Give a new network the weights of a trained one, but for the classifier, which stays as it was drawn.

    Raises:
        CheckpointError: another architecture, with the first weight that does not fit.
    """
    has, weights = model.state_dict(), named_checkpoint(name).weights()
    load_weights(model, weights | {key: has[key] for key in has if key.startswith("fc.")}, f"init {name}")


def scheme_for(num_classes: int, num_branches: int, num_active: int) -> CodingScheme | None:
    """The built-in scheme of these sizes, or one designed once and kept with the runs; None where all are active."""
    if num_active == num_branches:
        return None
    if scheme_path(num_classes, num_branches, num_active).is_file():
        return load_scheme(num_classes, num_branches, num_active)
    kept = paths.RUNS / ".own" / "schemes" / f"{num_classes}x{num_branches}-{num_active}.txt"
    if kept.is_file():
        return CodingScheme.load(kept)
    from ..codes.design import design_scheme  # its solvers are needed for new sizes only

    scheme = design_scheme(num_classes, num_branches, num_active, time_limit=DESIGN_SECONDS)
    write_atomically(kept, scheme.to_text(**scheme.header()).encode())
    return scheme


def describe_data(
    train: ImageSet, held: ImageSet | None, test: ImageSet, model: CodedResNeXt
) -> str:
    """What a training is about to see, in one line: images, classes, sizes, branches, distances of the schemes."""
    counts = train.labels.bincount(minlength=len(train.classes)).tolist()
    many = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
    schemes = {name.split(".")[0]: scheme for name, scheme in model.schemes.items()}
    parts = [
        f"{train.name}: {len(train)} images to train on, {len(held) if held else 0} held out, {len(test)} to test",
        f"{len(train.classes)} classes of {many} images",
        f"{train.image_size}x{train.image_size} {'grey' if train.channels == 1 else 'colour'}",
        f"{model.num_branches} branches",
        *(f"{stage} {s.num_active} active, codewords {s.min_distance} apart" for stage, s in schemes.items()),
    ]
    return "; ".join(parts if schemes else [*parts, "plain"])


def decayed(model: CodedResNeXt, parameters: TrainingParameters) -> list[dict[str, Any]]:
    """The network's parameters in the optimiser's groups, with the weight decay of each.

    One group, or with `decay_norms` false two, as timm's `param_groups_weight_decay` makes them: vectors, which are
    the gains and biases of batch norms and fc's bias, decay not at all.
    """
    weights = list(model.parameters())
    if parameters.decay_norms:
        return [{"params": weights, "weight_decay": parameters.weight_decay}]
    vectors = [weight for weight in weights if weight.ndim <= 1]
    kernels = [weight for weight in weights if weight.ndim > 1]
    return [
        {"params": vectors, "weight_decay": 0.0},
        {"params": kernels, "weight_decay": parameters.weight_decay},
    ]


def learning_rate_at(step: float, parameters: TrainingParameters, steps_per_epoch: int) -> float:
    """Linear warm-up to the peak, then a cosine to the final rate, at a step counted from 0."""
    warmup = parameters.warmup_epochs * steps_per_epoch
    if step < warmup:
        return parameters.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, parameters.epochs * steps_per_epoch - warmup)
    low, high = parameters.final_learning_rate, parameters.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2


def drop_at(epoch: int, parameters: TrainingParameters) -> float:
    """p_drop of an epoch counted from 0: rising linearly over `drop_ramp` of all epochs, then constant."""
    ramp = parameters.drop_ramp * parameters.epochs
    return parameters.drop_branch * min(1.0, epoch / ramp) if ramp else parameters.drop_branch
