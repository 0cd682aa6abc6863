"""The coded block (section 3.1, equations 2 and 3), by energies that cost next to nothing.

A ResNeXt block is a sum of N parallel branches (the paper says subNN for a branch). A coded block knows
how much each of its branches contributed, because each has an energy; training pushes the energies of a
sample towards the codeword of its class, see losses.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .dense import block_diagonal, dense_branches, widened
from .norm import BatchNorm2d

# Under the smallest mean energy that the network can mean: t² of float32 activations of 1e-10. It keeps
# the gradient finite when every branch of a sample is silent or removed, and moves no other result.
SMALLEST_ENERGY = 1e-20

# (u, weight, num_branches, keep, drop, of) to the sum over branches and their energies, see `coded_sum`.
BranchSum = Callable[[Tensor, Tensor, int, Tensor | None, Tensor | None, int | None], tuple[Tensor, Tensor]]


def gram_matrices(weight: Tensor, num_branches: int) -> Tensor:
    """WᵀW of every branch, (N, d, d), of the last 1x1 convolution's kernel (C_out, N·d, 1, 1); at least float32."""
    w = weight.flatten(1).unflatten(1, (num_branches, -1))  # (C_out, N, d)
    w = w.to(torch.promote_types(w.dtype, torch.float32))
    with torch.autocast(w.device.type, enabled=False):
        return torch.einsum("cni,cnj->nij", w, w)


def branch_energies(u: Tensor, weight: Tensor, num_branches: int, gram: Tensor | None = None) -> Tensor:
    """Mean energy of every branch's output, equation 2, without computing the outputs.

    Args:
        u: input of the last 1x1 convolution, (B, N·d, H, W).
        weight: its kernel, (C_out, N·d, 1, 1).
        num_branches: N.
        gram: its `gram_matrices`, where they are known: the weights of a trained network do not change.
    Returns:
        (B, N), at least float32: under mixed precision half a mantissa is too little for a sum over H·W.
    """
    if gram is None:
        gram = gram_matrices(weight, num_branches)
    with torch.autocast(u.device.type, enabled=False):
        return gram_energies(u, gram, weight.shape[0])


def gram_energies(u: Tensor, gram: Tensor, out_channels: int) -> Tensor:
    """E(W u) = <WᵀW, Σ u uᵀ> / (C_out·H·W): two d×d matrices a branch instead of C_out channels.

    Args:
        u: (B, N·d, H, W); channels behind these are not looked at.
        gram: (N, d, d), see `gram_matrices`.
        out_channels: C_out.
    Returns:
        (B, N) in the type of `gram`.
    """
    pixels = u.shape[2] * u.shape[3]
    if bound_by_memory(u):
        return _ProductForm.apply(u, gram) / (out_channels * pixels)
    u = u[:, : gram.shape[0] * gram.shape[1]]
    u = u.flatten(2).unflatten(1, (len(gram), -1)).to(gram.dtype)  # (B, N, d, H·W)
    return (gram * _OuterProducts.apply(u)).sum((2, 3)) / (out_channels * pixels)


def bound_by_memory(u: Tensor) -> bool:
    """Whether moving u costs more than multiplying it: bfloat16 on a GPU.

    Not on a CPU: one without instructions for bfloat16 took 3 to 120 times as long for the product form.
    """
    return u.is_cuda and u.dtype == torch.bfloat16


