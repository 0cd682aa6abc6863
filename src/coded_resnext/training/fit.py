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
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor
from tqdm import tqdm

from .. import paths
from ..codes.scheme import CodingScheme, load_scheme, scheme_path
from ..data.batches import Augmentation, batches_an_epoch, seeds, train_batches
from ..data.sets import HOLDOUT_SEED, ImageSet, draw_per_class, load_images, other_classes, split_holdout, spread
from ..errors import CheckpointError, Refused, TrainingDiverged
from ..evaluation.prediction import predict
from ..files import write_atomically
from ..network.cost import strided_past_its_map
from ..network.devices import computes_bfloat16, describe_device, full_float32, tuned_convolutions
from ..network.forms import use_faster_form
from ..network.losses import CodingLoss, total_loss
from ..network.model import CodedResNeXt, build_network, describe_schemes
from ..network.norm import set_portions
from ..network.weights import load_weights
from .checkpoint import Checkpoint, Description, load_checkpoint, run_folder, save_checkpoint
from .parameters import TrainingParameters, differences, recipe, to_plain

DESIGN_SECONDS = 5.0  # see design_scheme: on one core it takes up to three times as long
CHECK_EVERY = 50  # steps between looks at the loss: a look waits for the device
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
    """
    folder = folder or run_folder(parameters.preset, parameters.name)
    checkpoint = None if force else _matching_checkpoint(folder, parameters)
    if checkpoint and checkpoint.finished and checkpoint.description.metrics:
        return checkpoint

    patience = InitProcessGroupKwargs(timeout=timedelta(hours=2))  # the others wait while the first one evaluates
    # Told that there is no GPU, or torchrun's CPU processes stay alone.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[patience])
    device = accelerator.device
    train, held = training_images(
        parameters, load_images(parameters.data, "train", image_size=parameters.image_size)
    )
    test = load_images(parameters.data, "test", image_size=parameters.image_size).normalised_as(train.mean, train.std)
    if test.classes != train.classes:
        raise Refused(f"{parameters.data}: {other_classes(train.classes, test.classes)}")
    if len(train) < parameters.batch_size:
        raise Refused(f"batch_size {parameters.batch_size} is more than the {len(train)} training images")

    torch.manual_seed(parameters.seed)
    network = network_options(parameters, train)
    if checkpoint:
        model = build_network(network, checkpoint.description.schemes)
        load_weights(model, checkpoint.weights(), str(folder))
    else:
        model = CodedResNeXt(**network, schemes=choose_schemes(parameters, train))
    model.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        model.parameters(), parameters.learning_rate, parameters.momentum,
        weight_decay=parameters.weight_decay, nesterov=parameters.momentum > 0,
    )  # fmt: skip
    if checkpoint:
        optimiser.load_state_dict(checkpoint.optimiser())
    history: list[dict[str, Any]] = checkpoint.description.history if checkpoint else []
    earlier_seconds = checkpoint.description.seconds if checkpoint else 0.0
    begun = time.perf_counter()
    runner = _Epochs(parameters, model, optimiser, accelerator, train, range(len(history), parameters.epochs))
    device_in_words = f"{describe_device(device, runner.precision, accelerator.num_processes)}{runner.form_in_words}"

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
            device=device_in_words,
        )  # fmt: skip
        save_checkpoint(folder, model.state_dict(), optimiser.state_dict(), description)

    if accelerator.is_main_process and len(history) < parameters.epochs:
        print(describe_data(train, held, test, model), file=sys.stderr)
        print(_HEADER, file=sys.stderr, flush=True)
    saved_at = -math.inf
    for epoch in runner.epochs:
        epoch_begun = time.perf_counter()
        last = epoch + 1 == parameters.epochs
        row = runner.train(epoch)
        if accelerator.is_main_process:
            with runner.autocast():
                if last or (epoch + 1) % parameters.evaluate_every == 0:
                    row |= _answers(model, held or test, device)
                else:  # a few images tell whether the epoch's last step has ruined the network
                    _answers(model, spread(train, FEW), device)
            row["seconds"] = round(time.perf_counter() - epoch_begun, 2)
            history.append(row)
            _print_row(row, parameters.epochs)
            if last or time.perf_counter() - saved_at >= SAVE_EVERY:
                save({})
                saved_at = time.perf_counter()
        accelerator.wait_for_everyone()
    runner.close()

    if accelerator.is_main_process:
        of_test = {f"test_{key}": value for key, value in _answers(model, test, device).items()}
        clean = _answers(model, spread(train, CLEAN_IMAGES), device)["accuracy"]
        save(of_test | {"clean_train_accuracy": clean})
    accelerator.wait_for_everyone()
    return load_checkpoint(folder)


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
    """The built-in scheme for each place in `active`, or one designed for sizes that none is built in for.

    None where all branches are active: such a place is conventional, also inside a coded stage.
    """
    if not parameters.coded:
        return {}
    return {
        place: scheme_for(len(images.classes), parameters.num_branches, ones)
        for place, ones in parameters.active.items()
    }


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


def learning_rate_at(step: float, parameters: TrainingParameters, steps_per_epoch: int) -> float:
    """Linear warm-up to the peak, then a cosine to the final rate, at a step counted from 0."""
    warmup = parameters.warmup_epochs * steps_per_epoch
    if step < warmup:
        return parameters.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, parameters.epochs * steps_per_epoch - warmup)
    low, high = parameters.final_learning_rate, parameters.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2


class _Epochs:
    """What stays from one epoch to the next: the wrapped network, its losses, its precision and the loader."""

    def __init__(
        self,
        parameters: TrainingParameters,
        model: CodedResNeXt,
        optimiser: torch.optim.Optimizer,
        accelerator: Accelerator,
        images: ImageSet,
        epochs: range,
    ) -> None:
        """`epochs` are those to come, counted from 0."""
        world = accelerator.num_processes
        if parameters.batch_size % (parameters.norm_batch * world):
            raise Refused(
                f"batch_size {parameters.batch_size} cannot be shared by {world} processes "
                f"in portions of norm_batch {parameters.norm_batch}"
            )
        self.parameters, self.accelerator, self.optimiser, self.epochs = parameters, accelerator, optimiser, epochs
        self.device = accelerator.device
        self.precision = _precision(parameters, model, images.image_size, self.device)
        share = parameters.batch_size // world
        # A GPU takes its share of the batch at once, cut into portions inside the batch norms; on a CPU a portion that
        # fits into a cache is faster.
        at_once = share if self.device.type == "cuda" else parameters.norm_batch
        self.portions = share // at_once
        set_portions(model, at_once // parameters.norm_batch)
        form = use_faster_form(model, images.image_size, at_once, self.precision, backward=True)
        self.form_in_words = f", {form} 3x3" if self.device.type == "cuda" else ""
        self.coding_loss = CodingLoss(model.schemes, parameters.exponent).to(self.device)
        self.model = accelerator.prepare(torch.compile(model) if parameters.compile else model)
        self.steps = batches_an_epoch(images, at_once, world) // self.portions
        self.batches = train_batches(
            images, Augmentation(parameters.randaugment, parameters.pad, parameters.flip), at_once,
            seed=parameters.seed, epochs=epochs, device=self.device, workers=parameters.workers,
            rank=accelerator.process_index, world=world,
        )  # fmt: skip

    def autocast(self) -> torch.autocast:
        """Convolutions in the precision of training."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)

    def close(self) -> None:
        """Let the loader's workers go."""
        self.batches.close()

    def train(self, epoch: int) -> dict[str, Any]:
        """One epoch, counted from 0; its row of the training log.

        Raises:
            TrainingDiverged: with the epoch and step, counted from 1.
        """
        p = self.parameters
        torch.manual_seed(int(seeds("dropping", p.seed, epoch, self.accelerator.process_index).integers(2**63)))
        self.model.train()
        sums = torch.zeros(self.steps, 3, device=self.device)  # cross entropy, coding loss, right answers
        begun = time.perf_counter()
        quiet = None if self.accelerator.is_main_process else True  # None: without a terminal
        for step in tqdm(range(self.steps), f"epoch {epoch + 1}", leave=False, disable=quiet):
            rate = learning_rate_at(epoch * self.steps + step, p, self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            for portion in range(self.portions):
                last = portion + 1 == self.portions
                with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                    sums[step] += self._backward(*next(self.batches))
            self.optimiser.step()
            self.optimiser.zero_grad()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == self.steps:
                self._refuse_nan(sums[: step + 1], epoch)
        seen = self.steps * p.batch_size
        loss, coding, right = (self.accelerator.reduce(sums.sum(0), "sum").double() / seen).tolist()
        return {
            "epoch": epoch + 1,
            "loss": round(loss, 5),
            "coding_loss": round(coding, 5),
            "train_accuracy": round(100 * right, 3),
            "learning_rate": round(rate, 7),
            "images_per_second": round(seen / (time.perf_counter() - begun), 1),
        }

    def _backward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Add the gradients of equation 6 for some images; returns sums over them, as in `train`."""
        with self.autocast():
            logits, energies = self.model(images, return_energies=True)
        logits = logits.float()
        loss, cross_entropy, coding = total_loss(logits, energies, labels, self.coding_loss, self.parameters.mu)
        self.accelerator.backward(loss / self.portions)
        right = (logits.argmax(1) == labels).float().mean()
        return torch.stack((cross_entropy, coding, right)).detach() * len(labels)

    def _refuse_nan(self, sums: Tensor, epoch: int) -> None:
        broken = ~torch.isfinite(sums).all(1)
        if broken.any():
            step = int(broken.nonzero()[0]) + 1
            raise TrainingDiverged(
                f"the loss is no finite number in epoch {epoch + 1}, step {step} of {self.steps}: lower learning_rate "
                f"{self.parameters.learning_rate} or mu {self.parameters.mu}. The last checkpoint, of an epoch before, "
                f"is kept"
            )


def _precision(
    parameters: TrainingParameters, model: CodedResNeXt, image_size: int, device: torch.device
) -> torch.dtype:
    """What convolutions compute with in training.

    Raises:
        ValueError: bfloat16 where a CPU's would be wrong.
    """
    if parameters.precision == "float32" or (parameters.precision == "auto" and not computes_bfloat16(device)):
        return torch.float32
    # torch 2.12 to 2.14 on a CPU: such a convolution's weight gradient in bfloat16 is whatever was in memory
    wrong = strided_past_its_map(model, image_size) if device.type == "cpu" else []
    if wrong and parameters.precision == "bfloat16":
        raise Refused(
            f"in bfloat16 on a CPU torch computes wrong weight gradients where a stride exceeds its map: "
            f"{', '.join(wrong)} of images of {image_size} pixels. Set precision to float32 or auto"
        )
    return torch.float32 if wrong else torch.bfloat16


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


def _answers(model: CodedResNeXt, images: ImageSet, device: torch.device) -> dict[str, float]:
    """Accuracy of the softmax and, of a coded network, of its last block as a decoder, percent.

    Raises:
        TrainingDiverged: logits that are no finite numbers.
    """
    predictions = predict(model, images, EVALUATION_BATCH, device)
    if not torch.isfinite(predictions.logits).all():  # an epoch's last step, of which no loss has told
        raise TrainingDiverged(
            "logits are no finite numbers after this epoch: lower learning_rate or mu. "
            "The last checkpoint, of an epoch before, is kept"
        )
    answers = {"accuracy": predictions.accuracy(images.labels)}
    if model.schemes:
        block, scheme = list(model.schemes.items())[-1]
        answers["last_block_accuracy"] = predictions.decoding_accuracy(block, scheme, images.labels)
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
