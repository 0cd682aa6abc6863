"""The paper's networks in numbers: table 1, what coding costs, what one class keeps, where the early decoders stand.

They follow from the layers alone. Filed as records like any measurement, so that tables are drawn without a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from ...network.block import CodedBottleneck
from ...network.cost import count_parameters, multiply_adds
from ...network.model import CodedResNeXt, coded_resnext29_10x11d, coded_resnext29_20x6d, coded_resnext50_32x4d
from ...subnetworks.extract import extract_subnetwork
from ..records.records import begin, write_record

FOLDER, STAGE = "architectures", "architecture"  # in data/results: they belong to no preset


class Network(NamedTuple):
    """A network of table 1: how to make it, its data set in the paper, and the side of its images there."""

    make: Callable[..., CodedResNeXt]
    data_set: str
    image_size: int


NETWORKS = {
    "resnext29-10x11d": Network(coded_resnext29_10x11d, "CIFAR-10", 32),
    "resnext29-20x6d": Network(coded_resnext29_20x6d, "CIFAR-100", 32),
    "resnext50-32x4d": Network(coded_resnext50_32x4d, "ImageNet", 160),
}


def file_architectures() -> list[dict[str, Any]]:
    """Count the three networks and write data/results/architectures/architecture-<name>.json; returns the records.

    Metrics are parameters, multiply-adds of one image (`plain`: convolutions and fc; `coded`: with energies and
    normalisation) and what the binary classifier of one class keeps, in percent. `points` has the stages, `curves` the
    share of the multiply-adds, in percent, that is spent when each coded block decodes.
    """
    return [_file(name, network) for name, network in NETWORKS.items()]


def _file(name: str, network: Network) -> dict[str, Any]:
    beginning = begin("counted")
    model = network.make().eval()
    single = extract_subnetwork(model, [0])
    cost, single_cost = (multiply_adds(m, network.image_size) for m in (model, single))
    size, single_size = count_parameters(model), count_parameters(single)
    metrics = {
        "parameters": size.total,
        "plain_multiply_adds": cost.convolutions,
        "coded_multiply_adds": cost.total,
        "kept_parameters": 100 * single_size.total / size.total,
        "kept_parameters_without_shortcuts": 100 * single_size.without_shortcuts / size.without_shortcuts,
        "kept_multiply_adds": 100 * single_cost.total / cost.total,
        "kept_multiply_adds_of_convolutions": 100 * single_cost.convolutions / cost.convolutions,
    }
    curves = [
        {
            "block": block,
            "number": model.block_names.index(block) + 1,
            "whole block": 100 * cost.until(block, whole=True) / cost.total,
            "what the energies need": 100 * cost.until(block, whole=False) / cost.total,
        }
        for block in model.schemes
    ]
    return write_record(
        FOLDER, STAGE, name,
        parameters={"data_set": network.data_set, "image_size": network.image_size},
        seed=None, checkpoint=None, metrics=metrics, beginning=beginning, points=_stages(model), curves=curves,
    )  # fmt: skip


def _stages(model: CodedResNeXt) -> list[dict[str, Any]]:
    """Rows of table 1: the stem, then blocks of the same shape; stages are called c1, c2, … as in the paper."""
    stem: nn.Conv2d = model.conv1
    rows = [{"stage": "c1", "out channels": stem.out_channels, "blocks": None}]
    for index in range(1, 1 + len({name.split(".")[0] for name in model.block_names})):
        blocks = list(model.get_submodule(f"layer{index}"))
        first: CodedBottleneck = blocks[0]
        rows.append({
            "stage": f"c{index + 1}",
            "out channels": first.conv3.out_channels,
            "branch width": first.conv2.out_channels // first.num_branches,
            "active branches": first.num_active,
            "branches": first.num_branches,
            "blocks": len(blocks),
        })  # fmt: skip
    return rows
