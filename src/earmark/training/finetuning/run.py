"""One fine-tuning: from a fitted head over frozen networks to the epoch that answers best."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from earmark.backbones.base import Backbone
from earmark.classifier.features import compute_features
from earmark.classifier.head import Head
from earmark.embeddings.embedding import embed
from earmark.errors import DataError
from earmark.training.finetuning import augment, waveforms
from earmark.training.finetuning.batches import Minibatch, varied
from earmark.training.finetuning.context import Context, Start, Tuned
from earmark.training.finetuning.judging import validation_loss
from earmark.training.finetuning.model import Tunable
from earmark.training.finetuning.optimiser import Optimiser
from earmark.training.finetuning.parameters import NotTunedError, states, tunable
from earmark.training.finetuning.recipe import LOOKS, epochs, rate

SAVED_EVERY_S = 60.0
MOST_BAD = 20  # steps in a row whose slopes are no numbers, before a run gives up


class Run:
    """One fine-tuning, from ``start`` on its rows, judged on the rows ``judged`` if there are any.

    ``length`` is how many epochs it has, else as many as the recipe says, or its patience lets it.
    What it does is decided by the seed, the epoch and the step alone: so it goes on from a
    checkpoint as if nothing had happened, in any number of processes.
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
        recipe, workers = setup.recipe, setup.workers
        networks = [copy.deepcopy(network) for network in setup.networks]
        for network, layers in zip(networks, start.reading.layers, strict=True):
            network.restrict_to_layers(layers)
            network.device = workers.device
        self.model = Tunable(networks, start.reading, start.head, start.calibration)
        self.model.eval().to(workers.device)
        self.depths = [
            tunable(network, setup.how) if layers else {}
            for network, layers in zip(networks, start.reading.layers, strict=True)
        ]
        for network in networks:
            if recipe.checkpointing:
                network.save_memory()
        self.networks = networks
        self.parameters, rates = self._parameters()
        self.optimiser = Optimiser(self.parameters, rates, recipe)
        self.epochs = length or epochs(recipe, len(self.rows))
        self.period = math.ceil(self.epochs / LOOKS)
        self.curve: list[dict[str, float]] = []
        self.ends: list[Tensor] = []  # sums over the last epochs before a look
        self.summed = 0
        self.best: list[Tensor] = [p.detach().clone() for p in self.parameters]
        self.best_epoch = 0
        self.first: np.ndarray | None = None
        self.best_logits: np.ndarray | None = None
        self.least = np.inf
        self.epoch = self.step = self.bad = self.waited = 0
        self.losses: list[float] = []
        self.warnings: list[str] = []
        self.saved = time.monotonic()

    def go(self) -> Tuned:
        """Run, or go on where a killed run stopped.

        NotTunedError where nothing comes of a run that is not judged.
        """
        with self.setup.workers.side_by_side() as together:
            if not self._resume() and self.judged is not None:
                self.first = self.best_logits = self.answer(self.judged)
                self.curve.append({"epoch": 0, **self._judge(self.first)})
                self.least = self.curve[0]["validation"]
            while not self._is_over() and self.epoch < self.epochs:
                self._one_epoch(together)
        if self.judged is None and not self.best_epoch:
            raise NotTunedError(self.warnings.pop())
        self._write(self.best)
        self.head = self.best_head
        weights = tuple(
            {name: value.cpu().numpy() for name, value in states(network, depth).items()}
            if depth
            else {}
            for network, depth in zip(self.networks, self.depths, strict=True)
        )
        return Tuned(
            self.head,
            weights,
            tuple(self.curve),
            self.best_epoch,
            self.first,
            self.best_logits,
            tuple(self.warnings),
        )

    def answer(self, rows: np.ndarray) -> np.ndarray:
        """Return logits (M, K) of clips."""
        return self.setup.workers.told(lambda: self.head.logits(self._features(rows)))

    def _features(self, rows: np.ndarray) -> np.ndarray:
        """Return (M, D) of clips as they are, by the engine that answers in use."""
        clips, options = [self.setup.sounds.clips[row] for row in rows], self.setup.options
        matrices = []
        for network in self.networks:
            if not network.info.layers:  # nothing is read of it
                matrices.append(np.zeros((len(rows), 0), np.float32))
                continue
            network.engine = network.compute
            heard = embed(clips, network, None, options=options)
            if heard.failures:
                failed = heard.failures[0]
                raise DataError(
                    f"{failed.path} could be read before fine-tuning, and now cannot:"
                    f" {failed.reason.rstrip('.')}. Bring it back and run the same command again."
                )
            matrices.append(heard.matrix)
        infos = [network.info for network in self.networks]
        return compute_features(infos, matrices, self.model.reading)

    def _parameters(self) -> tuple[list[Tensor], list[float]]:
        """Return what is tuned, and the rate of each."""
        recipe = self.setup.recipe
        found: list[Tensor] = list(self.model.head)
        base = rate(recipe, len(self.rows))
        rates = [base * recipe.head_rate] * len(found)
        for network, depths in zip(self.networks, self.depths, strict=True):
            held = dict(network.named_parameters())
            found += [held[name] for name in depths]
            rates += [base * network.rate * recipe.decay**depth for depth in depths.values()]
        return found, rates

    def _one_epoch(self, together: Callable[..., Any]) -> None:
        setup, recipe = self.setup, self.setup.recipe
        rng = np.random.default_rng([setup.seed, self.epoch])
        of = setup.targets.onehot
        batches = waveforms.plan(self.rows, setup.sounds.seconds, of, recipe, rng)
        begun, done = time.perf_counter(), 0
        for number, batch in enumerate(batches):
            if number < self.step or self.bad >= MOST_BAD:  # done before, or nothing to gain
                continue
            progress = (self.epoch + (number + 0.5) / len(batches)) / self.epochs
            self._one_step(batch, progress, together)
            self.step, done = number + 1, done + len(batch)
            self._tell(number + 1, len(batches), done / (time.perf_counter() - begun))
            if time.monotonic() - self.saved > SAVED_EVERY_S:
                self._save()
        self._end_epoch(time.perf_counter() - begun)

    def _end_epoch(self, seconds: float) -> None:
        """Look, at some epochs' ends, what the average of the last ones is worth."""
        self.epoch, self.step = self.epoch + 1, 0
        row = {"epoch": self.epoch, "loss": float(np.mean(self.losses or [np.nan]))}
        self.losses = []
        left = self.epochs - self.epoch
        if self.judged is not None:
            left = min(left, -self.epoch % self.period)
        if left < max(1, self.setup.recipe.average):
            now = [p.detach().clone() for p in self.parameters]
            ends = zip(self.ends, now, strict=True)
            self.ends = [a + b for a, b in ends] if self.ends else now
            self.summed += 1
            if left == 0:
                self._write([end / self.summed for end in self.ends])
                row |= self._look()
                self._write(now)
                self.ends, self.summed = [], 0
        self.curve.append(row | {"seconds": seconds})
        self._save()

    def _one_step(self, batch: np.ndarray, progress: float, together: Callable[..., Any]) -> None:
        slices = [s for part in self._parts(batch) for s in self._slices(part, len(batch))]
        slices = slices[self.setup.workers.rank :: self.setup.workers.count]
        total, slopes = 0.0, list[Tensor]()
        for loss, found in together(lambda s: self._slope(s, len(batch)), slices):
            total += loss
            if slopes:
                for k in reversed(range(len(slopes))):  # one by one, for less memory
                    slopes[k] = slopes[k] + found.pop()
            else:
                slopes = found
        slopes = slopes or [torch.zeros_like(p) for p in self.parameters]
        loss_at = torch.tensor(total, device=slopes[0].device)
        loss_at, *slopes = self.setup.workers.total([loss_at, *slopes])
        fine = bool(torch.isfinite(loss_at)) and self.optimiser.step(slopes, progress)
        if fine:
            self.losses.append(float(loss_at))
        self.bad = 0 if fine else self.bad + 1

    def _parts(self, batch: np.ndarray) -> list[Minibatch]:
        """Read and vary the clips of a batch, those of like length together."""
        setup, found = self.setup, []
        lengths = np.minimum(setup.sounds.seconds, setup.recipe.crop_s or np.inf)
        for number, rows in enumerate(waveforms.parts(batch, lengths)):
            rng = np.random.default_rng([setup.seed, self.epoch, self.step, number])
            part = varied(
                setup.sounds,
                rows,
                setup.targets.onehot,
                self.rows,
                len(self.model.mean),
                setup.recipe,
                rng,
            )
            if part is not None:
                found.append(part)
        return found

    def _slices(self, part: Minibatch, clips: int) -> list[Minibatch]:
        """Cut a part of a batch of ``clips`` so that all hands have about the same to do."""
        workers = self.setup.workers
        hands = workers.count * workers.threads * max(1, self.setup.recipe.accumulate)
        count = max(1, min(len(part.targets), math.ceil(hands * len(part.targets) / clips - 0.25)))
        return [part.every(first, count) for first in range(count)]

    def _slope(self, part: Minibatch, clips: int) -> tuple[float, list[Tensor]]:
        """Return the loss of some clips, as their share of a batch, and its slopes."""
        setup, recipe = self.setup, self.setup.recipe
        heard = waveforms.heard_by(self.networks, part.waves)
        for network in self.networks:
            network.engine = self._engine(network)
        augment.here.masks = part.masks
        factors = None
        if part.factors is not None:
            factors = torch.from_numpy(part.factors).to(setup.workers.device)
        with torch.enable_grad():
            logits = self.model(heard, len(part.targets), factors)
            of = torch.from_numpy(part.targets).to(logits)
            if setup.targets.is_single:
                of = of * (1 - recipe.smoothing) + recipe.smoothing / of.shape[1]
                loss = F.cross_entropy(logits, of, reduction="sum")
            else:
                loss = F.binary_cross_entropy_with_logits(logits, of, reduction="sum")
                loss = loss / of.shape[1]
            slopes = torch.autograd.grad(loss / clips, self.parameters)
        return float(loss.detach()) / clips, list(slopes)

    def _engine(self, network: Backbone) -> Any:
        recipe, workers = self.setup.recipe, self.setup.workers

        def compute(x: Tensor, layers: Any) -> Any:
            x = augment.mask(x, network.time_axis, network.band_axis, recipe)
            with workers.mixed():
                return iter(list(network.compute(x, layers)))

        return compute

    def _look(self) -> dict[str, float]:
        """Solve the head anew for what the networks hear now; keep both if they are the best.

        Unjudged, the last are. Where no head can be solved, the run ends. Clips are heard as they
        are, by the engine that answers in use. The head that is trained along gives the networks
        their slopes and is not kept: it answers new speakers worse (docs/finetuning.md).
        """
        solved = self.setup.workers.told(self._solved)
        if solved is None:
            self.bad = MOST_BAD
            return {}
        head, logits, row = solved
        if row.get("validation", -np.inf) < self.least:
            self.best = [p.detach().clone() for p in self.parameters]
            self.best_head, self.best_epoch, self.best_logits = head, self.epoch, logits
            self.least, self.waited = row.get("validation", np.inf), 0
        else:
            self.waited += 1
        return row

    def _solved(self) -> tuple[Head, np.ndarray | None, dict[str, float]] | None:
        """Return a new head, the logits (M, K) of the validation clips and what they are worth.

        None where the weights have grown so large that no head can be solved.
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
            "accuracy": float((logits.argmax(1) == targets.onehot.argmax(1)).mean()),
        }

    def _is_over(self) -> bool:
        if self.bad >= MOST_BAD:
            self.warnings.append(
                f"{self.name} was ended in epoch {self.epoch}, as weights or slopes grew beyond all"
                " bounds; a lower rate may help (--recipe rate=...)."
            )
            return True
        return self.judged is not None and 0 < self.setup.recipe.patience <= self.waited

    def _write(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)

    def _tell(self, step: int, steps: int, speed: float) -> None:
        observer = self.setup.observer
        if observer is None or self.setup.workers.rank:
            return
        last: dict[str, float] = next((r for r in self.curve[::-1] if "validation" in r), {})
        observer.advance(
            self.name,
            {
                "epoch": self.epoch + step / steps,
                "epochs": self.epochs,
                "loss": float(np.mean(self.losses[-20:] or [np.nan])),
                "validation": last.get("validation", float("nan")),
                "clips_per_s": speed,
                "left_s": (self.epochs - self.epoch - step / steps) * len(self.rows) / speed,
            },
        )

    def _save(self) -> None:
        """Keep all that the rest of the run depends on."""
        self.saved = time.monotonic()
        tensors = self.optimiser.state()
        for name, held in (("best", self.best), ("end", self.ends)):
            tensors |= {f"{name}.{number}": value for number, value in enumerate(held)}
        for name, logits in (("first", self.first), ("best_logits", self.best_logits)):
            if logits is not None:
                tensors[name] = torch.from_numpy(logits.copy())
        said = {
            name: getattr(self, name)
            for name in (
                "epoch",
                "step",
                "best_epoch",
                "curve",
                "losses",
                "bad",
                "warnings",
                "waited",
                "least",
                "summed",
            )
        }
        for key, value in self.best_head.tensors.items():
            tensors[f"head.{key}"] = torch.from_numpy(value.copy())
        self.setup.checkpoints.save(self.name, said, tensors)

    def _resume(self) -> bool:
        """Take up the last checkpoint, if there is one."""
        found = self.setup.checkpoints.load(self.name)
        if found is None:
            return False
        said, tensors = found
        count = range(len(self.parameters))
        device = self.setup.workers.device
        if said["summed"]:
            self.ends = [tensors[f"end.{n}"].to(device) for n in count]
        self.best = [tensors[f"best.{n}"].to(device) for n in count]
        if "first" in tensors:
            self.first, self.best_logits = (tensors[n].numpy() for n in ("first", "best_logits"))
        for name, value in said.items():
            setattr(self, name, value)
        held = {k: v.numpy() for k, v in tensors.items() if k.startswith("head.")}
        held = {key.removeprefix("head."): value for key, value in held.items()}
        self.best_head = Head(self.head.kind, held)
        self.optimiser.restore(tensors)
        return True
