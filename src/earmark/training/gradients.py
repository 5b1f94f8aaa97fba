"""Train logistic and mlp heads by gradient descent: one step of AdamW for each batch of clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from earmark.classifier.targets import Targets

if TYPE_CHECKING:
    import torch

HIDDEN, DROPOUT = 256, 0.3  # the classic head: Linear -> ReLU -> Dropout 0.3 -> Linear
WEIGHT_DECAY = 1e-2  # of an mlp; a logistic head has a penalty instead


class Descent:
    """A head on standardised features (n, D), trained in ``steps`` steps.

    The learning rate falls from ``rate`` to 0 along a cosine. ``penalty`` is the penalty of a
    logistic head per clip. Random numbers come from the generator ``draw`` alone, so that equal
    seeds give equal weights although fits run in parallel threads.
    """

    def __init__(
        self,
        kind: str,
        size: int,
        n_classes: int,
        *,
        steps: int,
        rate: float,
        seed: int,
        penalty: float = 0.0,
    ) -> None:
        import torch

        self.draw = torch.Generator().manual_seed(seed)
        self._kind, self._steps, self._rate, self._done = kind, steps, rate, 0
        self._gain = float(np.sqrt(size))  # rows of length 1 -> units of size 1, as PyTorch expects
        self._shrink = penalty * size / 2
        self._parameters = self._start(size, n_classes)
        decay = WEIGHT_DECAY if kind == "mlp" else 0.0
        self._optimiser = torch.optim.AdamW(self._parameters, rate, weight_decay=decay, fused=True)

    def _start(self, size: int, n_classes: int) -> list[torch.Tensor]:
        """Return initial weights and biases: zero for a logistic head, else as torch.nn.Linear."""
        import torch

        if self._kind == "logistic":
            shapes = ((n_classes, size), (n_classes,))
            return [torch.zeros(shape, requires_grad=True) for shape in shapes]

        def uniform(*shape: int, inputs: int) -> torch.Tensor:
            span = 1 / np.sqrt(inputs)
            start: torch.Tensor = (torch.rand(*shape, generator=self.draw) * 2 - 1) * span
            return start.requires_grad_()

        hidden = [uniform(HIDDEN, size, inputs=size), uniform(HIDDEN, inputs=size)]
        return [
            *hidden,
            uniform(n_classes, HIDDEN, inputs=HIDDEN),
            uniform(n_classes, inputs=HIDDEN),
        ]

    def step(self, x: np.ndarray, targets: Targets) -> None:
        """Take a step towards the ``targets`` of clips with features ``x`` (n, D)."""
        import torch

        fall = 0.5 * (1 + np.cos(np.pi * self._done / self._steps))
        for settings in self._optimiser.param_groups:
            settings["lr"] = self._rate * fall
        weights = torch.from_numpy(targets.weights).float()
        with torch.enable_grad():
            logits = self._forward(torch.from_numpy(x * np.float32(self._gain)))
            onehot = torch.from_numpy(targets.onehot)
            loss = (_loss(logits, onehot, targets.is_single) * weights).mean()
            if self._shrink:
                loss = loss + self._shrink * self._parameters[0].square().sum()
            self._optimiser.zero_grad()
            torch.autograd.backward(loss)
            self._optimiser.step()
        self._done += 1

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, K), with dropout in an mlp."""
        import torch
        from torch.nn import functional as F

        if self._kind == "logistic":
            return F.linear(x, *self._parameters)
        w1, b1, w2, b2 = self._parameters
        hidden = F.relu(F.linear(x, w1, b1))
        mask = torch.rand(hidden.shape, generator=self.draw) >= DROPOUT
        return F.linear(hidden * mask / (1 - DROPOUT), w2, b2)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the tensors of a :class:`Head`, without its standardisation."""
        first, *others = (parameter.detach().numpy() for parameter in self._parameters)
        names = ["weight", "bias"]
        if self._kind == "mlp":
            names = ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
        return dict(zip(names, [first * self._gain, *others], strict=True))


def _loss(logits: torch.Tensor, onehot: torch.Tensor, is_single: bool) -> torch.Tensor:
    """Return the cross-entropy (B,) of each clip; for several classes, the mean over classes."""
    from torch.nn import functional as F

    if is_single:
        return F.cross_entropy(logits, onehot, reduction="none")
    return F.binary_cross_entropy_with_logits(logits, onehot, reduction="none").mean(1)
