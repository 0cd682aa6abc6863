"""The coding loss: energies towards codewords (equations 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..codes.scheme import CodingScheme


class CodingLoss(nn.Module):
    """Σ over coded blocks of the mean over samples of (1/N) Σ_n | r·E(t̄_n) − w_kn |^exponent, equation 5.

    The training loss of equation 6 is cross entropy + μ times this.

    Args:
        schemes: {block: scheme}, `model.schemes`.
        exponent: 4 in the paper; 2 and 1 are its ablation.
    Raises:
        ValueError: an exponent below 1.
    """

    def __init__(self, schemes: Mapping[str, CodingScheme], exponent: float = 4) -> None:
        super().__init__()
        if exponent < 1:
            raise ValueError(f"exponent must be at least 1, got {exponent}")
        self.blocks = tuple(schemes)
        self.exponent = exponent
        for i, scheme in enumerate(schemes.values()):
            self.register_buffer(f"words{i}", torch.tensor(scheme.words, dtype=torch.float32), persistent=False)

    def forward(self, energies: Mapping[str, Tensor], targets: Tensor) -> Tensor:
        """Scalar loss of energies {block: (B, N)} and class indices (B,).

        Raises:
            ValueError: energies of other blocks than the schemes'.
        """
        if set(energies) != set(self.blocks):
            raise ValueError(f"energies of {sorted(energies)}, but the loss was made for {sorted(self.blocks)}")
        total = torch.zeros((), device=targets.device)
        for i, name in enumerate(self.blocks):
            words = getattr(self, f"words{i}")[targets].to(energies[name].dtype)  # (B, N)
            total = total + (energies[name] - words).abs().pow(self.exponent).mean()
        return total