class _OuterProducts(torch.autograd.Function):
    """Z = u uᵀ, (…, d, d) of (…, d, P).

    Autograd keeps the copies of both factors that a product of strided ones makes. Here u is kept, and the copies are
    made again, so that the gradient is autograd's to the bit.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor) -> Tensor:
        return u @ u.mT

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        left, right = u.contiguous(), u.mT.contiguous()
        return grad @ right.mT + (left.mT @ grad).mT


class _ProductForm(torch.autograd.Function):
    """Σ_hw u_nᵀ G_n u_n (B, N) of u in bfloat16, with neither a float32 copy of u nor another layout.

    v = G u is one dense 1x1 convolution, whose kernel has the G_n on its diagonal and whatever pads u as zeros. G is
    symmetric, so that the gradient by u_n, 2·g_n·v_n, takes v again instead of a second product.

    G, v and u·v are rounded to 8 bits, so E is off by at most 3·2⁻⁸·Σ|u|ᵀ|G||u|, which is up to 3.1 E in trained
    networks. There the energies were within 0.5 % of this u's; they suffer where a branch's channels cancel.
    """

    @staticmethod
    def forward(ctx, u: Tensor, gram: Tensor) -> Tensor:
        n, d, _ = gram.shape
        more = u.shape[1] - n * d
        kernel = block_diagonal(gram.flatten(0, 1)[:, :, None, None], n)
        v = F.conv2d(u, widened(kernel, outputs=more, inputs=more).to(u.dtype))
        ctx.save_for_backward(u, v)
        ctx.branches = n, d
        products = (u * v)[:, : n * d].unflatten(1, (n, d))
        return products.sum((2, 3, 4), dtype=gram.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        u, v = ctx.saved_tensors
        n, d = ctx.branches
        factor = F.pad(grad.repeat_interleave(d, dim=1), (0, u.shape[1] - n * d)).to(u.dtype)[:, :, None, None]
        dense = torch.nn.grad.conv2d_weight(u, (u.shape[1], u.shape[1], 1, 1), u * factor)[: n * d, : n * d, 0, 0]
        blocks = dense.unflatten(0, (n, d)).unflatten(2, (n, d)).diagonal(dim1=0, dim2=2)  # (d, d, N)
        return 2 * factor * v, blocks.permute(2, 0, 1).to(grad.dtype)


def normalised(energies: Tensor, num_branches: int) -> tuple[Tensor, Tensor]:
    """E(t̄_n) (B, kept) from E(t_n), equation 3, and the scale (B, 1) that t̄_n = scale·t_n takes.

    Args:
        energies: of the branches that are there; those cut away count as zero energy.
        num_branches: N, by which the mean divides.
    """
    mean = energies.sum(1, keepdim=True) / num_branches
    scale = mean.clamp_min(SMALLEST_ENERGY).rsqrt()
    return energies * scale.square(), scale


def coded_sum(
    u: Tensor,
    weight: Tensor,
    num_branches: int,
    keep: Tensor | None = None,
    drop: Tensor | None = None,
    of: int | None = None,
    *,
    normalise: bool = True,
) -> tuple[Tensor, Tensor]:
    """Σ_n t̄_n and E(t̄_n), equations 2 and 3: branches normalised to a mean energy of 1, then summed.

    The normaliser is one scalar a sample and the masks one scalar a branch, so all of them scale u, and
    the sum over branches is one dense 1x1 convolution. `reference.written_out_sum` is the equation itself.

    Args:
        u: input of the last 1x1 convolution, (B, N·d, H, W), or with channels of zeros behind these, see dense.py.
        weight: its kernel, (C_out, N·d, 1, 1).
        num_branches: N; the mean in equation 3 divides by it however many branches are kept.
        keep: (N,) or (B, N); 0 removes a branch before the normalisation.
        drop: (B, N) factors of dropSubNNs, 0 or 1/(1−p); applied after the energies are taken.
        of: N, where only `num_branches` of them are there: those cut away count as zero energy.
        normalise: False leaves equation 3 out, for its ablation.
    Returns:
        The sum (B, C_out, H, W) and the normalised energies (B, N), which sum to N; without normalisation E(t_n).
    """
    energies = branch_energies(u, weight, num_branches)
    if keep is not None:
        energies = energies * keep
    scale = torch.ones_like(energies[:, :1])
    if normalise:
        energies, scale = normalised(energies, of or num_branches)
    for factor in (keep, drop):
        if factor is not None:
            scale = scale * factor  # (B, N)
    factors = channel_factors(u, scale, num_branches, weight.shape[1] // num_branches)
    if bound_by_memory(u):
        return F.conv2d(u * factors, _as_wide(weight, u)), energies
    return _ScaledSum.apply(u, factors, _as_wide(weight, u)), energies


def channel_factors(u: Tensor, scale: Tensor, num_branches: int, width: int) -> Tensor:
    """What u is multiplied by so that each branch's d channels are by its scale: (B, 1, 1, 1) or (B, C, 1, 1).

    Args:
        u: (B, C, H, W), C = N·d and channels of zeros behind these.
        scale: one factor a branch, (N,), a sample, (B, 1), or both, (B, N).
        num_branches: N.
        width: d.
    """
    if scale.shape[-1] == 1:  # one scalar a sample
        return scale.to(u.dtype)[..., None, None]
    per_branch = scale.expand(u.shape[0], num_branches)
    per_channel = per_branch.repeat_interleave(width, dim=1)
    if padding := u.shape[1] - per_channel.shape[1]:
        per_channel = F.pad(per_channel.to(u.dtype), (0, padding))
    return per_channel.to(u.dtype)[:, :, None, None]


class _ScaledSum(torch.autograd.Function):
    """Σ_n W_n (s u)_n, one dense 1x1 convolution of u times factors that are constant over a map.

    Autograd would keep s·u, as large as u; here the gradient multiplies again. Not for what is `bound_by_memory`: there
    that would be u moved once more.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, factors: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(u * factors, weight)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u, factors, weight = ctx.saved_tensors
        scaled, kernel = (u * factors).to(grad.dtype), weight.to(grad.dtype)  # as autocast has them
        # Not torch.nn.grad's two halves: they see no input, and for small maps choose another kernel than autograd.
        by_scaled, by_weight, _ = torch.ops.aten.convolution_backward(
            grad, scaled, kernel, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False]
        )
        by_scaled = by_scaled.to(u.dtype)
        return by_scaled * factors, (by_scaled * u).sum_to_size(factors.shape), by_weight.to(weight.dtype)


