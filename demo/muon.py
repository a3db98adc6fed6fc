"""Muon for the matrices of the layers, AdamW for everything else.

Muon (Jordan et al., 2024) steps along the nearest orthogonal matrix to the momentum: every
direction of a matrix learns equally fast. The scale 0.2 sqrt(max side) gives its steps the size of
AdamW's (Liu et al., arXiv:2502.16982), so one rate serves both. `torch.optim.Muon` works in
bfloat16, which this CPU multiplies 14 times slower, and refuses pointwise convolutions.
"""

from typing import Any

import torch
from torch import Tensor, nn


class MuonAdamW:
    """Two optimizers behind the few methods that a training loop calls."""

    def __init__(
        self, model: nn.Module, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        self.momentum, self.weight_decay = momentum, weight_decay
        self.matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, p in model.named_parameters():
            flat = p.dim() == 2 or (p.dim() == 3 and p.shape[-1] == 1)
            in_layer = (".layers." in name or ".layer." in name) and "rel_pos_emb" not in name
            (self.matrices if flat and in_layer else rest).append(p)
        self.velocities = [torch.zeros_like(p) for p in self.matrices]
        self.adamw = torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=weight_decay)

    def step(self, rate: float) -> None:
        """One step with `rate` for both."""
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        by_shape: dict[tuple[int, int], list[int]] = {}
        for i, p in enumerate(self.matrices):
            if p.grad is not None:
                by_shape.setdefault((p.shape[0], p.shape[1]), []).append(i)
        with torch.no_grad():
            for (n_out, n_in), members in by_shape.items():
                ahead = []
                for i in members:
                    grad = self.matrices[i].grad
                    self.velocities[i].lerp_(grad, 1 - self.momentum)
                    ahead.append(grad.lerp(self.velocities[i], self.momentum).view(n_out, n_in))
                steps = orthogonal(torch.stack(ahead)) * (0.2 * max(n_out, n_in) ** 0.5)
                for i, update in zip(members, steps, strict=True):
                    p = self.matrices[i]
                    p.mul_(1 - rate * self.weight_decay).sub_(rate * update.view_as(p))

    def state_dict(self) -> dict[str, Any]:
        return {"adamw": self.adamw.state_dict(), "velocities": self.velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adamw.load_state_dict(state["adamw"])
        for own, saved in zip(self.velocities, state["velocities"], strict=True):
            own.copy_(saved)


def orthogonal(matrices: Tensor, n_steps: int = 5) -> Tensor:
    """(N, m, n): singular values brought to about 1 by a quintic Newton-Schulz iteration."""
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(n_steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x
