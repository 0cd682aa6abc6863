"""What a network costs for one image: parameters and multiply-adds, in closed form from its layers.

A multiply-add is one product that is summed: an element of a convolution's kernel at one place. Batch norm, ReLU,
additions and pooling are not counted, as is usual. The energies are: Z_n = Σ u uᵀ costs d² a place and branch,
its inner product with G_n = WᵀW another d², and the normaliser scales the d channels once. G_n depends on no image
and is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from .block import CodedBottleneck
from .model import CodedResNeXt

# Bytes of one block's output up to which images are computed together. Two or three tensors of that size are alive at
# once and stay in a cache of 16 to 32 MB; the record of `bench-subnetwork` has the times beside those of whole batches.
PIECE_BYTES = 8 * 2**20


@dataclass(frozen=True)
class BlockCost:
    """Multiply-adds of one block.

    Attributes:
        inside: conv1 and conv2.
        energies: equation 2 from Gram matrices; 0 in a conventional block.
        normaliser: equation 3 applied to conv3's input; 0 in a conventional block.
        outside: conv3 and the projection shortcut. Nothing that the energies need.
        projection: the part of `outside` that is the projection shortcut, which no codeword cuts; 0 without one.
        decoding: inner products of the energies with every codeword, equation 7; part of no total, since a
            network that answers by its softmax does not decode. 0 in a conventional block.
    """

    inside: int
    energies: int
    normaliser: int
    outside: int
    projection: int
    decoding: int

    @property
    def convolutions(self) -> int:
        return self.inside + self.outside

    @property
    def total(self) -> int:
        return self.convolutions + self.energies + self.normaliser


@dataclass(frozen=True)
class Cost:
    """Multiply-adds of a network: the stem, every block by name, and fc."""

    stem: int
    blocks: dict[str, BlockCost]
    head: int

    @property
    def total(self) -> int:
        return self.stem + sum(block.total for block in self.blocks.values()) + self.head

    @property
    def convolutions(self) -> int:
        """Without what coding adds: convolutions and fc, the usual count."""
        return self.stem + sum(block.convolutions for block in self.blocks.values()) + self.head

    def until(self, name: str, *, whole: bool) -> int:
        """Multiply-adds spent when a block decodes, decoding itself left out.

        Args:
            name: of a coded block.
            whole: the block has been computed to its end; otherwise only what its energies need.
        """
        names = list(self.blocks)
        before = self.stem + sum(self.blocks[earlier].total for earlier in names[: names.index(name)])
        block = self.blocks[name]
        return before + (block.total if whole else block.inside + block.energies)


@dataclass(frozen=True)
class Parameters:
    """Number of parameters, counted both ways.

    Attributes:
        total: all of them, what a file must hold.
        without_shortcuts: less the projection shortcuts, which no codeword can cut; near to the paper's count.
    """

    total: int
    without_shortcuts: int


def count_parameters(model: nn.Module) -> Parameters:
    """Count the parameters of a network, full or cut."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    shortcuts = sum(size for name, size in sizes.items() if ".downsample." in name)
    total = sum(sizes.values())
    return Parameters(total, total - shortcuts)


def multiply_adds(model: CodedResNeXt, image_size: int) -> Cost:
    """Multiply-adds of a network, full or cut, for one image.

    Args:
        image_size: height and width of the images.
    """
    stem = _convolution(model.conv1, _size_after(image_size, model.conv1))
    blocks = {}
    for name, block, before, after in block_sizes(model, image_size):
        codewords = model.schemes[name].words.size if name in model.schemes else 0
        blocks[name] = _block_cost(block, before, after, codewords)
    return Cost(stem, blocks, model.fc.weight.numel())


def largest_output(model: CodedResNeXt, image_size: int) -> int:
    """Elements of the largest output of a block, for one image; no codeword cuts these."""
    return max(block.conv3.out_channels * after**2 for _, block, _, after in block_sizes(model, image_size))


def block_sizes(model: CodedResNeXt, image_size: int) -> Iterator[tuple[str, CodedBottleneck, int, int]]:
    """Every block with its name and the height of its input and output."""
    size = _size_after(image_size, model.conv1)
    if isinstance(model.maxpool, nn.MaxPool2d):
        size = (size + 2 * model.maxpool.padding - model.maxpool.kernel_size) // model.maxpool.stride + 1
    for name in model.block_names:
        block = model.get_submodule(name)
        before, size = size, _size_after(size, block.conv2)
        yield name, block, before, size


def strided_past_its_map(model: CodedResNeXt, image_size: int) -> list[str]:
    """Convolutions whose stride is larger than the map that they read, by name."""
    wrong = ["conv1"] if model.conv1.stride[0] > image_size else []
    for name, block, before, _ in block_sizes(model, image_size):
        if block.conv2.stride[0] > before:
            wrong += [f"{name}.conv2", f"{name}.downsample.0"]
    return wrong


def _block_cost(block: CodedBottleneck, size: int, after: int, codewords: int) -> BlockCost:
    """The cost of a block whose stride takes `size` to `after`; `codewords` is K·N of its scheme."""
    projection = 0 if block.downsample is None else _convolution(block.downsample[0], after)
    outside = _convolution(block.conv3, after) + projection
    energies = normaliser = 0
    if block.coded:
        width = block.conv3.in_channels  # kept·d
        energies = width * (width // block.kept) * (after**2 + 1)
        normaliser = width * after**2
    inside = _convolution(block.conv1, size) + _convolution(block.conv2, after)
    return BlockCost(inside, energies, normaliser, outside, projection, codewords)


def _convolution(conv: nn.Conv2d, size: int) -> int:
    return conv.weight.numel() * size**2


def _size_after(size: int, conv: nn.Conv2d) -> int:
    return (size + 2 * conv.padding[0] - conv.kernel_size[0]) // conv.stride[0] + 1


def images_at_once(model: CodedResNeXt, image_size: int) -> int:
    """Into how large pieces to split a batch on a CPU: images that have no block output over PIECE_BYTES, one at least.

    The outputs of the first stage, which no codeword cuts, are what a large batch waits for when no cache holds them.
    Pieces are faster for every network, and most so for a subnetwork.

    Args:
        model: full or cut, folded or not.
        image_size: height and width of the images.
    """
    return max(1, PIECE_BYTES // (largest_output(model, image_size) * model.fc.weight.element_size()))
