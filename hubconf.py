"""torch.hub's door: torch.hub.load("<a clone's folder>", "pretrained", "cifar10-small", source="local")."""

import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "numpy", "PIL", "safetensors"]

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))


def pretrained(name="cifar10-small"):
    """A trained network, see CodedResNeXt.from_pretrained: it has class_names and preprocess."""
    from coded_resnext import CodedResNeXt

    return CodedResNeXt.from_pretrained(name)
