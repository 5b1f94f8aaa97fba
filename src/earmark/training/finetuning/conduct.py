"""finetune(): adapt the networks to a dataset, and test whether it improves the classifier."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from earmark.backbones import registry
from earmark.classifier.calibration import Calibration
from earmark.classifier.head import Head
from earmark.data.dataset import Dataset, as_dataset
from earmark.errors import EarmarkError
from earmark.system.progress import Observer
from earmark.training import metrics, training
from earmark.training.estimation import OutOfFold
from earmark.training.finetuning import parameters
from earmark.training.finetuning.checkpoints import Checkpoints
from earmark.training.finetuning.context import Context, Start, Tuned
from earmark.training.finetuning.judging import better
from earmark.training.finetuning.outcome import course_of, deployed, key_of
from earmark.training.finetuning.parameters import NotTunedError
from earmark.training.finetuning.processes import Processes
from earmark.training.finetuning.recipe import FULL, Recipe, check_method
from earmark.training.finetuning.run import Run
from earmark.training.finetuning.sharing import trained_by_first
from earmark.training.finetuning.waveforms import Waveforms
from earmark.training.inner import Choice
from earmark.training.selection import FoldPlan
from earmark.training.training import Training

TUNED, FROZEN = "fine-tuned", "frozen"
PROBES = "checks"  # the key of a state that is written before hours of work


@dataclass(frozen=True)
class FineTuning:
    """The result of :func:`finetune`.

    Attributes
    ----------
    training : Training
        The training to use, fine-tuned or frozen.
    frozen : Training
        The training with frozen networks.
    verdict : dict
        The comparison of the two; see :func:`finetune`.
    curves : dict of str to tuple of dict
        The figures of each epoch of each run.
    checkpoints : Checkpoints
        Call ``checkpoints.forget()`` once the classifier is saved.
    is_first : bool
        Whether this is the first of several processes. Only the first saves and prints.
    """

    training: Training
    frozen: Training
    verdict: dict[str, Any]
    curves: dict[str, tuple[dict[str, float], ...]]
    checkpoints: Checkpoints
    is_first: bool = True

    def __repr__(self) -> str:
        return f"FineTuning({self.verdict['use']!r}, {self.training!r})"


def finetune(
    data: str | Path | Dataset,
    how: str = FULL,
    *,
    recipe: Recipe | None = None,
    observer: Observer | None = None,
    checkpoints: str | Path | None = None,
    **options: Any,
) -> FineTuning:
    """Train as :func:`train` does with ``options``, then fine-tune the networks that it chose.

    Each tested fold starts with a *rehearsal*: the network is tuned on all but one of the other
    folds and judged on that one. This shows how many epochs are best, and whether they are better
    than none. If so, the network is tuned again on all folds but the tested one. So the estimate
    includes every decision.

    The fine-tuned classifier is returned if most rehearsals were better, by two standard errors
    each, and it is not worse on the tested clips. Otherwise the frozen one is returned. Nothing is
    tuned if the frozen network classifies every tested clip correctly. If a call is killed, the
    same call resumes where it stopped.

    Parameters
    ----------
    data : str, Path, Dataset or frame
        Labelled clips, as :func:`train` takes them.
    how : str
        'full' for every layer, 'last:N' for the last N layers, or 'lora'.
    recipe : Recipe, optional
        The settings of the gradient steps.
    observer : Observer, optional
        Is called with the figures of each step.
    checkpoints : str or Path, optional
        A folder, or a URI in object storage such as ``s3://bucket/folder``, for the states that a
        killed call resumes from. The default is the cache of this machine. With several machines,
        all must see it.
    **options
        The other arguments of :func:`train`.

    Returns
    -------
    FineTuning
        Its ``verdict`` has the network that is used ('use': 'fine-tuned' or 'frozen'), the accuracy
        of both on the tested clips ('frozen', 'fine_tuned'), the 'difference' with its 95 %
        interval 'ci95' (0 to 0 if no fold was tuned), and the same for each of the 'folds'.

    Raises
    ------
    EarmarkError
        ``how`` or an option is unknown, or the backbone cannot be tuned that way.

    Examples
    --------
    >>> import earmark
    >>> tuned = earmark.finetune("recordings", "last:1", recipe=earmark.Recipe(epochs=1),
    ...                          backbone="speech-embedding", compare=False)
    >>> tuned.verdict["use"]
    'frozen'
    """
    recipe = recipe or Recipe()
    processes = Processes(half=options.get("precision") == "fast")
    if checkpoints is not None:
        Checkpoints(PROBES, processes.rank == 0, checkpoints).check()
    with processes.accelerator.local_main_process_first():  # the others read what it downloaded
        _refuse(how, options)
    dataset = as_dataset(data)
    frozen = trained_by_first(
        processes, dataset, options, lambda: training.train(dataset, **options)
    )
    seed = int(options.get("seed", 0))
    work = _Work(
        frozen,
        how,
        recipe,
        seed=seed,
        processes=processes,
        observer=observer,
        where=checkpoints,
    )
    return _fine_tuned(work)


def _fine_tuned(work: _Work) -> FineTuning:
    """Go through the folds, decide, and tune on all clips if that helps."""
    start, frozen = time.perf_counter(), work.frozen
    answers = [work.learn(k, plan) for k, plan in enumerate(work.plans)]
    verdict, tested = work.verdict(answers)
    curves = {f"fold {work.names[k]}": a.curve for k, a in enumerate(answers)}
    warnings = [*frozen.warnings, *(w for a in answers for w in a.warnings)]
    result = frozen
    if verdict["use"] == TUNED:
        try:
            tuned, calibration = work.deploy(answers)
            curves["all clips"] = tuned.curve
            if work.setup.processes.rank == 0:  # the others have no embeddings
                result = deployed(frozen, tested, tuned, calibration, verdict)
        except NotTunedError as error:
            verdict["use"] = FROZEN
            warnings.append(str(error))
    if verdict["use"] == FROZEN:
        estimate = replace(frozen.classifier.estimate, fine_tuning=verdict)
        result = replace(frozen, classifier=replace(frozen.classifier, estimate=estimate))
    seconds = {**frozen.seconds, "fine-tune": round(time.perf_counter() - start, 3)}
    seconds["total"] = round(frozen.seconds["total"] + seconds["fine-tune"], 3)
    warnings += [f"{work.clips[k].path}: {why}" for k, why in work.setup.sounds.lost.items()]
    result = replace(result, seconds=seconds, warnings=tuple(warnings))
    checkpoints, is_first = work.setup.checkpoints, work.setup.processes.rank == 0
    return FineTuning(result, frozen, verdict, curves, checkpoints, is_first)


def _refuse(how: str, options: Mapping[str, Any]) -> None:
    """Raise EarmarkError, before any work, if networks cannot be tuned that way."""
    check_method(how)
    if options.get("unknown") is not None:
        raise EarmarkError(
            "'unknown' and fine-tuning cannot be combined, because fine-tuning changes the features"
            " that the threshold of 'unknown' needs. Leave one out."
        )
    for name in training.backbone_names(options.get("backbone", "auto"))[0]:
        runtime = registry.entry(name)[1].runtime
        if runtime != "torch":
            raise EarmarkError(
                f"backbone {name!r} runs in {runtime}, which cannot train it. Leave --finetune out,"
                " or use another backbone."
            )
        parameters.tunable(registry.load_backbone(name, engine="torch"), how)


def is_right_everywhere(frozen: Training) -> bool:
    """Return whether every tested clip was classified correctly, so that tuning cannot help."""
    return bool(frozen.out_of_fold.quality.min() == 1)


class _Answer(NamedTuple):
    """The result of one fold: calibrated ``logits`` (T, K) of its tested clips, and its rehearsal.

    The logits are those of the fine-tuned network if the rehearsal was better (``is_better``), else
    those of the frozen one. ``first`` and ``best`` (M, K) are the logits of the inner clips before
    and after the rehearsal. They are empty if no rehearsal was possible.
    """

    logits: np.ndarray
    first: np.ndarray
    best: np.ndarray
    epochs: int
    is_better: bool
    curve: tuple[dict[str, float], ...] = ()
    warnings: tuple[str, ...] = ()


class _Work:
    """The runs of one fine-tuning, and what they share."""

    def __init__(
        self,
        frozen: Training,
        how: str,
        recipe: Recipe,
        *,
        seed: int,
        processes: Processes,
        observer: Observer | None,
        where: str | Path | None = None,
    ) -> None:
        self.frozen, self.search, self.embedded = frozen, frozen.search, frozen.embedded
        self.clips, scheme = frozen.embedded.clips, frozen.embedded.scheme
        self.plans = () if is_right_everywhere(frozen) else frozen.solution.plans
        self.names = [name for k, name in enumerate(scheme.names) if scheme.held_out in (None, k)]
        names = [network.info.name for network in self.embedded.networks]
        networks = [registry.load_backbone(name, engine="torch") for name in names]
        for network in self.embedded.networks:
            network.engine = network.compute  # frees what was compiled for another engine
        options = frozen.embedded.dataset.audio
        self.setup = Context(
            networks=networks,
            how=how,
            recipe=recipe,
            sounds=Waveforms(self.clips if self.plans else (), networks, options),
            targets=self.search.targets,
            options=options,
            seed=seed,
            processes=processes,
            checkpoints=Checkpoints(key_of(frozen, how, recipe, seed), processes.rank == 0, where),
            observer=observer,
        )
        seconds = hashlib.sha256(self.setup.sounds.seconds.tobytes()).hexdigest()
        processes.check_same(seconds, "recordings")

    def learn(self, number: int, plan: FoldPlan) -> _Answer:
        """Rehearse, tune again if that helped, and score the tested clips."""
        name = f"fold {self.names[number]}"
        return self._remembered(f"{name}, done", lambda: self._learn(name, plan), name)

    def _remembered(self, name: str, make: Callable[[], _Answer], run: str) -> _Answer:
        """Return the result saved under ``name``, or make and save it and drop the run's state."""
        checkpoint = self.setup.processes.state_from_first(
            lambda: self.setup.checkpoints.load(name)
        )
        if checkpoint is not None:
            values, tensors = checkpoint
            return _Answer(**values | {key: value.numpy() for key, value in tensors.items()})
        answer = make()
        values = answer._asdict()
        tensors = {
            key: torch.from_numpy(values.pop(key).copy()) for key in ("logits", "first", "best")
        }
        self.setup.checkpoints.save(name, values, tensors)
        self.setup.checkpoints.drop(run)
        return answer

    def _learn(self, name: str, plan: FoldPlan) -> _Answer:
        run_name = f"{name}, rehearsal"
        answer = self._remembered(
            f"{name}, rehearsed", lambda: self._rehearse(run_name, plan), run_name
        )
        if not answer.is_better:
            return answer
        try:
            run = self._run(name, plan.choice, plan.rows, length=answer.epochs)
            run.go()
        except NotTunedError as error:
            warnings = (*answer.warnings, str(error))
            return answer._replace(is_better=False, warnings=warnings)
        inner = self.search.targets_of(plan.inner, self.search.balanced)
        calibration = Calibration.fit(answer.best, inner)
        logits = calibration.logits(run.answer(plan.test)).astype(np.float32)
        return answer._replace(logits=logits)

    def _rehearse(self, name: str, plan: FoldPlan) -> _Answer:
        """Tune without the inner clips of a fold; the logits returned are the frozen network's."""
        search, onehot = self.search, self.search.targets.onehot
        logits = self.frozen.solution.logits[plan.test]
        inside = np.setdiff1d(plan.rows, plan.inner)
        none = np.zeros((0, onehot.shape[1]), np.float32)
        impossible = _Answer(logits, none, none, 0, False)
        if not onehot[inside].any(0).all() or not len(plan.inner):
            return impossible
        try:
            tuned = self._run(name, plan.choice, inside, plan.inner).go()
        except NotTunedError as error:
            return impossible._replace(warnings=(f"{name}: {error}",))
        assert tuned.first is not None and tuned.best is not None
        return _Answer(
            logits=logits,
            first=tuned.first,
            best=tuned.best,
            epochs=tuned.epochs,
            is_better=better(
                tuned.first, tuned.best, search.targets_of(plan.inner, search.balanced)
            ),
            curve=tuned.curve,
            warnings=tuned.warnings,
        )

    def _run(
        self,
        name: str,
        choice: Choice,
        rows: np.ndarray,
        judged: np.ndarray | None = None,
        length: int | None = None,
    ) -> Run:
        search, best = self.search, choice.best

        def solve(rows: np.ndarray, features: np.ndarray) -> Head:
            return search.fit_features(best, rows, features)

        head = self.setup.processes.from_first(lambda: search.fit_rows(best, rows))
        start = Start(best.specs(search.table), rows, head, choice.calibration, solve)
        return Run(self.setup, name, start, judged, length)

    def verdict(self, answers: Sequence[_Answer]) -> tuple[dict[str, Any], OutOfFold]:
        """Return the comparison on the tested clips, and the fine-tuned predictions."""
        frozen, solution = self.frozen.out_of_fold, self.frozen.solution
        logits = solution.logits.copy()
        for plan, answer in zip(self.plans, answers, strict=True):
            logits[plan.test] = answer.logits
        tuned = OutOfFold.gather(
            replace(solution, logits=logits), self.clips, self.search.targets, self.embedded.scheme
        )
        difference = tuned.quality - frozen.quality
        tuned_folds = sum(answer.is_better for answer in answers)
        pays = 2 * tuned_folds > len(answers) and difference.mean() >= 0
        interval = (0.0, 0.0)  # if no fold was tuned, nothing differs
        if tuned_folds:
            interval = metrics.difference_interval(difference, frozen.cluster, self.setup.seed)
        return {
            "how": self.setup.how,
            "recipe": asdict(self.setup.recipe),
            "frozen": float(frozen.quality.mean()),
            "frozen_headline": (self.frozen.estimate.headline or {}).get("value"),
            "fine_tuned": float(tuned.quality.mean()),
            "difference": float(difference.mean()),
            "ci95": list(interval),
            "use": TUNED if pays else FROZEN,
            "folds": [
                {
                    "fold": self.names[k],
                    "epochs": answer.epochs,
                    "frozen": float(frozen.quality[np.isin(frozen.rows, plan.test)].mean()),
                    "fine_tuned": float(tuned.quality[np.isin(tuned.rows, plan.test)].mean()),
                    "use": TUNED if answer.is_better else FROZEN,
                }
                for k, (plan, answer) in enumerate(zip(self.plans, answers, strict=True))
            ],
            "course": course_of([answer.curve for answer in answers]),
        }, tuned

    def deploy(self, answers: Sequence[_Answer]) -> tuple[Tuned, Calibration]:
        """Tune on all clips outside a test split, for the median length of good rehearsals."""
        solution, held_out = self.frozen.solution, self.embedded.scheme.held_out
        rows = np.arange(len(self.clips)) if held_out is None else solution.plans[0].rows
        paid = [k for k, answer in enumerate(answers) if answer.is_better]
        length = max(1, round(float(np.median([answers[k].epochs for k in paid]))))
        run = self._run("all clips", solution.chosen, rows, length=length)
        inner = np.concatenate([solution.plans[k].inner for k in paid])
        best = np.concatenate([answers[k].best for k in paid])
        targets = self.search.targets_of(inner, self.search.balanced)
        return run.go(), Calibration.fit(best, targets)
