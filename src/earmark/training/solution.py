"""Choose and fit the head that is saved, and score every tested clip with out-of-fold models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.classifier.head import Head
from earmark.data.clip import Clip
from earmark.data.splits import Scheme, make_scheme
from earmark.system.progress import Stages
from earmark.training.inner import Choice
from earmark.training.selection import FoldPlan, Search

INNER_FOLDS = 3  # inside the training clips, if the given folds are too few to nest
NOT_NESTED = ("the clips that chose the head also scored it, so its figures are too good.",)


@dataclass(frozen=True)
class Solution:
    """The ``head`` that is saved, how it was ``chosen``, and out-of-fold logits.

    ``logits`` (N, K) are calibrated, and each is from a model chosen and fitted without the fold of
    the clip. Rows of clips that were not ``tested`` are zero. ``plans`` are those of these models.
    """

    chosen: Choice
    head: Head
    logits: np.ndarray
    tested: np.ndarray  # (N,) bool
    plans: tuple[FoldPlan, ...] = ()


def solve(
    search: Search,
    clips: Sequence[Clip],
    content: np.ndarray,
    scheme: Scheme,
    stages: Stages | None = None,
    baseline: str | None = None,
) -> Solution:
    """Choose and fit a head, and score the tested clips, as ``scheme`` says.

    ``search`` covers all ``clips``. With a test split the saved head is not trained on the test
    clips. Two folds are too few to nest, so their training halves are split again. The ``stages``
    are 'choose' and 'fit', or 'baselines' if the name of a ``baseline`` is given.
    """
    stages, n_specs = stages or Stages(), len(search.table.names)
    steps = choosing_steps(n_specs, scheme)
    choose, fit = ("choose", "choosing layers and head"), ("fit", "fitting")
    if baseline is not None:
        choose = fit = ("baselines", f"baseline: {baseline}")
    with stages.stage(choose[0], steps, choose[1]) as step:
        watched = replace(search, step=step)
        if is_nested(scheme):
            chosen, plans = _choose_nested(watched, clips, content, scheme)
        else:
            plans = watched.plans()
            chosen = watched.choose()
    with stages.stage(fit[0], len(plans) + (len(plans) > 1), fit[1]) as step:
        return _fit(replace(search, step=step), chosen, plans)


def solve_once(
    search: Search,
    clips: Sequence[Clip],
    content: np.ndarray,
    scheme: Scheme,
    stages: Stages | None = None,
) -> Solution:
    """Choose and fit a head as :func:`solve` does, but let the same choice score all folds.

    It takes a fraction of the work, and the scores of the clips are too good: see ``NOT_NESTED``.
    """
    stages, n_folds = stages or Stages(), len(scheme.names)
    with stages.stage("choose", 2 * len(search.table.names), "choosing layers and head") as step:
        chosen = replace(search, step=step).choose()
    plans = [
        FoldPlan(
            search.rows_but(tested),
            np.flatnonzero(scheme.fold == tested),
            np.flatnonzero(scheme.fold == (tested + 1) % n_folds),
            chosen,
        )
        for tested in range(n_folds)
    ]
    with stages.stage("fit", n_folds + 1, "fitting") as step:
        return _fit(replace(search, step=step), chosen, plans)


def is_nested(scheme: Scheme) -> bool:
    """Return whether new folds are made inside the training clips of each tested fold."""
    return scheme.held_out is not None or len(scheme.names) == 2


def choosing_steps(n_specs: int, scheme: Scheme) -> int:
    """Return about how many steps :func:`solve` takes to choose among ``n_specs`` feature specs."""
    count = len(scheme.names)
    if not is_nested(scheme):
        return 2 * n_specs
    searches = 1 if scheme.held_out is not None else count + 1
    return searches * 2 * n_specs


def _choose_nested(
    search: Search, clips: Sequence[Clip], content: np.ndarray, scheme: Scheme
) -> tuple[Choice, list[FoldPlan]]:
    """Choose on folds made inside the training clips of each tested fold, and inside all clips.

    With a test split, the choice made without it is saved.
    """
    plans = []
    for tested in range(len(scheme.names)) if scheme.held_out is None else [scheme.held_out]:
        rows, test = search.rows_but(tested), np.flatnonzero(scheme.fold == tested)
        inner = nested(search, clips, content, rows)
        plans.append(FoldPlan(rows, test, rows[inner.fold == 0], inner.choose()))
    if scheme.held_out is not None:
        return plans[0].choice, plans
    return nested(search, clips, content, np.arange(len(clips))).choose(), plans


def _fit(search: Search, chosen: Choice, plans: Sequence[FoldPlan]) -> Solution:
    """Fit the choice, and score the clips of each tested fold by a model fitted without it."""
    if len(plans) == 1:  # with a test split, the tested head is the one that is saved
        (plan,) = plans
        head = search.fit_rows(chosen.best, plan.rows)
        logits = np.zeros((len(search.targets), search.targets.n_classes), np.float32)
        logits[plan.test] = search.answers(plan, head)
    else:
        head = search.fit_rows(chosen.best, search.rows_but())
        logits = search.out_of_fold(plans)
    search.step()
    tested = np.zeros(len(logits), bool)
    tested[np.concatenate([plan.test for plan in plans])] = True
    return Solution(chosen, head, logits, tested, tuple(plans))


def nested(search: Search, clips: Sequence[Clip], content: np.ndarray, rows: np.ndarray) -> Search:
    """Return a search over the clips ``rows`` alone, on folds made of them."""
    inside = [replace(clips[row], fold=None) for row in rows]
    if len({clip.group for clip in inside}) < INNER_FOLDS:
        inside = [replace(clip, group=None) for clip in inside]
    counts = search.targets.rows(rows).counts
    fewest = int(counts[counts > 0].min())
    scheme = make_scheme(
        inside,
        content[rows],
        folds=min(INNER_FOLDS, max(2, fewest)),
        seed=search.seed,
        separator=search.separator,
        is_inner=True,
    )
    return replace(
        search,
        table=search.table.only(rows),
        targets=search.targets.rows(rows),
        fold=scheme.fold,
        _choices={},
    )