def _as_wide(weight: Tensor, u: Tensor) -> Tensor:
    """conv3's kernel for a u that may have channels of zeros behind those of the branches."""
    return widened(weight, inputs=u.shape[1] - weight.shape[1])


class CodedBottleneck(nn.Module):
    """One block: ReLU(BN3(Σ_n t̄_n) + shortcut(x)); conventional where the ratio is 1.

    Args:
        in_channels: channels of x.
        out_channels: C_out.
        num_branches: N.
        branch_width: d, channels of one branch inside.
        num_active: N_act, ones of a codeword. N makes it a conventional ResNeXt block, without energies.
        stride: of the 3x3 convolution and the projection.
        kept: branches that are there; None is all N. Those cut away still count in equation 3, as zero energy.
        coded_sum: how branches are normalised and summed; variants.py has others, reference.py the equations.
    Attributes:
        dense: compute the branches' 3×3 convolutions as one dense convolution, see dense.py; no result depends on it.
    """

    dense = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_branches: int,
        branch_width: int,
        num_active: int,
        stride: int,
        kept: int | None = None,
        coded_sum: BranchSum = coded_sum,
    ) -> None:
        super().__init__()
        self.num_branches = num_branches
        self.kept = num_branches if kept is None else kept
        self.branch_width = branch_width
        width = self.kept * branch_width
        self.num_active = num_active
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=self.kept, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels)
            )
        self.coded_sum = coded_sum
        self._initialise()

    @property
    def coded(self) -> bool:
        """Whether the block has energies: its ratio is below 1."""
        return self.num_active < self.num_branches

    def _initialise(self) -> None:
        """He normal with fan out; the last 1x1 of a coded block is N convolutions, whose fan out is N·C_out."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if self.coded:
            nn.init.normal_(self.conv3.weight, std=math.sqrt(2 / (self.num_branches * self.conv3.out_channels)))
        nn.init.zeros_(self.bn3.weight)  # every block starts as its shortcut

    def forward(
        self, x: Tensor, branch_mask: Tensor | None = None, drop: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The block's output, and the energies it spent.

        Args:
            x: (B, C_in, H, W).
            branch_mask: (N,) or (B, N) boolean; False removes the branch.
            drop: (B, N) factors of dropSubNNs.
        Returns:
            Output (B, C_out, H', W') and r·E(t̄), (B, kept) with rows that sum to N_act; None where the ratio is 1.
        """
        u = self._branches(x)
        if self.coded:
            summed, energies = self.coded_sum(u, self.conv3.weight, self.kept, branch_mask, drop, self.num_branches)
            energies = energies * (self.num_active / self.num_branches)
        else:
            if branch_mask is not None:
                u = u * channel_factors(u, branch_mask, self.kept, self.branch_width)
            summed, energies = self._last(u), None
        return self._output(x, summed), energies

    def forward_energies(self, x: Tensor, gram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The first half of a coded block in evaluation, all that a decision about x needs: conv1, conv2, energies.

        Args:
            x: (B, C_in, H, W).
            gram: `gram_matrices` of conv3.
        Returns:
            r·E(t̄) (B, N), and what `forward_output` goes on with: u (B, N·d, H', W') and its scale (B, 1).
        """
        u = self._branches(x)
        energies = branch_energies(u, self.conv3.weight, self.kept, gram)
        energies, scale = normalised(energies, self.num_branches)
        return energies * (self.num_active / self.num_branches), u, scale

    def forward_output(self, x: Tensor, u: Tensor, scale: Tensor) -> Tensor:
        """The second half, for the rows that go on: conv3's product and the shortcut; (B, C_out, H', W')."""
        return self._output(x, self._last(u * channel_factors(u, scale, self.kept, self.branch_width)))

    def _branches(self, x: Tensor) -> Tensor:
        """x to u, what the last 1x1 convolution reads: (B, N·d, H', W'), and zeros behind them where `dense`."""
        if self.dense:
            return dense_branches(self, x)
        u = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(u)))

    def _last(self, u: Tensor) -> Tensor:
        """The last 1x1 convolution of what is scaled already; the module itself, unless channels of zeros follow."""
        return self.conv3(u) if u.shape[1] == self.conv3.in_channels else F.conv2d(u, _as_wide(self.conv3.weight, u))

    def _output(self, x: Tensor, summed: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn3(summed) + shortcut)
