"""The small classifier on top of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("prototype", "linear", "logistic", "mlp")  # simplest first


@dataclass(frozen=True)
class Head:
    """A fitted head for D features and K classes.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    tensors : dict of str to array
        float32. ``mean`` and ``scale`` (D,) standardise features. ``weight`` (K, D) and ``bias``
        (K,) follow; for an mlp they exist twice, for ``hidden`` and for ``output``.
    """

    kind: str
    tensors: dict[str, np.ndarray]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits (N, K) float32 for ``features`` (N, D)."""
        return self._logits((features - self.tensors["mean"]) / self.tensors["scale"])

    def logits_and_known(
        self, features: np.ndarray, n_classes: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, K) and known-scores (N,) by the first ``n_classes`` outputs.

        The features are standardised once, and a linear head's products serve both.
        """
        x = features - self.tensors["mean"]
        x /= self.tensors["scale"]
        length = np.maximum(np.sqrt(np.einsum("nd,nd->n", x, x))[:, None], 1)
        logits = self._logits(x)
        if self.kind == "mlp":
            known = self._logits(x / length)
        else:
            bias = self.tensors["bias"]
            known = (logits - bias) / length + bias
        return logits, np.asarray(known[:, :n_classes].max(1))

    def known_score(self, features: np.ndarray) -> np.ndarray:
        """Return the known-score (N,): the highest logit of each clip with shortened features.

        Far from the training clips, logits grow without bound and mean nothing. So longer features
        are first shortened to the length 1, which training clips have on average.
        """
        x = (features - self.tensors["mean"]) / self.tensors["scale"]
        length = np.sqrt(np.square(x).sum(1, keepdims=True))
        return np.asarray(self._logits(x / np.maximum(length, 1)).max(1))

    def _logits(self, x: np.ndarray) -> np.ndarray:
        t = self.tensors
        if self.kind != "mlp":
            return np.asarray(x @ t["weight"].T + t["bias"])
        hidden = np.maximum(x @ t["hidden.weight"].T + t["hidden.bias"], 0)
        return np.asarray(hidden @ t["output.weight"].T + t["output.bias"])
