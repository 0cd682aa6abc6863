"""The networks (section 3.2, table 1), and the masks that leave some classes their paths.

Module names are torchvision's, and conv3 is stored dense, (C_out, N·d, 1, 1) with branch n owning the
columns n·d … (n+1)·d−1. So a coded and a plain network have the same checkpoint, and with no coded block
the network is torchvision's ResNeXt without the bias of fc.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from PIL import Image
from torch import Tensor, nn

from ..codes.scheme import CodingScheme, load_scheme
from ..data.prepare import Preparation
from ..descriptions import typed_as
from ..errors import CheckpointError, Refused, unknown
from .block import CodedBottleneck, coded_sum
from .norm import BatchNorm2d
from .variants import BRANCH_SUMS
from .weights import ONNX, RUN, SUBNETWORK, find_model, load_weights, read_card, read_shipped

EXPANSION = 4  # C_out of a stage over its planes, as in every bottleneck ResNet
STEMS = {"3x3": (3, 1, False), "3x3/2": (3, 2, False), "7x7/2": (7, 2, True)}  # kernel, stride, max pool


class CodedResNeXt(nn.Module):
    """A ResNeXt whose blocks may be coded.

    Args:
        layers: blocks in each stage; planes and branch width double from one stage to the next.
        num_classes: K.
        num_branches: N.
        branch_width: d of the first stage.
        schemes: coding schemes by stage ("layer2") or block ("layer3.4", which wins); blocks that are not named, or
            whose scheme is None, are conventional.
        width: channels of the stem; stage i ends with 4·width·2^i.
        stem: "3x3" (CIFAR), "3x3/2" (the same with stride 2) or "7x7/2" (ImageNet, with max pooling).
        in_channels: of the images.
        drop_branch: probability of dropSubNNs, in training; `set_drop` lowers it for a while.
        branch_sum: of coded blocks; "normalised" is equation 3, "raw" and "concatenated" its ablations, whose
            energies need not sum to N_act ("raw") and whose paths need not work alone ("concatenated").
        cut: blocks that have lost branches: {block: (N_act, number of branches that are there)}, see Subnetwork.
    Attributes:
        options: the arguments above but for the schemes and `cut`, JSON-ready: with the schemes they make the network.
        class_names: of the logits, of a network that was trained; else empty.
        preparation: how it was shown images, which `preprocess` repeats and `forward` checks; None before training.
    Raises:
        ValueError: a scheme for no stage or block, or of another K or N; a stem, branch_sum or probability out of
            range.
    """

    def __init__(
        self,
        layers: Sequence[int],
        num_classes: int,
        num_branches: int,
        branch_width: int,
        *,
        schemes: Mapping[str, CodingScheme | None] | None = None,
        width: int = 64,
        stem: str = "3x3",
        in_channels: int = 3,
        drop_branch: float = 0.1,
        branch_sum: str = "normalised",
        cut: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        if stem not in STEMS:
            raise Refused(f"unknown stem {stem!r}; there are {', '.join(STEMS)}")
        if branch_sum not in BRANCH_SUMS:
            raise Refused(f"unknown branch_sum {branch_sum!r}; there are {', '.join(BRANCH_SUMS)}")
        for what, count in (
            ("number of classes", num_classes), ("number of branches", num_branches), ("branch_width", branch_width),
            ("width", width), ("number of channels", in_channels), *(("number of blocks", n) for n in layers or [0]),
        ):  # fmt: skip
            if count < 1:
                raise Refused(f"the {what} must be above 0, got {count}")
        if not 0 <= drop_branch < 1:
            raise Refused(f"drop_branch is a probability below 1, got {drop_branch}")
        self.options = {
            "layers": list(layers), "num_classes": num_classes, "num_branches": num_branches,
            "branch_width": branch_width, "width": width, "stem": stem, "in_channels": in_channels,
            "drop_branch": drop_branch, "branch_sum": branch_sum,
        }  # fmt: skip
        self.class_names: tuple[str, ...] = ()
        self.preparation: Preparation | None = None
        self._warned: set[str] = set()
        self._looked = False
        self.num_classes = num_classes
        self.num_branches = num_branches
        self.drop_branch = drop_branch
        # Probabilities of dropping and of keeping; a tensor, for with numbers each would compile a network anew.
        self.register_buffer("_drop_keep", torch.tensor([drop_branch, 1 - drop_branch]), persistent=False)
        self.block_names = [f"layer{s}.{b}" for s, count in enumerate(layers, start=1) for b in range(count)]
        by_block = schemes_by_block(schemes or {}, self.block_names, num_classes, num_branches)
        self.schemes = by_block
        # The first of consecutive blocks with one scheme draws the mask for all of them. It is known here by value:
        # comparing codewords while the network runs would cut a compiled graph at every block.
        before = [None, *map(self.schemes.get, self.block_names)]
        self._draws = {
            name for name, last in zip(self.block_names, before, strict=False) if self.schemes.get(name) != last
        }

        kernel, stride, pool = STEMS[stem]
        self.conv1 = nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if pool else nn.Identity()
        channels = width
        for s, count in enumerate(layers):
            blocks = []
            for b in range(count):
                name = f"layer{s + 1}.{b}"
                scheme = by_block.get(name)
                num_active, kept = (cut or {}).get(name) or (scheme.num_active if scheme else num_branches, None)
                blocks.append(
                    CodedBottleneck(
                        channels,
                        EXPANSION * width * 2**s,
                        num_branches,
                        branch_width * 2**s,
                        num_active=num_active,
                        stride=2 if s > 0 and b == 0 else 1,
                        kept=kept,
                        coded_sum=BRANCH_SUMS[branch_sum],
                    )
                )
                channels = EXPANSION * width * 2**s
            self.add_module(f"layer{s + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes, bias=False)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> CodedResNeXt:
        """A trained network in evaluation mode, on the CPU: shipped, of a run trained here, or a subnetwork.

        Args:
            name: "cifar10-small" for the coded network of seed 0, "cifar10-small-plain" for the plain one,
                "cifar10-small-coded-s1" for any other; data/weights has them all, each with a card. Or a run's folder,
                or a subnetwork's.
        Raises:
            ValueError, FileNotFoundError: no such network, with all that are known; an ONNX file.
            CheckpointError: a file that is not what its card says.
        """
        from .. import load_checkpoint, load_subnetwork  # of rooms above, by their public names

        kind, path = find_model(name)
        if kind == ONNX:
            raise Refused(f"{path} is an ONNX file, which holds no PyTorch network: open it with OnnxNetwork")
        if kind == SUBNETWORK:
            return load_subnetwork(path)
        if kind == RUN:
            return load_checkpoint(path).network()
        card = read_card(path.name)
        model = build_network(card["network"], card["schemes"], f"the card of {card['name']}")
        load_weights(model, read_shipped(card), card["name"])
        model.knows(card["data"], crop=card["recipe"].get("image_size", 0) > 0)
        return model.eval()

    def knows(self, data: Mapping[str, Any], *, crop: bool) -> None:
        """Tell a network what it was trained on.

        Args:
            data: `name`, `classes`, `mean`, `std` and `image_size`, as a checkpoint has them.
            crop: whether images are cut as those on disk are.
        Raises:
            CheckpointError: data of other classes or channels than the network has, or that prepare no image.
        """
        says = {"classes": len(data["classes"]), "channels": len(data["mean"])}
        needs = {"classes": self.num_classes, "channels": self.options["in_channels"]}
        if says != needs:
            raise CheckpointError(f"data {data['name']} has {says}, the network {needs}: they are not of one run")
        self.class_names = tuple(data["classes"])
        self.preparation = Preparation.of({**data, "crop": crop}, f"data {data['name']}")

    def preprocess(self, images: Image.Image | Sequence[Image.Image]) -> Tensor:
        """One PIL image or several as this network reads them, (B, in_channels, H, W), see `Preparation`.

        Upright, grey or colour as in training, the middle square at the trained size, normalised.

        Raises:
            ValueError: a network that was not trained on images; what is no PIL image.
        """
        if self.preparation is None:
            raise Refused("this network was trained on no images yet: CodedResNeXt.from_pretrained loads one that was")
        return self.preparation(images).to(self.fc.weight)

    def check_images(self, x: Tensor) -> None:
        """Refuse a tensor that a trained network cannot have been meant to see, and warn once where it may.

        On a GPU the values of the first batch alone are looked at: a look waits for the device.

        Raises:
            ValueError: see `Preparation.check` and `check_values`.
        """
        if self.preparation is None or self.training or torch.compiler.is_compiling() or x.is_meta:
            return
        doubts = [self.preparation.check(x)]
        if x.device.type == "cpu" or not self._looked:
            doubts.append(self.preparation.check_values(x))
            self._looked = True
        for doubt in doubts:
            if doubt and doubt not in self._warned:
                self._warned.add(doubt)
                warnings.warn(f"{doubt}: see model.preprocess", stacklevel=3)

    def forward_stem(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to what the first block reads."""
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def forward_blocks(
        self, x: Tensor, start: int = 0, stop: int | None = None, branch_mask: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run blocks `start` to `stop` (exclusive) of `block_names`.

        Splitting the network lets evaluations compute what many masks share once.

        Returns:
            Features (B, C, H, W) and, for each coded block run, r·E(t̄) (B, N).
        """
        masks = self._check_masks(branch_mask or {}, x)
        energies: dict[str, Tensor] = {}
        drop: Tensor | None = None
        for name in self.block_names[start:stop]:
            if name not in self.schemes:
                drop = None
            elif self.training and self.drop_branch > 0 and (drop is None or name in self._draws):
                drop = self._draw_drop(x)
            x, spent = self.get_submodule(name)(x, masks.get(name), drop)
            if spent is not None:
                energies[name] = spent
        return x, energies

    def forward_head(self, x: Tensor) -> Tensor:
        """Features of the last block to logits (B, K)."""
        return self.fc(self.avgpool(x).flatten(1))

    def forward(
        self, x: Tensor, *, return_energies: bool = False, branch_mask: Mapping[str, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, K) of images (B, in_channels, H, W); no label is needed.

        Args:
            x: images, normalised as in training.
            return_energies: also return {block: (B, N)}, r·E(t̄) of every coded block; rows sum to N_act.
            branch_mask: {block: (N,) or (B, N) boolean}, in evaluation; False removes the branch: it counts
                as zero energy and the normaliser still divides by N. It may be on another device.
        Raises:
            ValueError: a mask for an unknown block, of another shape or type, or in training mode.
        """
        self.check_images(x)
        features, energies = self.forward_blocks(self.forward_stem(x), branch_mask=branch_mask)
        logits = self.forward_head(features)
        return (logits, energies) if return_energies else logits

    def set_drop(self, probability: float) -> None:
        """Drop with this probability from now on, in training; a network made with `drop_branch` 0 never drops."""
        self._drop_keep.copy_(torch.tensor([probability, 1 - probability]))

    def _draw_drop(self, x: Tensor) -> Tensor:
        """(B, N) factors: 0 with the probability of dropping, else what keeps the expected sum."""
        kept = torch.rand(x.shape[0], self.num_branches, device=x.device) >= self._drop_keep[0]
        return kept / self._drop_keep[1]

    def _check_masks(self, masks: Mapping[str, Tensor], x: Tensor) -> Mapping[str, Tensor]:
        if masks and self.training:
            raise Refused("branch_mask removes branches of a trained network: call model.eval() first")
        for name, mask in masks.items():
            if name not in self.block_names:
                raise Refused(f"branch_mask names block {name!r}; the network has {', '.join(self.block_names)}")
            shapes = ((self.num_branches,), (len(x), self.num_branches))
            if mask.dtype != torch.bool or tuple(mask.shape) not in shapes:
                raise Refused(
                    f"branch_mask of {name} must be boolean, {shapes[0]} or, for {len(x)} images, {shapes[1]}; "
                    f"got {mask.dtype} {tuple(mask.shape)}"
                )
        return {name: mask.to(x.device) for name, mask in masks.items()}


def schemes_by_block(
    schemes: Mapping[str, CodingScheme | None], block_names: Sequence[str], num_classes: int, num_branches: int
) -> dict[str, CodingScheme]:
    """Spread schemes given by stage over its blocks; what is given for a block wins, None makes it conventional."""
    stages = list(dict.fromkeys(name.split(".")[0] for name in block_names))
    for place, scheme in schemes.items():
        if place not in stages and place not in block_names:
            raise Refused(f"scheme for {place!r}, but the network has stages {', '.join(stages)} and their blocks")
        if scheme is None:
            continue
        for what, has, needs in (
            ("branches", scheme.num_branches, num_branches),
            ("classes", scheme.num_classes, num_classes),
        ):
            if has != needs:
                raise Refused(
                    f"scheme of {place} has {has} {what}, the network has {needs}: "
                    f"design one with design_scheme({num_classes}, {num_branches}, num_active)"
                )
    by_block = {name: schemes.get(name, schemes.get(name.split(".")[0])) for name in block_names}
    return {name: scheme for name, scheme in by_block.items() if scheme is not None}


def shipped_schemes(num_classes: int, num_branches: int, active: Mapping[str, int]) -> dict[str, CodingScheme]:
    """The shipped scheme of each ratio, by stage; `active` gives N_act, e.g. {"layer2": 5, "layer3": 3}."""
    return {stage: load_scheme(num_classes, num_branches, ones) for stage, ones in active.items()}


def coded_resnext29_10x11d(
    num_classes: int = 10,
    *,
    coded: bool = True,
    schemes: Mapping[str, CodingScheme] | None = None,
    drop_branch: float = 0.1,
) -> CodedResNeXt:
    """ResNeXt-29 (10×11d) of CIFAR-10, table 1. `coded=False` is the plain network of the same size."""
    if coded and schemes is None:
        schemes = shipped_schemes(num_classes, 10, {"layer2": 5, "layer3": 3})
    return CodedResNeXt(
        [3, 3, 3], num_classes, num_branches=10, branch_width=11, schemes=schemes if coded else None,
        drop_branch=drop_branch,
    )  # fmt: skip


def coded_resnext29_20x6d(
    num_classes: int = 100,
    *,
    coded: bool = True,
    schemes: Mapping[str, CodingScheme] | None = None,
    drop_branch: float = 0.1,
) -> CodedResNeXt:
    """ResNeXt-29 (20×6d) of CIFAR-100, table 1. `coded=False` is the plain network of the same size."""
    if coded and schemes is None:
        schemes = shipped_schemes(num_classes, 20, {"layer2": 8, "layer3": 4})
    return CodedResNeXt(
        [3, 3, 3], num_classes, num_branches=20, branch_width=6, schemes=schemes if coded else None,
        drop_branch=drop_branch,
    )  # fmt: skip


def coded_resnext50_32x4d(
    num_classes: int = 1000,
    *,
    coded: bool = True,
    schemes: Mapping[str, CodingScheme] | None = None,
    drop_branch: float = 0.1,
) -> CodedResNeXt:
    """ResNeXt-50 (32×4d) of ImageNet, table 1. `coded=False` is the plain network of the same size."""
    if coded and schemes is None:
        schemes = shipped_schemes(num_classes, 32, {"layer3": 16, "layer4": 8})
    return CodedResNeXt(
        [3, 4, 6, 3], num_classes, num_branches=32, branch_width=4, schemes=schemes if coded else None,
        stem="7x7/2", drop_branch=drop_branch,
    )  # fmt: skip


def check_normalised(model: CodedResNeXt) -> None:
    """Refuse a network, full or cut, whose coded blocks are not computed by equation 3 and its Gram matrices.

    What computes them in another way (folded, routed) would answer otherwise.

    Raises:
        ValueError: naming the block.
    """
    for name in model.block_names:
        block = model.get_submodule(name)
        if not isinstance(block, CodedBottleneck):
            raise Refused(f"block {name} is a {type(block).__name__}: give the network that it was made of")
        if block.coded and block.coded_sum is not coded_sum:
            raise Refused(
                f"block {name} sums its branches otherwise than equation 3 (branch_sum, write_out): its energies and "
                f"its output are not those of a normalised sum"
            )


def class_mask(schemes: Mapping[str, CodingScheme], classes: Iterable[int]) -> dict[str, Tensor]:
    """The branches that work for any of the classes: {block: (N,) boolean}, the union of their codewords.

    Raises:
        ValueError: no class, or one that the schemes do not have.
    """
    rows = [int(k) for k in classes]
    if not rows:
        raise Refused("class_mask needs at least one class")
    masks = {}
    for name, scheme in schemes.items():
        if strange := [k for k in rows if not 0 <= k < scheme.num_classes]:
            raise Refused(f"class {strange[0]} is not in 0 … {scheme.num_classes - 1}, the classes of {name}")
        masks[name] = torch.from_numpy(scheme.words[rows].any(axis=0))
    return masks


class Options(TypedDict):
    """`CodedResNeXt.options`."""

    layers: list[int]
    num_classes: int
    num_branches: int
    branch_width: int
    width: NotRequired[int]
    stem: NotRequired[str]
    in_channels: NotRequired[int]
    drop_branch: NotRequired[float]
    branch_sum: NotRequired[str]


def check_options(network: Mapping[str, Any], source: str) -> Options:
    """Options of a network that a file describes.

    Raises:
        CheckpointError: one that is missing, of another type, or unknown.
    """
    options = typed_as(Options, network, source, "it describes no network of this version", CheckpointError)
    for key in options:
        if key not in Options.__annotations__:
            raise CheckpointError(unknown("option", key, Options.__annotations__, source))
    return options


def read_schemes(schemes: Mapping[str, list[str]]) -> dict[str, CodingScheme]:
    """What `describe_schemes` wrote: the scheme of every place, from its codewords as strings."""
    return {place: CodingScheme.from_text("\n".join(words), source=place) for place, words in schemes.items()}


def build_network(
    network: Mapping[str, Any], schemes: Mapping[str, list[str]], source: str = "network"
) -> CodedResNeXt:
    """The network that a checkpoint describes, with fresh weights.

    Raises:
        ValueError: naming `source`, for what is no network.
    """
    options = check_options(network, source)
    try:
        return CodedResNeXt(**options, schemes=read_schemes(schemes))
    except Refused as error:
        raise CheckpointError(f"{source} describes no network: {error}") from None


def describe_schemes(model: CodedResNeXt) -> dict[str, list[str]]:
    """The codewords of every coded block as strings, for checkpoint.json."""
    return {name: scheme.to_text().split() for name, scheme in model.schemes.items()}
