"""The verdict: may the answers be used, with care, or are they worthless; and why, in a sentence.

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
from earmark.training import headline, metrics
from earmark.training.estimation import OutOfFold

if TYPE_CHECKING:
    from earmark.training.baselines import Baseline

SHOWN = 0.05  # a difference with a smaller p-value is no accident
CERTAIN = 0.001  # to be used, answers must fit their labels better than this
FEW_GROUPS = 5  # with fewer no exchange of groups has p < 0.05: recordings are counted then
FEW_CLIPS = 10  # of a class
WIDE = 0.2  # of the 95 % interval
HALF_WAY, NEARLY_RIGHT = 0.5, 0.8  # of the way from guessing to no error


def verdict_of(
    estimate: Estimate,
    tested: OutOfFold,
    chosen: np.ndarray,
    baselines: Sequence[Baseline] = (),
    leaks: Sequence[str] = (),
    seed: int = 0,
) -> Figures:
    """Return 'word' and 'why' of answers ``chosen`` (N, K) whose figures are the ``estimate``.

    ``leaks`` are sentences about tested clips that were trained on, or nearly. The 'word' is
    'use', 'care' or 'worthless'.
    """
    judged = _Judged(estimate, tested, chosen, baselines, seed)
    if why := judged.worthless():
        return {"word": WORTHLESS, "why": f"{why}."}
    reasons = [*(leak.rstrip(".") for leak in leaks), *judged.doubts()]
    if reasons:
        return {"word": CARE, "why": f"{judged.gain}, but {'; '.join(reasons)}."}
    return {"word": USE, "why": f"{judged.gain}{judged.beside}."}


class _Judged:
    """Answers, the figure they are judged by, and the tests of it."""

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
        """How often labels dealt out at random would fit the answers as well."""
        onehot = self.tested.onehot
        return headline.permutation_p(self.name, self.chosen, onehot, self.cluster, self.seed)

    @property
    def gain(self) -> str:
        """The figure, and what guessing gives."""
        return f"{self.noun} is {self.value:.3f}; guessing gives {self.chance:.3f}"

    def worthless(self) -> str | None:
        """Return why the answers are worth nothing; None where they are worth something."""
        if self.low <= self.chance:
            if self.value <= self.chance:
                return self.gain
            return (
                f"{self.noun} {self.value:.3f} of {amount(len(self.tested.clips), 'clip')} is not"
                f" shown to be above guessing: its 95 % interval begins at {self.low:.3f}, and"
                f" guessing gives {self.chance:.3f}"
            )
        if not self.is_one_class and self.p >= SHOWN:
            return (
                f"{self.noun} {self.value:.3f} is not shown to be above guessing: labels dealt out"
                f" at random fit as well in {100 * self.p:.0f} % of draws"
            )
        if self.rival is None or self.skill >= NEARLY_RIGHT or self._is_above:
            return None
        if self.skill >= HALF_WAY and not self._is_below:
            return None
        return f"{self.noun} {self.value:.3f} is {self._beside(self.rival)}"

    def _beside(self, rival: _Rival) -> str:
        place = "below" if self._is_below else "not shown to be above"
        return f"{place} that of {rival.name}, with nothing learned: {rival.value:.3f}"

    @functools.cached_property
    def _is_above(self) -> bool:
        """Whether the answers are above those of the best baseline, by no accident."""
        return self.rival is not None and self._exchange_p(self.counts, self.rival.counts) < SHOWN

    @functools.cached_property
    def _is_below(self) -> bool:
        """Whether they are below those, by no accident."""
        return self.rival is not None and self._exchange_p(self.rival.counts, self.counts) < SHOWN

    def _exchange_p(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        return headline.exchange_p(self.name, ours, theirs, self.seed)

    def doubts(self) -> list[str]:
        """Return why the answers are to be used with care."""
        reasons = []
        if self.is_one_class:
            reasons.append("all tested clips are of one class, so that no other was told from it")
        elif self.p >= CERTAIN:
            reasons.append(f"labels at random would fit as well in {100 * self.p:.1f} % of draws")
        if self.is_few:
            groups = amount(self.groups, "group")
            reasons.append(f"clips of only {groups} were tested, {self._of_other_groups}")
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
        """What few groups say of others: the printed interval is over groups and may be wide."""
        low, high = (self.estimate.headline or {"ci95": (self.low, self.high)})["ci95"]
        if low > self.chance:
            return "which says little of others"
        return (
            f"which says nothing of others: the interval, {low:.3f} to {high:.3f}, reaches guessing"
        )

    def _doubtful_classes(self) -> list[str]:
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
        return [
            text.format(some(labels))
            for text, labels in (
                (f"fewer than {FEW_CLIPS} clips were tested of {{}}", few),
                (f"clips of one {noun} only were tested of {{}}", alone),
                (f"the {figure.replace('f1', 'F1')} of {{}} is below guessing", missed),
            )
            if labels
        ]

    @property
    def beside(self) -> str:
        """How a baseline compares with answers that may be used."""
        if self.rival is None:
            return ""
        if self._is_above:
            return f", {self.rival.name} {self.rival.value:.3f}"
        return f"; it is {self._beside(self.rival)}, so that the transfer is not needed here"


@dataclass(frozen=True)
class _Rival:
    """A baseline's name in a sentence, its counts (P, 3, K), and its figure."""

    name: str
    counts: np.ndarray
    value: float

    @classmethod
    def of(cls, figure: str, baseline: Baseline, counts: np.ndarray) -> _Rival:
        is_random = baseline.name == "random weights"
        name = "the same network with random weights" if is_random else baseline.name
        return cls(name, counts, float(headline.value(figure, counts.sum(0))))
