"""The coding loss: energies towards codewords (equations 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..codes.scheme import CodingScheme
from ..errors import Refused


class CodingLoss(nn.Module):
    """Σ over coded blocks of the mean over samples of `(1/N) Σ_n |r·E(t̄_n) − w_kn|^exponent`, equation 5.

    The training loss is `total_loss`.

    Args:
        schemes: {block: scheme}, `model.schemes`.
        exponent: 4 in the paper; 2 and 1 are its ablation.
    Raises:
        ValueError: an exponent below 1.
    """

    def __init__(self, schemes: Mapping[str, CodingScheme], exponent: float = 4) -> None:
        super().__init__()
        if exponent < 1:
            raise Refused(f"exponent must be at least 1, got {exponent}")
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
            raise Refused(f"energies of {sorted(energies)}, but the loss was made for {sorted(self.blocks)}")
        total = torch.zeros((), device=targets.device)
        for i, name in enumerate(self.blocks):
            words = getattr(self, f"words{i}").index_select(0, targets)  # (B, N); [] would count -1 from the end
            total = total + (energies[name] - words.to(energies[name].dtype)).abs().pow(self.exponent).mean()
        return total


def total_loss(
    logits: Tensor, energies: Mapping[str, Tensor], targets: Tensor, coding_loss: CodingLoss, mu: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Equation 6: cross entropy + μ · coding loss, a scalar; and the two.

    Args:
        logits: (B, K).
        energies: {block: (B, N)}.
        targets: class indices (B,).
    """
    cross_entropy = F.cross_entropy(logits, targets)
    coding = coding_loss(energies, targets)
    return cross_entropy + mu * coding, cross_entropy, coding
