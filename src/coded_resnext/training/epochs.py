"""One epoch of training: portions of batches, gradients of equation 6, steps, and what to do when memory ends."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from ..data.batches import Augmentation, batches_an_epoch, seeds, train_batches
from ..data.sets import ImageSet
from ..errors import Refused, TrainingDiverged
from ..network.cost import strided_past_its_map
from ..network.devices import computes_bfloat16
from ..network.forms import use_faster_form
from ..network.losses import CodingLoss, total_loss
from ..network.model import CodedResNeXt
from ..network.norm import BatchNorm2d, set_portions
from .ingredients import drop_at, learning_rate_at
from .parameters import STORED, TrainingParameters

CHECK_EVERY = 50  # steps between looks at the loss: a look waits for the device


class Epochs:
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
        self.network.set_drop(drop_at(epoch, p))
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
            if p.precision == STORED:
                store_in_bfloat16(self.network, self.optimiser)
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


@torch.no_grad()
def store_in_bfloat16(model: CodedResNeXt, optimiser: torch.optim.Optimizer) -> None:
    """Round weights, running statistics and momentum to what a device keeps that has no other floats.

    A step computes in float32 from there, as such a device does inside one operation, and its result is rounded again.
    """
    momenta = [state["momentum_buffer"] for state in optimiser.state.values() if "momentum_buffer" in state]
    held = [*model.parameters(), *running_statistics(model), *momenta]
    torch._foreach_copy_(held, [tensor.to(torch.bfloat16) for tensor in held])


def running_statistics(model: CodedResNeXt) -> list[Tensor]:
    """Means and variances of all batch norms."""
    norms = [module for module in model.modules() if isinstance(module, BatchNorm2d)]
    return [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]


@torch.no_grad()
def average_statistics(model: CodedResNeXt, accelerator: Accelerator) -> None:
    """Give every process the mean of all processes' running statistics; each has seen its own images only."""
    if accelerator.num_processes == 1:
        return
    buffers = running_statistics(model)
    together = accelerator.reduce(torch.cat(buffers), "mean")
    for buffer, mean in zip(buffers, together.split([len(buffer) for buffer in buffers]), strict=True):
        buffer.copy_(mean)


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
    if wrong and parameters.precision != "auto":
        raise Refused(
            f"in bfloat16 on a CPU torch computes wrong weight gradients where a stride exceeds its map: "
            f"{', '.join(wrong)} of images of {image_size} pixels. Set precision to float32 or auto"
        )
    return torch.float32 if wrong else torch.bfloat16
