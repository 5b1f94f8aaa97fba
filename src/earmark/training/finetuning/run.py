"""One run of fine-tuning, from a fitted head on frozen networks to the best epoch."""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
import time
from collections.abc import Collection, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from earmark.backbones.base import Activations, Backbone, Engine
from earmark.classifier.features import compute_features, layers_read
from earmark.classifier.head import Head
from earmark.embeddings.embedding import embed
from earmark.errors import DataError
from earmark.training import metrics
from earmark.training.finetuning import waveforms
from earmark.training.finetuning.batches import Minibatch, varied
from earmark.training.finetuning.context import Context, Start, Tuned
from earmark.training.finetuning.judging import validation_loss
from earmark.training.finetuning.model import Tunable
from earmark.training.finetuning.optimiser import Optimiser
from earmark.training.finetuning.parameters import NotTunedError, states, tunable
from earmark.training.finetuning.processes import Map
from earmark.training.finetuning.recipe import epochs, rate

SAVED_EVERY_S = 60.0
MOST_BAD = 20  # a run ends after this many steps in a row whose gradients are not finite
LOOKS = 2  # about how often in a run the head is fitted again and judged
AVERAGED = 3  # epoch-end weights averaged before each evaluation
SMOOTHING = 0.05  # label smoothing


@dataclasses.dataclass
class State:
    """The progress of a run: its checkpoint without the arrays."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    least: float = sys.float_info.max  # lowest validation loss; JSON has no infinity
    waited: int = 0  # evaluations since the best epoch
    bad: int = 0  # steps in a row whose gradients are not finite
    summed: int = 0  # epochs whose weights are in Run.ends
    losses: list[float] = dataclasses.field(default_factory=list)  # of the steps of this epoch
    curve: list[dict[str, float]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)


class Run:
    """One run of fine-tuning, on the rows of ``start``, judged on the rows ``judged`` if any.

    It has ``length`` epochs, or as many as the recipe says, or fewer if its patience ends. Each
    step depends only on the seed, the epoch and the step. So a run resumes from a checkpoint as if
    nothing had happened, with any number of processes.
    """

    def __init__(
        self,
        setup: Context,
        name: str,
        start: Start,
        judged: np.ndarray | None = None,
        length: int | None = None,
    ) -> None:
        self.setup, self.name, self.start, self.judged = setup, name, start, judged
        self.rows, self.head, self.best_head = start.rows, start.head, start.head
        self.networks = [copy.deepcopy(network) for network in setup.networks]
        layers_of = layers_read(start.features)
        for network, layers in zip(self.networks, layers_of, strict=True):
            network.restrict_to_layers(layers)
            network.device = setup.processes.device
        self.model = Tunable(self.networks, start.features, start.head, start.calibration)
        self.model.eval().to(setup.processes.device)
        self.depths = [
            tunable(network, setup.how) if layers else {}
            for network, layers in zip(self.networks, layers_of, strict=True)
        ]
        if setup.recipe.checkpointing:
            for network in self.networks:
                network.save_memory()
        self.parameters, rates = self._parameters()
        self.optimiser = Optimiser(self.parameters, rates)
        self.epochs = length or epochs(setup.recipe, len(self.rows))
        self.period = math.ceil(self.epochs / LOOKS)
        self.state = State()
        self.ends: list[Tensor] = []  # sums of epoch-end weights before an evaluation
        self.best = self._weights()
        self.first: np.ndarray | None = None
        self.best_logits: np.ndarray | None = None
        self.saved = time.monotonic()

    def go(self) -> Tuned:
        """Run from the start, or from the checkpoint of a killed run.

        NotTunedError if a run without ``judged`` clips ends before its last epoch.
        """
        with self.setup.processes.side_by_side() as together:
            if not self._resume() and self.judged is not None:
                self.first = self.best_logits = self.answer(self.judged)
                self.state.curve.append({"epoch": 0, **self._judge(self.first)})
                self.state.least = self.state.curve[0]["validation"]
            while not self._is_over() and self.state.epoch < self.epochs:
                self._one_epoch(together)
        state = self.state
        if self.judged is None and not state.best_epoch:
            raise NotTunedError(state.warnings.pop())
        self._write(self.best)
        self.head = self.best_head
        return Tuned(
            head=self.head,
            weights=tuple(
                {name: value.cpu().numpy() for name, value in states(network, depth).items()}
                for network, depth in zip(self.networks, self.depths, strict=True)
            ),
            curve=tuple(state.curve),
            epochs=state.best_epoch,
            first=self.first,
            best=self.best_logits,
            warnings=tuple(state.warnings),
        )

    def answer(self, rows: np.ndarray) -> np.ndarray:
        """Return logits (M, K) of the clips ``rows``."""
        return self.setup.processes.from_first(lambda: self.head.logits(self._features(rows)))

    def _features(self, rows: np.ndarray) -> np.ndarray:
        """Return features (M, D) of clips without augmentation, computed as for predictions."""
        clips, options = [self.setup.sounds.clips[row] for row in rows], self.setup.options
        matrices = []
        for network in self.networks:
            if not network.info.layers:  # none of its layers is in use
                matrices.append(np.zeros((len(rows), 0), np.float32))
                continue
            network.engine = network.compute
            embeddings = embed(clips, network, None, options=options)
            if embeddings.failures:
                failure = embeddings.failures[0]
                raise DataError(
                    f"{failure.path} could be read before fine-tuning, but cannot be read now:"
                    f" {failure.reason.rstrip('.')}. Restore it and run the same command again."
                )
            matrices.append(embeddings.matrix[:])
        infos = [network.info for network in self.networks]
        return compute_features(infos, matrices, self.model.specs)

    def _parameters(self) -> tuple[list[Tensor], list[float]]:
        """Return the tuned parameters, and the rate of each."""
        parameters: list[Tensor] = list(self.model.head)
        base = rate(self.setup.recipe, len(self.rows))
        rates = [base] * len(parameters)
        for network, depths in zip(self.networks, self.depths, strict=True):
            by_name = dict(network.named_parameters())
            parameters += [by_name[name] for name in depths]
            decay = self.setup.recipe.decay
            rates += [base * network.rate * decay**depth for depth in depths.values()]
        return parameters, rates

    def _one_epoch(self, together: Map) -> None:
        """Run an epoch, or the rest of it after a checkpoint."""
        setup, state = self.setup, self.state
        rng = np.random.default_rng([setup.seed, state.epoch])
        onehot, seconds = setup.targets.onehot, setup.sounds.seconds
        batches = waveforms.plan(self.rows, seconds, onehot, setup.recipe, rng)
        start, n_clips = time.perf_counter(), 0
        for number, batch in enumerate(batches):
            if number < state.step or state.bad >= MOST_BAD:  # done before, or diverged
                continue
            progress = (state.epoch + (number + 0.5) / len(batches)) / self.epochs
            self._one_step(batch, progress, together)
            state.step, n_clips = number + 1, n_clips + len(batch)
            self._tell(state.step / len(batches), n_clips / (time.perf_counter() - start))
            if time.monotonic() - self.saved > max(SAVED_EVERY_S, setup.checkpoints.pause_s):
                self._save()
        self._end_epoch(time.perf_counter() - start)

    def _end_epoch(self, seconds: float) -> None:
        """Record an epoch; before some, evaluate the average of the last epoch-end weights."""
        state = self.state
        state.epoch, state.step = state.epoch + 1, 0
        row: dict[str, float] = {"epoch": state.epoch}
        if state.losses:
            row["loss"] = float(np.mean(state.losses))
        state.losses = []
        left = self.epochs - state.epoch
        if self.judged is not None:
            left = min(left, -state.epoch % self.period)
        if left < AVERAGED:
            now = self._weights()
            self.ends = [a + b for a, b in zip(self.ends, now, strict=True)] if self.ends else now
            state.summed += 1
            if left == 0:
                self._write([end / state.summed for end in self.ends])
                row |= self._look()
                self._write(now)
                self.ends, state.summed = [], 0
        state.curve.append(row | {"seconds": seconds})
        self._save()

    def _one_step(self, batch: np.ndarray, progress: float, together: Map) -> None:
        """Take a step on the clips ``batch``; ``together`` computes its slices in parallel."""
        slices = [s for part in self._parts(batch) for s in self._slices(part, len(batch))]
        slices = slices[self.setup.processes.rank :: self.setup.processes.count]
        total, slopes = 0.0, list[Tensor]()
        for loss, own in together(lambda s: self._slope(s, len(batch)), slices):
            total += loss
            if not slopes:
                slopes = own
                continue
            for k in reversed(range(len(slopes))):  # one by one, for less memory
                slopes[k] = slopes[k] + own.pop()
        slopes = slopes or [torch.zeros_like(p) for p in self.parameters]
        loss_at = torch.tensor(total, device=slopes[0].device)
        loss_at, *slopes = self.setup.processes.total([loss_at, *slopes])
        fine = bool(torch.isfinite(loss_at)) and self.optimiser.step(slopes, progress)
        if fine:
            self.state.losses.append(float(loss_at))
        self.state.bad = 0 if fine else self.state.bad + 1

    def _parts(self, batch: np.ndarray) -> list[Minibatch]:
        """Read and augment the clips of a batch, in parts of similar length."""
        setup, state = self.setup, self.state
        lengths = np.minimum(setup.sounds.seconds, setup.recipe.crop_s or np.inf)
        parts = [
            varied(
                setup.sounds,
                rows,
                setup.targets.onehot,
                others=self.rows,
                n_features=len(self.model.mean),
                recipe=setup.recipe,
                rng=np.random.default_rng([setup.seed, state.epoch, state.step, number]),
            )
            for number, rows in enumerate(waveforms.parts(batch, lengths))
        ]
        return [part for part in parts if part is not None]

    def _slices(self, part: Minibatch, n_clips: int) -> list[Minibatch]:
        """Cut a part of a batch of ``n_clips`` into slices that keep all cores busy."""
        processes, size = self.setup.processes, len(part.targets)
        cores = processes.count * processes.threads * max(1, self.setup.recipe.accumulate)
        count = max(1, min(size, math.ceil(cores * size / n_clips - 0.25)))
        return [part.every(first, count) for first in range(count)]

    def _slope(self, part: Minibatch, n_clips: int) -> tuple[float, list[Tensor]]:
        """Return the loss of some clips, divided by the size of the batch, and its gradients."""
        batches = waveforms.window_batches(self.networks, part.waves)
        for network in self.networks:
            network.engine = self._engine(network)
        factors = None
        if part.factors is not None:
            factors = torch.from_numpy(part.factors).to(self.setup.processes.device)
        with torch.enable_grad():
            logits = self.model(batches, len(part.targets), factors)
            onehot = torch.from_numpy(part.targets).to(logits)
            if self.setup.targets.is_single:
                onehot = onehot * (1 - SMOOTHING) + SMOOTHING / onehot.shape[1]
                loss = F.cross_entropy(logits, onehot, reduction="sum")
            else:
                loss = F.binary_cross_entropy_with_logits(logits, onehot, reduction="sum")
                loss = loss / onehot.shape[1]
            slopes = torch.autograd.grad(loss / n_clips, self.parameters)
        return float(loss.detach()) / n_clips, list(slopes)

    def _engine(self, network: Backbone) -> Engine:
        """Return an engine that computes ``network`` in the chosen precision."""
        processes = self.setup.processes

        def compute(x: Tensor, layers: Collection[str]) -> Activations:
            with processes.accelerator.autocast():
                return iter(list(network.compute(x, layers)))

        return compute

    def _look(self) -> dict[str, float]:
        """Fit the head again to the features of the tuned networks; keep both if they are best.

        In a run without ``judged`` clips, the last are the best. If no head can be fitted, the run
        ends. The head that is trained along only provides gradients. It is not kept, because it
        classifies new speakers worse (docs/finetuning.md).
        """
        state, solution = self.state, self.setup.processes.from_first(self._solved)
        if solution is None:
            state.bad = MOST_BAD
            return {}
        head, logits, row = solution
        if row.get("validation", -np.inf) < state.least:
            self.best, self.best_head, self.best_logits = self._weights(), head, logits
            state.best_epoch, state.waited = state.epoch, 0
            state.least = row.get("validation", sys.float_info.max)
        else:
            state.waited += 1
        return row

    def _solved(self) -> tuple[Head, np.ndarray | None, dict[str, float]] | None:
        """Return a new head, the logits (M, K) of the validation clips, and their figures.

        None if the weights have diverged so far that no head can be fitted.
        """
        features = self._features(self.rows)
        if not np.isfinite(features).all():
            return None
        try:
            head = self.start.solve(self.rows, features)
        except (np.linalg.LinAlgError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
            return None
        if self.judged is None:
            return head, None, {}
        logits = head.logits(self._features(self.judged))
        return (head, logits, self._judge(logits)) if np.isfinite(logits).all() else None

    def _judge(self, logits: np.ndarray) -> dict[str, float]:
        """Return the loss and the accuracy of the validation clips."""
        assert self.judged is not None
        targets = self.setup.targets.rows(self.judged)
        return {
            "validation": validation_loss(logits, targets),
            "accuracy": float(metrics.quality(logits, targets.onehot, targets.is_single).mean()),
        }

    def _is_over(self) -> bool:
        """Return whether the run has diverged or its patience has ended."""
        if self.state.bad >= MOST_BAD:
            self.state.warnings.append(
                f"{self.name} was stopped in epoch {self.state.epoch}, because weights or gradients"
                " diverged; a lower rate may help (--recipe rate=...)."
            )
            return True
        return self.judged is not None and 0 < self.setup.recipe.patience <= self.state.waited

    def _weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def _write(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)

    def _tell(self, share: float, clips_per_s: float) -> None:
        """Report progress to the observer; ``share`` of the current epoch is done."""
        observer, state = self.setup.observer, self.state
        if observer is None or self.setup.processes.rank:
            return
        losses = [row["validation"] for row in state.curve if "validation" in row]
        epoch = state.epoch + share
        figures = {
            "epoch": epoch,
            "epochs": self.epochs,
            "loss": float(np.mean(state.losses[-20:] or [np.nan])),
            "validation": losses[-1] if losses else float("nan"),
            "clips_per_s": clips_per_s,
            "left_s": (self.epochs - epoch) * len(self.rows) / clips_per_s,
        }
        observer.advance(self.name, figures)

    def _save(self) -> None:
        """Write a checkpoint of everything that the rest of the run depends on."""
        tensors = self.optimiser.state()
        for name, values in (("best", self.best), ("end", self.ends)):
            tensors |= {f"{name}.{number}": value for number, value in enumerate(values)}
        arrays = {f"head.{name}": value for name, value in self.best_head.tensors.items()}
        if self.first is not None and self.best_logits is not None:
            arrays |= {"first": self.first, "best_logits": self.best_logits}
        tensors |= {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}
        self.setup.checkpoints.save(self.name, dataclasses.asdict(self.state), tensors)
        self.saved = time.monotonic()

    def _resume(self) -> bool:
        """Restore the last checkpoint; return whether there was one."""
        checkpoints, processes = self.setup.checkpoints, self.setup.processes
        checkpoint = processes.state_from_first(lambda: checkpoints.load(self.name))
        if checkpoint is None:
            return False
        state, tensors = checkpoint
        self.state = State(**state)
        count, device = range(len(self.parameters)), processes.device
        if self.state.summed:
            self.ends = [tensors[f"end.{n}"].to(device) for n in count]
        self.best = [tensors[f"best.{n}"].to(device) for n in count]
        if "first" in tensors:
            self.first, self.best_logits = (tensors[n].numpy() for n in ("first", "best_logits"))
        prefix = "head."
        head = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        self.best_head = Head(self.head.kind, {name: t.numpy() for name, t in head.items()})
        self.optimiser.restore(tensors)
        return True
