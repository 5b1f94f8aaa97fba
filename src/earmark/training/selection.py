"""Choose layers, head and penalty inside training folds.

The choice for a tested fold uses only the *other* folds, so the estimate does not look ahead. All
candidates are screened on some hundred clips; the best few are judged on all clips.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import KINDS, Head
from earmark.classifier.targets import Targets
from earmark.system.progress import Step, no_step
from earmark.training import heads
from earmark.training.average import fit
from earmark.training.finalists import Finals, judge_slow
from earmark.training.fitting import MEMORY, SLOW, Fitter
from earmark.training.inner import Average, Choice, Contest, Contests
from earmark.training.judging import FoldedClips, LayerWeights
from earmark.training.kernels import FeatureTable
from earmark.training.runs import RUN, Answers, runs_of
from earmark.training.screening import few_clips, screen, slow_rivals, thinned
from earmark.training.weighting import joint_name, layer_weights, screen_weighted

MOST_SLOW = 5_000  # with more clips, slow heads are left out unless one is asked for


class FoldPlan(NamedTuple):
    """One model of the estimate: it is chosen on and fitted to ``rows``, and tested on ``test``.

    ``inner`` are the ``rows`` of one inner fold. All three are row numbers.
    """

    rows: np.ndarray
    test: np.ndarray
    inner: np.ndarray
    choice: Choice


@dataclass(frozen=True)
class Search:
    """A search among candidates that read the features of ``table``, over the folds ``fold`` (N,).

    It goes by the log loss, or by the squared error for clips with several classes. With
    ``balanced``, each class counts the same, and heads trained with such weights compete, too. The
    weights are computed once, from all clips. Sets of layers that do not fit in ``memory`` bytes
    are left out and named in ``notes``. With ``on_few``, the best candidate on some hundred clips
    is final.
    """

    table: FeatureTable
    targets: Targets
    fold: np.ndarray
    kinds: Sequence[str] = KINDS
    seed: int = 0
    balanced: bool = False
    separator: str | None = None  # between the classes of a clip that has several
    step: Step = no_step  # called twice for each spec, and once for each tested fold
    memory: int = MEMORY
    on_few: bool = False
    notes: list[str] = field(default_factory=list)
    _choices: dict[int | None, Choice] = field(default_factory=dict)

    def choose(self, tested: int | None = None) -> Choice:
        """Return the choice for the ``tested`` fold, made without it, or for all clips (None).

        If :meth:`plans` made the choice for all clips, it was judged with the layer weights of each
        fold, otherwise with those of all clips.
        """
        self._choose([tested])
        return self._choices[tested]

    def plans(self) -> list[FoldPlan]:
        """Return the plan of each fold, chosen without it; also choose for all clips on the way."""
        n_folds = self.clips.n_folds
        self._choose([None, *range(n_folds)])
        return [
            FoldPlan(
                self.rows_but(tested),
                np.flatnonzero(self.fold == tested),
                np.flatnonzero(self.fold == (tested + 1) % n_folds),
                self.choose(tested),
            )
            for tested in range(n_folds)
        ]

    def _choose(self, tests: Sequence[int | None]) -> None:
        """Choose for all ``tests`` together, because they share fits."""
        tests = [tested for tested in tests if tested not in self._choices]
        if not tests:
            return
        clips = self.clips
        few = few_clips(clips, self.seed)
        screened = contests = self._contests(few, tests)
        is_final = few is clips or self.on_few
        screen(few, self.kinds, screened, self.step, is_final=is_final)
        weights: LayerWeights = {}
        joint = joint_name(self.table) if "linear" in self.kinds else None
        if joint is not None:
            weights = layer_weights(screened, self.table)
            screen_weighted(few, screened, weights, joint, is_final=is_final)
        if is_final:
            if len(self.fold) <= MOST_SLOW or self._only_slow:
                judge_slow(Fitter(few, self.seed), screened, slow_rivals(few, self.kinds, screened))
            for _ in self.table.names:
                self.step()
        else:
            contests = self._contests(clips, tests)
            if any(kind in heads.SUMMED for kind in self.kinds):
                finals = Finals(clips, self.memory)
                finals.judge(screened, contests, weights, self.step)
                self.notes.extend(finals.note())
            self._try_slow(few, screened, contests)
        for tested, contest in contests.items():
            others = None if contests is screened else screened[tested]
            self._choices[tested] = contest.choice(others, weights.get(tested, ()))

    def _contests(self, clips: FoldedClips, tests: Sequence[int | None]) -> Contests:
        targets = clips.balanced if self.balanced else clips.targets
        return {tested: Contest(tested, targets, self.table, self.kinds) for tested in tests}

    def _try_slow(self, few: FoldedClips, screened: Contests, contests: Contests) -> None:
        """Judge slow heads on few clips, and the best of them on all clips.

        With too many clips they are left out, unless only slow heads compete.
        """
        rivals = slow_rivals(few, self.kinds, screened if self._only_slow else contests)
        if len(self.fold) > MOST_SLOW and not self._only_slow:
            if any(rivals.values()):
                self.notes.append(
                    f"logistic and mlp heads were not tried, because {len(self.fold):,} clips are"
                    " many for them. Give --head logistic or --head mlp to train one."
                )
            return
        judge_slow(Fitter(few, self.seed), screened, rivals)
        best = {tested: contest.best() for tested, contest in screened.items()}
        finalists = {tested: [c] for tested, c in best.items() if c.head in SLOW}
        judge_slow(self.fitter, contests, finalists)

    def out_of_fold(self, plans: Sequence[FoldPlan] = ()) -> np.ndarray:
        """Return calibrated logits (N, K) of all clips by out-of-fold models.

        ``plans`` are those of all folds, if they are known already.
        """
        plans = plans or self.plans()
        logits = np.zeros((len(self.fold), self.targets.n_classes), np.float32)
        best = [plan.choice.best for plan in plans]
        tested = [np.unique(self.fold[plan.test]).tolist() for plan in plans]
        fitted = list(self.fitter.fit_without(best, tested))
        several = [average.specs(self.table) for average in best]
        for specs in dict.fromkeys(several):  # one pass for the plans that read the same
            numbers = [number for number, own in enumerate(several) if own == specs]
            answers = self._answer(
                specs, [fitted[n] for n in numbers], [plans[n].test for n in numbers]
            )
            for number, own in zip(numbers, answers, strict=True):
                logits[plans[number].test] = plans[number].choice.calibration.logits(own)
                self.step()
        return logits

    def answers(self, plan: FoldPlan, head: Head) -> np.ndarray:
        """Return calibrated logits (T, K) of the T test clips of a plan."""
        logits = self.logits(plan.choice.best, head, plan.test)
        return np.asarray(plan.choice.calibration.logits(logits), np.float32)

    def logits(self, average: Average, head: Head, rows: np.ndarray) -> np.ndarray:
        """Return logits (n, K) of the clips ``rows`` by the ``head`` of a fitted average."""
        return self._answer(average.specs(self.table), [head], [rows])[0]

    def _answer(
        self, specs: Sequence[FeatureSpec], heads: Sequence[Head], tests: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return logits (n, K) of the clips ``tests`` of each head, from one pass."""
        rows, number = np.concatenate(tests), np.repeat(range(len(tests)), [*map(len, tests)])
        order = np.argsort(rows, kind="stable")
        jobs = (
            Answers(self.table.run(specs, rows[run]), specs, number[run], len(heads), heads)
            for run in runs_of(order)
        )
        logits = np.zeros((len(rows), self.targets.n_classes), np.float32)
        for run, result in zip(
            runs_of(order),
            self.table.map(Answers.logits, jobs, 4 * RUN * self.targets.n_classes),
            strict=True,
        ):
            for k, own in enumerate(result):
                if own is not None:
                    logits[run[number[run] == k]] = own
        return np.split(logits, np.cumsum([*map(len, tests)])[:-1])

    def fit_rows(self, average: Average, rows: np.ndarray) -> Head:
        """Return the head of ``average`` fitted to the clips ``rows``."""
        return self.fitter.fit_average(average, rows)

    def fit_features(self, average: Average, rows: np.ndarray, features: np.ndarray) -> Head:
        """Return the head of ``average`` fitted to the clips ``rows`` with ``features`` (n, D)."""

        def targets_of(balanced: bool) -> Targets:
            return self.targets_of(rows, balanced)

        return fit(average, self.table, features, targets_of, self.seed)

    def rows_but(self, *folds: int | None) -> np.ndarray:
        """Return the rows that are in none of ``folds``; None stands for no fold."""
        return np.flatnonzero(~np.isin(self.fold, [fold for fold in folds if fold is not None]))

    def rows_without(self, tested: int, most: int) -> np.ndarray:
        """Return at most ``most`` rows outside a fold, with an even share of each class."""
        return thinned(np.flatnonzero(self.fold != tested), self.targets, most, self.seed)

    def targets_of(self, rows: np.ndarray, balanced: bool) -> Targets:
        """Return the targets of ``rows``, ``balanced`` so that each class counts the same."""
        return (self.clips.balanced if balanced else self.targets).rows(rows)

    @property
    def _only_slow(self) -> bool:
        return all(kind in SLOW for kind in self.kinds)

    @functools.cached_property
    def clips(self) -> FoldedClips:
        """All clips."""
        return FoldedClips.of(self.table, self.targets, self.fold, self.balanced)

    @property
    def fitter(self) -> Fitter:
        """Fits candidates to all clips or to some of them."""
        return Fitter(self.clips, self.seed, self.memory)
