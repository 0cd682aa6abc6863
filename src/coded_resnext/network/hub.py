"""A network in the layout of the Hugging Face Hub: config.json beside model.safetensors, for its tools to push or pull.

    HubCodedResNeXt.of(CodedResNeXt.from_pretrained("cifar10-small")).save_pretrained("my-model")
    HubCodedResNeXt.from_pretrained("my-model")  # a folder, or a repository of the Hub

The configuration has all that makes the network: its options, codewords, class names and how it is shown images.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from huggingface_hub import PyTorchModelHubMixin

from .model import CodedResNeXt, check_options, describe_schemes, read_schemes
from .weights import load_weights


class HubCodedResNeXt(PyTorchModelHubMixin, CodedResNeXt):
    """A CodedResNeXt whose arguments are plain values, as a config.json holds them.

    Args:
        network: options of CodedResNeXt, but for the schemes.
        schemes: the codewords of every coded block, as strings; empty for a plain network.
        data: `name`, `classes`, `mean`, `std`, `image_size`, `crop` of what it was trained on; empty before training.
    """

    def __init__(
        self, network: dict[str, Any], schemes: dict[str, list[str]], data: dict[str, Any] | None = None
    ) -> None:
        CodedResNeXt.__init__(self, **check_options(network, "config.json"), schemes=read_schemes(schemes))
        if data:
            self.knows(data, crop=data["crop"])

    @classmethod
    def of(cls, model: CodedResNeXt) -> HubCodedResNeXt:
        """A copy of a whole network, in evaluation mode.

        Raises:
            CheckpointError: a subnetwork, which has lost branches: save_subnetwork writes those.
        """
        copy = cls(model.options, describe_schemes(model), _data(model))
        load_weights(copy, model.state_dict(), "this model")
        return copy.eval()

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> HubCodedResNeXt:
        """As huggingface_hub has it, in evaluation mode; its version 0.30 leaves what it reads in training mode."""
        return super().from_pretrained(*arguments, **options).eval()


def _data(model: CodedResNeXt) -> dict[str, Any]:
    if model.preparation is None:
        return {}
    return {"name": "of the configuration", "classes": list(model.class_names), **asdict(model.preparation)}
