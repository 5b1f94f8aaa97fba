"""The verdict on a classifier: 'use', 'care' or 'worthless', and a sentence that says why.

The rules stand in docs/trust.md. They were fixed before they were tried on random labels.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from earmark.classifier.estimate import CARE, USE, WORTHLESS, Estimate, Figures
from earmark.data.splits import numbered
from earmark.errors import amount, some
from earmark.system.text import one_line
from earmark.training import headline, metrics
from earmark.training.estimation import OutOfFold
from earmark.training.summary import baseline_name

if TYPE_CHECKING:
    from earmark.training.baselines import Baseline

SHOWN = 0.05  # a difference with a smaller p-value is significant
CERTAIN = 0.001  # the verdict 'use' needs a smaller p-value of the permutation test
FEW_GROUPS = 5  # with fewer groups no exchange of them has p < 0.05; recordings are counted then
FEW_CLIPS = 10  # fewer tested clips of a class are a reason for care
WIDE = 0.2  # a wider 95 % interval is a reason for care
HALF_WAY, NEARLY_RIGHT = 0.5, 0.8  # skill: 0 is guessing, 1 is no error


def verdict_of(
    estimate: Estimate,
    tested: OutOfFold,
    chosen: np.ndarray,
    baselines: Sequence[Baseline] = (),
    leaks: Sequence[str] = (),
    seed: int = 0,
) -> Figures:
    """Return the verdict on predictions: its 'word' ('use', 'care' or 'worthless') and 'why'.

    ``chosen`` (N, K) are the predicted classes, and ``estimate`` their figures. ``leaks`` are
    sentences about tested clips that were also trained on, or nearly.
    """
    judged = _Judged(estimate, tested, chosen, baselines, seed)
    if why := judged.worthless():
        return {"word": WORTHLESS, "why": f"{why}."}
    reasons = [*(leak.rstrip(".") for leak in leaks), *judged.doubts()]
    if reasons:
        return {"word": CARE, "why": one_line(f"{judged.gain}, but {'; '.join(reasons)}.")}
    return {"word": USE, "why": f"{judged.gain}{judged.beside}."}


class _Judged:
    """Predictions, their headline figure, and its significance tests."""

    def __init__(
        self,
        estimate: Estimate,
        tested: OutOfFold,
        chosen: np.ndarray,
        baselines: Sequence[Baseline],
        seed: int,
    ) -> None:
        self.estimate, self.tested, self.chosen, self.seed = estimate, tested, chosen, seed
        self.name = headline.name_of(tested.onehot, tested.is_single)
        self.noun = self.name.replace("_", " ").replace("f1", "F1")
        self.cluster, self.groups = tested.cluster, len(np.unique(tested.cluster))
        self.is_few = self.groups < FEW_GROUPS and any(clip.group for clip in tested.clips)
        figures = estimate.headline
        if self.is_few or figures is None:
            self.cluster = numbered(clip.place for clip in tested.clips)
            figures = headline.figures(self.name, chosen, tested.onehot, self.cluster, seed)
        self.value, self.chance = figures["value"], figures["chance"]
        self.low, self.high = figures["ci95"]
        self.units = metrics.units(self.cluster, seed)
        self.counts = self._counts(chosen)
        rivals = [_Rival.of(self.name, b, self._counts(b.tested.chosen())) for b in baselines]
        self.rival = max(rivals, key=lambda rival: rival.value, default=None)
        self.skill = (self.value - self.chance) / max(1 - self.chance, 1e-9)
        self.is_one_class = int(tested.onehot.any(0).sum()) == 1

    def _counts(self, chosen: np.ndarray) -> np.ndarray:
        return headline.counts_of(chosen, self.tested.onehot, self.units)

    @functools.cached_property
    def p(self) -> float:
        """How often shuffled labels would fit the predictions as well, 0 to 1."""
        onehot = self.tested.onehot
        return headline.permutation_p(self.name, self.chosen, onehot, self.cluster, self.seed)

    @property
    def gain(self) -> str:
        """The headline figure beside that of guessing, in words."""
        return f"{self.noun} is {self.value:.3f}; guessing gives {self.chance:.3f}"

    def worthless(self) -> str | None:
        """Return why the predictions are worthless; None if they are not."""
        if self.low <= self.chance:
            if self.value <= self.chance:
                return self.gain
            return (
                f"{self.noun} {self.value:.3f} on {amount(len(self.tested.clips), 'clip')} is not"
                f" significantly above guessing: its 95 % interval begins at {self.low:.3f}, and"
                f" guessing gives {self.chance:.3f}"
            )
        if not self.is_one_class and self.p >= SHOWN:
            return (
                f"{self.noun} {self.value:.3f} is not significantly above guessing: shuffled labels"
                f" fit as well in {100 * self.p:.0f} % of draws"
            )
        if self.rival is None or self.skill >= NEARLY_RIGHT or self._is_above:
            return None
        if self.skill >= HALF_WAY and not self._is_below:
            return None
        return f"{self.noun} {self.value:.3f} is {self._beside(self.rival)}"

    def _beside(self, rival: _Rival) -> str:
        place = "below" if self._is_below else "not significantly above"
        return f"{place} the {rival.value:.3f} of {rival.name}, a baseline without pretraining"

    @functools.cached_property
    def _is_above(self) -> bool:
        """Whether the figure is significantly above that of the best baseline."""
        return self.rival is not None and self._exchange_p(self.counts, self.rival.counts) < SHOWN

    @functools.cached_property
    def _is_below(self) -> bool:
        """Whether the figure is significantly below that of the best baseline."""
        return self.rival is not None and self._exchange_p(self.rival.counts, self.counts) < SHOWN

    def _exchange_p(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        return headline.exchange_p(self.name, ours, theirs, self.seed)

    def doubts(self) -> list[str]:
        """Return the reasons to use the predictions with care."""
        reasons = []
        if self.is_one_class:
            reasons.append("all tested clips are of one class, so confusions could not show")
        elif self.p >= CERTAIN:
            reasons.append(f"shuffled labels fit as well in {100 * self.p:.1f} % of draws")
        if self.is_few:
            groups = amount(self.groups, "group")
            verb = "was" if self.groups == 1 else "were"
            reasons.append(f"only {groups} {verb} tested, {self._of_other_groups}")
        reasons += self._doubtful_classes()
        if self.high - self.low > WIDE:
            reasons.append(f"the 95 % interval is wide, {self.low:.3f} to {self.high:.3f}")
        if self.rival is not None and (
            self._is_below or (self.skill < NEARLY_RIGHT and not self._is_above)
        ):
            reasons.append(f"it is {self._beside(self.rival)}")
        return reasons

    @property
    def _of_other_groups(self) -> str:
        """What few groups say about others. The printed interval is over groups, and wide."""
        low, high = (self.estimate.headline or {"ci95": (self.low, self.high)})["ci95"]
        if low > self.chance:
            return "which says little about others"
        return (
            f"which says nothing about others: the 95 % interval, {low:.3f} to {high:.3f}, includes"
            " guessing"
        )

    def _doubtful_classes(self) -> list[str]:
        """Return reasons for care that concern single classes."""
        onehot, rows = self.tested.onehot, self.estimate.classes
        groups = headline.clusters_of_classes(onehot, self.tested.cluster).tolist()
        shares = (onehot > 0).mean(0)
        if self.tested.is_single:
            figure, guess = "recall", np.full(len(rows), 1 / max(1, (shares > 0).sum()))
        else:
            figure, guess = "f1", 2 * shares / (1 + shares)
        few = [r["label"] for r in rows if r["n"] < FEW_CLIPS]
        alone = [
            r["label"]
            for r, n in zip(rows, groups, strict=True)
            if n == 1 < self.groups and r["n"] >= FEW_CLIPS
        ]
        missed = [
            r["label"]
            for r, least in zip(rows, guess, strict=True)
            if r["n"] and not self.is_one_class and (r[figure] or 0.0) < least - 1e-9
        ]
        noun = "group" if any(clip.group for clip in self.tested.clips) else "recording"
        each = "each of " if len(alone) > 1 else ""
        return [
            text.format(some(labels))
            for text, labels in (
                (f"fewer than {FEW_CLIPS} clips of {{}} were tested", few),
                (f"only one {noun} of {each}{{}} was tested", alone),
                (f"the {figure.replace('f1', 'F1')} of {{}} is below guessing", missed),
            )
            if labels
        ]

    @property
    def beside(self) -> str:
        """How the best baseline compares, where the verdict is 'use'."""
        if self.rival is None:
            return ""
        if self._is_above:
            return f", {self.rival.name} {self.rival.value:.3f}"
        return f"; it is {self._beside(self.rival)}, so the pretrained network is not needed here"


@dataclass(frozen=True)
class _Rival:
    """A baseline: its name in a sentence, its counts (P, 3, K), and its figure."""

    name: str
    counts: np.ndarray
    value: float

    @classmethod
    def of(cls, figure: str, baseline: Baseline, counts: np.ndarray) -> _Rival:
        value = float(headline.value(figure, counts.sum(0)))
        return cls(baseline_name(baseline.name), counts, value)
