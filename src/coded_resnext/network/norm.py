"""Batch norm as torch has it, and two more things that a GPU asks for: channels of padding, and portions of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm2d(nn.BatchNorm2d):
    """torch's BatchNorm2d, to the bit, unless one of two things is asked for.

    Images may come with more channels than the norm has: what follows its own channels is zero and stays zero, see
    dense.py.

    Attributes:
        portions: in training, cut the batch into so many equal parts, each normalised by its own statistics (ghost
            batch norm). Gradients and running statistics are those of the parts passing one after another.
    """

    portions = 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, C or more, H, W) to the same shape."""
        if self.training and self.portions > 1:
            return self._in_portions(x)
        if x.shape[1] == self.num_features:
            return super().forward(x)
        mean, var = self._padded(self.running_mean, x), self._padded(self.running_var, x, 1.0)
        weight, bias = self._padded(self.weight, x), self._padded(self.bias, x)
        out = F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.eps)
        if self.training:
            self.running_mean.copy_(mean[: self.num_features])
            self.running_var.copy_(var[: self.num_features])
            self.num_batches_tracked.add_(1)
        return out

    def _in_portions(self, x: Tensor) -> Tensor:
        parts = x.unflatten(0, (self.portions, -1))  # (P, B/P, C, H, W)
        parts = parts.to(torch.promote_types(x.dtype, torch.float32))
        var, mean = torch.var_mean(parts, (1, 3, 4), correction=0, keepdim=True)  # (P, 1, C, 1, 1)
        weight, bias = (self._padded(v, x)[:, None, None] for v in (self.weight, self.bias))
        out = (parts - mean) * (var + self.eps).rsqrt() * weight + bias
        self._track(mean.detach().flatten(1), var.detach().flatten(1), parts[0].numel() // x.shape[1])
        return out.to(x.dtype).flatten(0, 1)

    def _track(self, means: Tensor, variances: Tensor, count: int) -> None:
        """Running statistics after portions with these means and biased variances (P, C or more), in their order."""
        variances = variances * (count / (count - 1))
        later = torch.arange(self.portions - 1, -1, -1, device=means.device, dtype=means.dtype)
        share = self.momentum * (1 - self.momentum) ** later  # (P,) what is left of each portion
        kept = (1 - self.momentum) ** self.portions
        for running, values in ((self.running_mean, means), (self.running_var, variances)):
            running.mul_(kept).add_(share @ values[:, : self.num_features])
        self.num_batches_tracked.add_(self.portions)

    def _padded(self, values: Tensor, x: Tensor, value: float = 0.0) -> Tensor:
        more = x.shape[1] - self.num_features
        return F.pad(values, (0, more), value=value) if more else values


def set_portions(model: nn.Module, portions: int) -> None:
    """Cut every batch into so many portions in all batch norms of a network, in training."""
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.portions = portions
