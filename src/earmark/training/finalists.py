"""Judge the best of the screened candidates on all clips.

The best penalty and the best number of features depend on the number of clips, so a choice made on
few clips would not be the best on all.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from earmark.backbones.layers import LayerSet
from earmark.errors import EarmarkError, some
from earmark.system.progress import Step
from earmark.training import heads, parallel
from earmark.training.fitting import PROGRAM, Fitter
from earmark.training.inner import (
    NEIGHBOURS,
    Candidate,
    Contest,
    Contests,
    InnerLogits,
    Pair,
    fold_pairs,
    serves,
)
from earmark.training.judging import FoldedClips, InnerFit, LayerWeights, by_fits, judge
from earmark.training.moments import moments_bytes

FINALISTS = 2  # sets of layers that are judged on all clips, for each tested fold
WIDE = 0.5  # one finalist has at least this share of the layers: more clips favour more layers
FACTORS = (0.3, 0.1)  # times the best penalty on few clips: more clips need a weaker penalty
LEAST_PENALTY = 1e-5  # also tried if the weakest screened penalty was the best
FITS = 3  # for each pair of folds: one for both, and one for each of them if layers are weighted

Rivals = Mapping[int | None, Sequence[Candidate]]  # for each tested fold


@dataclass(frozen=True)
class Finals:
    """Judges finalists on all ``clips`` within ``memory`` bytes.

    ``too_large`` maps feature specs that do not fit to the bytes that they would need.
    """

    clips: FoldedClips
    memory: int
    too_large: dict[str, int] = field(default_factory=dict)

    def judge(
        self, screened: Contests, contests: Contests, weights: LayerWeights, step: Step
    ) -> None:
        """Judge the best few sets of layers; ``step`` is called once for each feature spec."""
        groups: dict[tuple[str, bool], dict[int | None, set[Candidate]]] = {}
        for tested, contest in screened.items():
            for candidate in self._finalists(contest):
                key = candidate.features, candidate.balanced
                groups.setdefault(key, {}).setdefault(tested, set()).add(candidate)
        paced = _Paced(step, len(self.clips.table.names), len(groups))
        for eligible in groups.values():
            judge(self.clips, eligible, contests, weights, paced)

    def _finalists(self, contest: Contest) -> list[Candidate]:
        """Return candidates for the sets of layers that are best on few clips and fit in memory."""
        kind = "linear" if "linear" in contest.kinds else "prototype"
        specs = self.clips.table.specs
        best_of: dict[LayerSet, Candidate] = {}
        weighted: list[Candidate] = []
        for candidate in contest.ranked():
            if candidate.head != kind or not self._fits(candidate.features):
                continue
            if candidate.is_weighted:
                weighted.append(candidate)
            else:
                best_of.setdefault(specs[candidate.features].layers, candidate)
        if not best_of:
            raise EarmarkError(
                f"no set of layers fits in {self.memory / 1e9:.1f} GB of memory. Give more with"
                " --memory, or use fewer layers with --layers last."
            )
        n_layers = {layers: sum(map(len, layers)) for layers in best_of}
        least = WIDE * max(n_layers.values())
        wide = [layers for layers in best_of if n_layers[layers] >= least][:1]
        chosen = list(dict.fromkeys([*list(best_of)[: FINALISTS - 1], *wide, *best_of]))
        finalists = [best_of[layers] for layers in chosen[:FINALISTS]] + weighted[:1]
        return [
            candidate
            for best in finalists
            for candidate in _variants(best, "prototype" in contest.kinds and not best.is_weighted)
        ]

    def _fits(self, name: str) -> bool:
        """Return whether a spec can be judged on all clips within the memory."""
        table, n_clips = self.clips.table, len(self.clips.fold)
        n_classes, n_folds = self.clips.targets.n_classes, self.clips.n_folds
        size, n_candidates = table.size(name), len(FACTORS) + 1
        if n_clips > size:
            needed = moments_bytes(size, n_classes, n_folds)
            n_fits = FITS * len(fold_pairs(n_folds))
            needed += 4 * size * n_classes * n_fits * n_candidates
        else:
            needed = 4 * n_clips**2 * 8
        needed += 8 * n_clips * n_classes * 2 * NEIGHBOURS * n_candidates  # their logits
        needed += table.bytes_in_memory + PROGRAM
        if needed > self.memory:
            self.too_large[name] = needed
        return needed <= self.memory

    def note(self) -> list[str]:
        """Return a sentence that names the specs that do not fit, if there are any."""
        if not self.too_large:
            return []
        needed = max(self.too_large.values())
        return [
            f"some sets of layers need more than {self.memory / 1e9:g} GB of memory and were not"
            f" tried: {some(list(self.too_large), 'set')}. Give --memory"
            f" {math.ceil(needed / 1e9)} to try them."
        ]


def _variants(best: Candidate, with_prototype: bool) -> list[Candidate]:
    """Return the candidates to try on all clips, given the ``best`` one of a spec on few clips."""
    if best.head == "prototype":
        return [best]
    penalties = [float(f"{factor * best.penalty:.2g}") for factor in FACTORS]
    if best.penalty == heads.screened_penalties("linear", is_final=False)[-1]:
        penalties.append(LEAST_PENALTY)
    linear = [replace(best, penalty=penalty) for penalty in penalties]
    return [replace(best, head="prototype", penalty=0.0), *linear] if with_prototype else linear


def judge_slow(fitter: Fitter, contests: Contests, rivals: Rivals) -> None:
    """Fit slow heads without each pair of folds and judge them; each fit serves both folds."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    every = {candidate for several in rivals.values() for candidate in several}
    for candidate in sorted(every, key=lambda c: (c.head, c.features, -c.penalty)):
        groups.setdefault((candidate.head, candidate.features), []).append(candidate)
    competing = [tested for tested, several in rivals.items() if several]
    n_folds = fitter.clips.n_folds
    pairs = [pair for pair in fold_pairs(n_folds) if serves(pair, competing)]
    inner: dict[tuple[tuple[str, str], Pair], list[InnerLogits]] = {}

    def judge(job: tuple[tuple[str, str], Pair]) -> None:
        group, pair = job
        candidates = groups[group]
        inner[job] = by_fits(
            fitter.clips,
            InnerFit(pair, candidates),
            lambda places: fitter.fit_path(candidates, places),
        )

    jobs = [(group, pair) for group in groups for pair in pairs]
    if fitter.clips.table.is_in_memory:
        parallel.side_by_side(judge, jobs)
    else:
        for job in jobs:
            judge(job)
    for tested in competing:
        for group in groups:
            parts = [part for pair in pairs for part in inner[group, pair]]
            contests[tested].enter(parts, rivals[tested])


class _Paced:
    """Calls ``step`` so that ``steps`` calls spread evenly over all ``jobs``."""

    def __init__(self, step: Step, steps: int, jobs: int) -> None:
        self._step, self._rate = step, steps / max(1, jobs)
        self._done, self._calls = 0.0, 0
        self._lock = threading.Lock()

    def __call__(self, share: float) -> None:
        """Record that a further ``share`` of a job is done, 0 to 1."""
        with self._lock:
            self._done += share * self._rate
            due = int(self._done + 1e-6) - self._calls
            self._calls += due
        for _ in range(due):
            self._step()
