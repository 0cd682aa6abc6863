"""Training (section 4.1): one resumable run, on a CPU, one GPU or several.

A checkpoint is written after the first epoch, the last, and those between whose predecessor is some seconds old.
Order, augmentation and dropping are drawn from (seed, epoch), so no random state has to be saved: a run that was
stopped at any moment and started again goes on behind its last checkpoint, and ends with the same weights, bit for
bit on a CPU at the same thread count, as one that never stopped.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, broadcast_object_list

from ..codes.scheme import CodingScheme
from ..data.sets import ImageSet, check_classes, load_images, other_classes, spread
from ..errors import CheckpointError, InUse, Refused, TrainingDiverged
from ..evaluation.prediction import predict
from ..files import forget_temporary
from ..locks import held
from ..network.decoding import decode
from ..network.devices import describe_device, full_float32, tuned_convolutions
from ..network.model import CodedResNeXt, build_network, describe_schemes
from ..network.weights import load_weights
from .checkpoint import REMEDY, Checkpoint, Description, load_checkpoint, run_folder, save_checkpoint, settle
from .epochs import Epochs, average_statistics
from .ingredients import (
    choose_schemes,
    decayed,
    describe_data,
    network_options,
    own_scheme,
    start_from,
    training_images,
)
from .parameters import TrainingParameters, differences, recipe, to_plain

EVALUATION_BATCH = 500
FEW = 64
SAVE_EVERY = 20.0  # seconds between checkpoints at least: a large network's takes one, a GPU's epoch a few
CLEAN_IMAGES = 5000  # training images, not augmented, that say in evaluation mode how well a finished run is fitted


@full_float32()
@tuned_convolutions()
def fit(parameters: TrainingParameters, *, folder: Path | None = None, force: bool = False) -> Checkpoint:
    """Train one network to its last epoch, or go on where a stopped run was; returns the finished checkpoint.

    Nothing is done when the checkpoint is finished. Its description has the history and, as `metrics`, percent: the
    test accuracy of the softmax and of the last coded block as a decoder, and the accuracy of training images that are
    not augmented, which says how well the network is fitted.

    Args:
        parameters: what to train.
        folder: where its checkpoint is kept; data/runs/<preset>/<name> by default.
        force: train from the beginning whatever is there.
    Raises:
        ValueError: data or sizes that do not fit together.
        CheckpointError: a checkpoint that is damaged or was made with other parameters.
        TrainingDiverged: the loss became NaN or infinite, with the epoch and step.
        InUse: another process is training this run.
    """
    folder = folder or run_folder(parameters.preset, parameters.name)
    checkpoint = None if force else _matching_checkpoint(folder, parameters)
    if _is_complete(checkpoint):
        return checkpoint

    patience = InitProcessGroupKwargs(timeout=timedelta(hours=2))  # the others wait while the first one designs schemes
    own_statistics = DistributedDataParallelKwargs(broadcast_buffers=False)  # see average_statistics
    # Told that there is no GPU, or torchrun's CPU processes stay alone.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[patience, own_statistics])
    with _alone_in(folder, accelerator):
        checkpoint = None if force else _matching_checkpoint(folder, parameters)  # as it is now
        if not _is_complete(checkpoint):
            _train(parameters, folder, checkpoint, accelerator)
    return load_checkpoint(folder)


def _train(
    parameters: TrainingParameters, folder: Path, checkpoint: Checkpoint | None, accelerator: Accelerator
) -> None:
    """Train from a checkpoint, or from the beginning, to the last epoch and the metrics."""
    device = accelerator.device
    train, held = training_images(
        parameters, load_images(parameters.data, "train", image_size=parameters.image_size, seed=parameters.seed)
    )
    test = load_images(parameters.data, "test", image_size=parameters.image_size, seed=parameters.seed)
    test = test.normalised_as(train.mean, train.std)
    if test.classes != train.classes:
        raise Refused(f"{parameters.data}: {other_classes(train.classes, test.classes)}")
    if len(train) < parameters.batch_size:
        raise Refused(f"batch_size {parameters.batch_size} is more than the {len(train)} training images")

    torch.manual_seed(parameters.seed)
    network = network_options(parameters, train)
    if checkpoint:
        check_classes(train, checkpoint.description.data["classes"], f"the run in {folder}")
        model = build_network(network, checkpoint.description.schemes)
        load_weights(model, checkpoint.weights(), str(folder))
        own = own_scheme(parameters, len(train.classes)) if parameters.coded else None
        if own and own not in model.schemes.values():
            raise CheckpointError(f"{parameters.scheme} changed after {folder} was begun: give this run another name")
    else:
        model = CodedResNeXt(**network, schemes=_agreed_schemes(parameters, train, accelerator))
        if parameters.init:
            start_from(model, parameters.init)
    model.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        decayed(model, parameters), parameters.learning_rate, parameters.momentum, nesterov=parameters.momentum > 0
    )
    if checkpoint:
        try:
            optimiser.load_state_dict(checkpoint.optimiser())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"the optimiser of {folder} is another network's ({error}): {REMEDY}") from None
    history: list[dict[str, Any]] = checkpoint.description.history if checkpoint else []
    earlier_seconds = checkpoint.description.seconds if checkpoint else 0.0
    begun = time.perf_counter()
    runner = Epochs(parameters, model, optimiser, accelerator, train, range(len(history), parameters.epochs))

    where = describe_device(device, runner.precision, accelerator.num_processes)

    def save(metrics: dict[str, float]) -> None:
        description = Description(
            parameters=to_plain(parameters),
            network=network,
            schemes=describe_schemes(model),
            data={
                "name": train.name, "classes": train.classes, "mean": train.mean, "std": train.std,
                "image_size": train.image_size,
            },
            epoch=len(history),
            history=history,
            seconds=earlier_seconds + time.perf_counter() - begun,
            metrics=metrics,
            device=_and_before(f"{where}{runner.form_in_words}", checkpoint),
            processes=accelerator.num_processes,
        )  # fmt: skip
        save_checkpoint(folder, model.state_dict(), optimiser.state_dict(), description)

    if accelerator.is_main_process and len(history) < parameters.epochs:
        if checkpoint and checkpoint.description.processes != accelerator.num_processes:
            print(_other_processes(checkpoint.description.processes, accelerator), file=sys.stderr, flush=True)
        print(describe_data(train, held, test, model), file=sys.stderr)
        print(_HEADER, file=sys.stderr, flush=True)
    saved_at = -math.inf
    for epoch in runner.epochs:
        epoch_begun = time.perf_counter()
        last = epoch + 1 == parameters.epochs
        row = runner.train(epoch)
        average_statistics(model, accelerator)
        with runner.autocast():
            if last or (epoch + 1) % parameters.evaluate_every == 0:
                row |= _answers(model, held or test, accelerator, parameters.workers)
            else:  # a few images tell whether the epoch's last step has ruined the network
                _answers(model, spread(train, FEW), accelerator, 0)
        if accelerator.is_main_process:
            row["seconds"] = round(time.perf_counter() - epoch_begun, 2)
            history.append(row)
            _print_row(row, parameters.epochs)
            if last or time.perf_counter() - saved_at >= SAVE_EVERY:
                save({})
                saved_at = time.perf_counter()
        accelerator.wait_for_everyone()
    runner.close()

    answers = _answers(model, test, accelerator, parameters.workers)
    clean = _answers(model, spread(train, CLEAN_IMAGES), accelerator, parameters.workers)["accuracy"]
    if accelerator.is_main_process:
        save({f"test_{key}": value for key, value in answers.items()} | {"clean_train_accuracy": clean})
    accelerator.wait_for_everyone()


def _is_complete(checkpoint: Checkpoint | None) -> bool:
    return checkpoint is not None and checkpoint.finished and bool(checkpoint.description.metrics)


@contextlib.contextmanager
def _alone_in(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """Hold a run's folder: the first process does it for all of one training, and all end if it cannot.

    Raises:
        InUse: another training of this run.
        OSError: a folder that cannot be written.
    """
    with contextlib.ExitStack() as stack:
        answer: list[Exception | None] = [None]
        if accelerator.is_main_process:
            try:
                stack.enter_context(held(folder))
                settle(folder)
                forget_temporary(folder)
            except (InUse, OSError) as error:
                answer = [error]
        if error := broadcast_object_list(answer)[0]:
            raise error
        yield


def _agreed_schemes(
    parameters: TrainingParameters, images: ImageSet, accelerator: Accelerator
) -> dict[str, CodingScheme | None]:
    """`choose_schemes` of the first process for all: a design takes all cores, and ends by the clock."""
    schemes = [choose_schemes(parameters, images) if accelerator.is_main_process else None]
    return broadcast_object_list(schemes)[0]


def _and_before(device: str, checkpoint: Checkpoint | None) -> str:
    """What a run is trained on, behind what it was begun on where that is something else."""
    before = (checkpoint and checkpoint.description.device) or device
    return before if before.endswith(device) else f"{before}, then {device}"


def _other_processes(before: int, accelerator: Accelerator) -> str:
    drawn = "dropped branches and crops are" if accelerator.device.type == "cuda" else "dropped branches are"
    return (
        f"the checkpoint is of {before} process{'es' if before > 1 else ''}, this is {accelerator.num_processes}: each "
        f"step has the same images and batch norms the same portions; {drawn} drawn otherwise, and running statistics "
        f"are the mean over other shares"
    )


def _matching_checkpoint(folder: Path, parameters: TrainingParameters) -> Checkpoint | None:
    checkpoint = load_checkpoint(folder)
    if checkpoint is None:
        return None
    has, wants = recipe(checkpoint.description.parameters), recipe(to_plain(parameters))
    if has != wants:
        raise CheckpointError(
            f"the checkpoint of run {parameters.preset}/{parameters.name} was made with other parameters: "
            f"{differences(has, wants)}. Give this run another name, or train it anew with --force"
        )
    return checkpoint


def _answers(model: CodedResNeXt, images: ImageSet, accelerator: Accelerator, workers: int) -> dict[str, float]:
    """Accuracy of the softmax and, of a coded network, of its last block as a decoder, percent.

    Every process answers for its share of the images, read by `workers` processes where they are on disk. What is added
    up are counts: the answer is one process's to the image.

    Raises:
        TrainingDiverged: logits that are no finite numbers.
    """
    share = images
    if accelerator.num_processes > 1:
        share = images.subset(range(accelerator.process_index, len(images), accelerator.num_processes))
    last_block = list(model.schemes.items())[-1:]  # of a coded network
    counts = torch.zeros(3, dtype=torch.int64)  # logits that are no numbers, right by softmax, right by the block
    if len(share):  # very few images may leave a process none
        predictions = predict(model, share, EVALUATION_BATCH, accelerator.device, workers=workers)
        counts[0] = (~torch.isfinite(predictions.logits)).sum()
        counts[1] = (predictions.logits.argmax(1) == share.labels).sum()
        for block, scheme in last_block:
            counts[2] = (decode(predictions.energies[block], scheme) == share.labels).sum()
    broken, right, decoded = accelerator.reduce(counts.to(accelerator.device), "sum").tolist()
    if broken:  # an epoch's last step, of which no loss has told
        raise TrainingDiverged(
            "logits are no finite numbers after this epoch: lower learning_rate or mu. "
            "The last checkpoint, of an epoch before, is kept"
        )
    answers = {"accuracy": 100 * (right / len(images))}
    if last_block:
        answers["last_block_accuracy"] = 100 * (decoded / len(images))
    return answers


_HEADER = "  epoch     loss   coding    train      val  last block   img/s     left"


def _print_row(row: dict[str, Any], epochs: int) -> None:
    left = (epochs - row["epoch"]) * row["seconds"]
    accuracy, block = (
        f"{row[key]:{width}.2f}" if key in row else f"{'-':>{width}}"
        for key, width in (("accuracy", 8), ("last_block_accuracy", 10))
    )
    print(
        f"{row['epoch']:3d}/{epochs:<3d} {row['loss']:8.4f} {row['coding_loss']:8.4f} {row['train_accuracy']:8.2f} "
        f"{accuracy}  {block} {row['images_per_second']:7.0f} {_duration(left):>8}",
        file=sys.stderr,
        flush=True,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
