"""From candidates to one fitted head, and to an answer for every tested clip."""

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

INNER_FOLDS = 3  # made where the given folds are too few to nest


@dataclass(frozen=True)
class Solution:
    """The deployed ``head`` and how it was ``chosen``; calibrated logits (N, K) of the ``tested``
    clips, each from a model chosen and fitted without its fold (rows of other clips are zero).

    ``plans`` are those of the models that were tested.
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
    """Select, estimate and fit as ``scheme`` says; ``search`` covers all ``clips``.

    The ``stages`` are 'choose' and 'fit'; of a ``baseline``, which has a name, 'baselines'.

    With a test split the deployed head never sees the test clips. Two folds are too few to nest,
    so their training halves are split again.
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


def is_nested(scheme: Scheme) -> bool:
    """Say whether folds are made anew inside the training clips of each fold that tests."""
    return scheme.held_out is not None or len(scheme.names) == 2


def choosing_steps(n_specs: int, scheme: Scheme) -> int:
    """Return about how often :func:`solve` steps while it chooses among ``n_specs`` features."""
    count = len(scheme.names)
    if not is_nested(scheme):
        return 2 * n_specs
    searches = 1 if scheme.held_out is not None else count + 1
    return searches * 2 * n_specs


def _choose_nested(
    search: Search, clips: Sequence[Clip], content: np.ndarray, scheme: Scheme
) -> tuple[Choice, list[FoldPlan]]:
    """Choose on folds inside the training clips of each tested fold, and of all clips.

    With a test split, what is chosen without it is deployed.
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
    """Fit what was chosen; answer the clips of each tested fold without it."""
    if len(plans) == 1:  # a test split: what answers it is deployed
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
    """Return a search over ``rows`` alone, on folds made inside them."""
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
