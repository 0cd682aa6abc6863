"""Coded ResNeXt: image classifiers whose branches are assigned to classes by codewords.

The public names below are loaded when first used, so that drawing figures or looking at coding
schemes imports no torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "CodingScheme": "codes",
    "load_scheme": "codes",
    "assign_classes": "codes",
    "design_scheme": "design",
    "lexicographic_scheme": "lexicographic",
    "distance_upper_bound": "bounds",
    "CodedResNeXt": "model",
    "coded_resnext29_10x11d": "model",
    "coded_resnext29_20x6d": "model",
    "coded_resnext50_32x4d": "model",
    "class_mask": "model",
    "decode": "model",
    "CodingLoss": "losses",
    "extract_subnetwork": "subnetwork",
    "load_subnetwork": "manifest",
    "save_subnetwork": "manifest",
    "load_images": "data",
    "EarlyExit": "early_exit",
    "predict": "prediction",
    "TrainingParameters": "parameters",
    "fit": "training",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
