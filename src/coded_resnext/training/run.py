"""A trained run with its network and its data: what an evaluation starts from."""

from __future__ import annotations

from functools import cached_property

import torch

from ..codes.scheme import CodingScheme
from ..data.sets import ImageSet, check_classes, load_images, out_of_distribution
from ..errors import Refused
from ..network.cost import images_at_once
from ..network.forms import use_faster_form
from ..network.model import CodedResNeXt, schemes_by_block
from .checkpoint import Checkpoint
from .ingredients import choose_schemes, training_images
from .parameters import TrainingParameters, build


class Run:
    """A trained run with its data, loaded when asked for.

    Args:
        checkpoint: its own, or shipped weights in its place.
        batch_size: images at once in evaluations.
    """

    def __init__(self, checkpoint: Checkpoint, batch_size: int = 500) -> None:
        self.checkpoint = checkpoint
        self.training = checkpoint.description.parameters
        self.largest_batch = batch_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def model(self) -> CodedResNeXt:
        model = self.checkpoint.network().to(self.device, memory_format=torch.channels_last)
        size = self.checkpoint.description.data["image_size"]
        use_faster_form(model, size, self.largest_batch, torch.float32, backward=False)
        return model

    @cached_property
    def batch_size(self) -> int:
        """As asked for, but on a CPU no more than fits into a cache, see `images_at_once`."""
        if self.device.type == "cuda":
            return self.largest_batch
        return min(self.largest_batch, images_at_once(self.model, self.checkpoint.description.data["image_size"]))

    @cached_property
    def schemes(self) -> dict[str, CodingScheme]:
        """Of the network's coded blocks; of a plain network, what a coded one with its parameters would have."""
        if self.model.schemes:
            return self.model.schemes
        coded = build(TrainingParameters, {**self.training, "coded": True}, self.training["name"])
        return schemes_by_block(
            choose_schemes(coded, self.test), self.model.block_names, self.model.num_classes, self.model.num_branches
        )

    @cached_property
    def test(self) -> ImageSet:
        return self._load("test")

    @cached_property
    def train(self) -> ImageSet:
        """The images it was trained on, without those held out."""
        return self._split[0]

    @cached_property
    def held(self) -> ImageSet:
        """The training images held out of it.

        Raises:
            ValueError: a run that held none out.
        """
        held = self._split[1]
        if held is None:
            raise Refused(
                f"run {self.training['name']} held no training images out, so nothing can be calibrated: "
                f"train one with holdout above 0"
            )
        return held

    @cached_property
    def _split(self) -> tuple[ImageSet, ImageSet | None]:
        return training_images(build(TrainingParameters, self.training, self.training["name"]), self._load("train"))

    @cached_property
    def foreign(self) -> ImageSet | None:
        images = out_of_distribution(
            self.training["data"], image_size=self.checkpoint.description.data["image_size"],
            crop=self.training["image_size"] > 0,
        )  # fmt: skip
        return None if images is None else self._as_in_training(images)

    def _load(self, split: str) -> ImageSet:
        images = load_images(
            self.training["data"], split, image_size=self.training["image_size"], seed=self.training["seed"]
        )
        check_classes(images, self.checkpoint.description.data["classes"], f"run {self.training['name']}")
        return self._as_in_training(images)

    def _as_in_training(self, images: ImageSet) -> ImageSet:
        data = self.checkpoint.description.data
        return images.normalised_as(data["mean"], data["std"])
