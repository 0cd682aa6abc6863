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
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, broadcast_object_list
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
from ..network.decoding import decode
from ..network.devices import computes_bfloat16, describe_device, full_float32, tuned_convolutions
from ..network.forms import use_faster_form
from ..network.losses import CodingLoss, total_loss
from ..network.model import CodedResNeXt, build_network, describe_schemes
from ..network.norm import BatchNorm2d, set_portions
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

    patience = InitProcessGroupKwargs(timeout=timedelta(hours=2))  # the others wait while the first one designs schemes
    own_statistics = DistributedDataParallelKwargs(broadcast_buffers=False)  # see average_statistics
    # Told that there is no GPU, or torchrun's CPU processes stay alone.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[patience, own_statistics])
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
        model = build_network(network, checkpoint.description.schemes)
        load_weights(model, checkpoint.weights(), str(folder))
    else:
        model = CodedResNeXt(**network, schemes=_agreed_schemes(parameters, train, accelerator))
    model.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        decayed(model, parameters), parameters.learning_rate, parameters.momentum, nesterov=parameters.momentum > 0
    )
    if checkpoint:
        optimiser.load_state_dict(checkpoint.optimiser())
    history: list[dict[str, Any]] = checkpoint.description.history if checkpoint else []
    earlier_seconds = checkpoint.description.seconds if checkpoint else 0.0
    begun = time.perf_counter()
    runner = _Epochs(parameters, model, optimiser, accelerator, train, range(len(history), parameters.epochs))

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
            device=f"{describe_device(device, runner.precision, accelerator.num_processes)}{runner.form_in_words}",
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


def _agreed_schemes(
    parameters: TrainingParameters, images: ImageSet, accelerator: Accelerator
) -> dict[str, CodingScheme | None]:
    """`choose_schemes` of the first process for all: a design takes all cores, and ends by the clock."""
    schemes = [choose_schemes(parameters, images) if accelerator.is_main_process else None]
    return broadcast_object_list(schemes)[0]


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


@torch.no_grad()
def average_statistics(model: CodedResNeXt, accelerator: Accelerator) -> None:
    """Give every process the mean of all processes' running statistics; each has seen its own images only."""
    if accelerator.num_processes == 1:
        return
    norms = [module for module in model.modules() if isinstance(module, BatchNorm2d)]
    buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
    together = accelerator.reduce(torch.cat(buffers), "mean")
    for buffer, mean in zip(buffers, together.split([len(buffer) for buffer in buffers]), strict=True):
        buffer.copy_(mean)


def _other_processes(before: int, accelerator: Accelerator) -> str:
    drawn = "dropped branches and crops are" if accelerator.device.type == "cuda" else "dropped branches are"
    return (
        f"the checkpoint is of {before} process{'es' if before > 1 else ''}, this is {accelerator.num_processes}: each "
        f"step has the same images and batch norms the same portions; {drawn} drawn otherwise, and running statistics "
        f"are the mean over other shares"
    )


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
        self.network, self.images, self.share = model, images, parameters.batch_size // world
        self.coding_loss = CodingLoss(model.schemes, parameters.exponent).to(self.device)
        self.steps = batches_an_epoch(images, self.share, world)
        self.stepped = False
        self._go_by(_at_once(self.share, parameters.norm_batch, self.device), epochs)

    def _go_by(self, at_once: int, epochs: range) -> None:
        """Take the process's share of every batch by so many images, from the first of these epochs on."""
        p = self.parameters
        self.portions = self.share // at_once
        set_portions(self.network, at_once // p.norm_batch)
        form = use_faster_form(self.network, self.images.image_size, at_once, self.precision, backward=True)
        self.form_in_words = f", {form} 3x3" if self.device.type == "cuda" else ""
        with warnings.catch_warnings():  # torch 2.14 has another word for broadcast_buffers, which 2.11 does not know
            warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
            self.model = self.accelerator.prepare(torch.compile(self.network) if p.compile else self.network)
        self.batches = train_batches(
            self.images, Augmentation(p.randaugment, p.pad, p.flip), at_once,
            portions=self.portions, seed=p.seed, epochs=epochs, device=self.device, workers=p.workers,
            rank=self.accelerator.process_index, world=self.accelerator.num_processes,
        )  # fmt: skip

    def autocast(self) -> torch.autocast:
        """Convolutions in the precision of training."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)

    def close(self) -> None:
        """Let the loader's workers go."""
        self.batches.close()

    def train(self, epoch: int) -> dict[str, Any]:
        """One epoch, counted from 0; its row of the training log.

        A first step that does not fit into a GPU's memory is made again by portions of norm_batch images, and so are
        all others: they differ in rounding, and in where images are cropped.

        Raises:
            TrainingDiverged: with the epoch and step, counted from 1.
            ValueError: several processes, and one's share does not fit into its GPU.
        """
        norm_batch = self.parameters.norm_batch
        if self.stepped or self.share // self.portions == norm_batch:
            return self._train(epoch)
        before = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        try:
            return self._train(epoch)
        except torch.OutOfMemoryError:
            if self.stepped:
                raise
        # Behind the except, whose traceback keeps what the step allocated.
        if self.accelerator.num_processes > 1:  # the others may be inside a collective call, and would wait
            raise Refused(
                f"{self.share} images at once do not fit into a GPU's memory: share batch_size "
                f"{self.parameters.batch_size} among more processes, or train in one, which then goes by portions"
            )
        print(
            f"{self.share} images at once do not fit into the GPU's memory: training goes by portions of {norm_batch}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        self.close()
        self.optimiser.zero_grad()
        for name, buffer in self.network.named_buffers():
            buffer.copy_(before[name])
        torch.compiler.reset()  # or the new shapes would count as changing ones
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._go_by(norm_batch, range(epoch, self.epochs.stop))
        return self._train(epoch)

    def _train(self, epoch: int) -> dict[str, Any]:
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
            self.stepped = True
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


def _at_once(share: int, norm_batch: int, device: torch.device) -> int:
    """How many images of a process's share of the batch pass at once.

    A GPU takes them all, cut into portions inside the batch norms; on a CPU a portion that fits into a cache is faster.
    """
    return share if device.type == "cuda" else norm_batch


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
