"""Coded ResNeXt: image classifiers whose branches are assigned to classes by codewords.

The public names below are loaded when first used, so that drawing figures or looking at coding
schemes imports no torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "CodingScheme": "codes.scheme",
    "load_scheme": "codes.scheme",
    "assign_classes": "codes.scheme",
    "design_scheme": "codes.design",
    "lexicographic_scheme": "codes.lexicographic",
    "distance_upper_bound": "codes.bounds",
    "CodedResNeXt": "network.model",
    "coded_resnext29_10x11d": "network.model",
    "coded_resnext29_20x6d": "network.model",
    "coded_resnext50_32x4d": "network.model",
    "HubCodedResNeXt": "network.hub",
    "class_mask": "network.model",
    "decode": "network.decoding",
    "CodingLoss": "network.losses",
    "extract_subnetwork": "subnetworks.extract",
    "load_subnetwork": "subnetworks.manifest",
    "save_subnetwork": "subnetworks.manifest",
    "load_checkpoint": "training.checkpoint",
    "load_images": "data.sets",
    "EarlyExit": "early_exit.router",
    "predict": "evaluation.prediction",
    "TrainingParameters": "training.parameters",
    "fit": "training.fit",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
