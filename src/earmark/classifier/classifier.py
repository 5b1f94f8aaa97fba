"""A classifier: backbones, layers, head, labels and calibration, in one file that runs no code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.options import AudioOptions
from earmark.classifier.calibration import Calibration
from earmark.classifier.decision import DecisionRule
from earmark.classifier.features import FeatureSpec
from earmark.classifier.file import READ, SCHEMA, TUNED, digest_of, read_parts, tuned_tensors
from earmark.classifier.head import KINDS, Head
from earmark.data.clip import LIST_SEPARATOR
from earmark.errors import ModelError
from earmark.system.files import write_whole
from earmark.version import __version__

UNKNOWN = "unknown"  # how a clip is called that is like nothing trained on


@dataclass(frozen=True)
class BackboneUse:
    """A backbone inside a classifier: which one exactly, and the layers that are read."""

    name: str
    fingerprint: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """The answer for one recording: ``scores`` by class, best first; ``error`` instead of both.

    ``label`` is the best class, and ``labels`` are all that are heard: one, or with several classes
    a clip any number. Where ``is_unknown``, nothing like the recording was trained on: ``label`` is
    'unknown', ``labels`` are none, and ``nearest`` still is the best class. ``plausible`` are the
    classes of the set that was asked for, best first, perhaps none of them. ``warnings`` say what
    of the recording was not read, or not as it is.
    """

    path: str
    label: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    is_unknown: bool = False
    error: str | None = None
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    plausible: tuple[str, ...] | None = None

    @property
    def answer(self) -> str:
        """The classes in one word: 'unknown', or those of ``labels`` with ';' between them."""
        return UNKNOWN if self.is_unknown else LIST_SEPARATOR.join(self.labels)

    @property
    def nearest(self) -> str | None:
        """The best class, whether the recording is like it or 'unknown'."""
        return next(iter(self.scores), None)

    @property
    def score(self) -> float:
        """The score of the nearest class."""
        return next(iter(self.scores.values()), 0.0)


@dataclass(frozen=True)
class Classifier:
    """What ``train`` makes and ``predict`` uses. ``estimate`` and ``provenance`` travel with it.

    ``tuned`` has, for each backbone, what fine-tuning changed of it: see ``tuned.py``.
    """

    labels: tuple[str, ...]
    backbones: tuple[BackboneUse, ...]
    head: Head
    calibration: Calibration
    pooling: dict[str, bool]  # the options of Reading, besides its layers
    limits: DecisionRule
    estimate: dict[str, Any]
    provenance: dict[str, Any]
    tuned: tuple[dict[str, np.ndarray], ...] = ()

    @property
    def audio(self) -> AudioOptions:
        """How recordings are read: as those were that it was trained on."""
        return AudioOptions(**self.provenance.get("audio", {}))

    @property
    def separator(self) -> str | None:
        """What stood between the classes of a clip in training; None for one class a clip."""
        given = self.provenance.get("source", {}).get("separator")
        return given or (None if self.calibration.is_single else LIST_SEPARATOR)

    @property
    def reading(self) -> FeatureSpec:
        """Which layers are read, and what of their statistics."""
        return FeatureSpec(tuple(use.layers for use in self.backbones), **self.pooling)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated scores (N, K) for features (N, D) of the chosen layers."""
        return self.calibration.scores(self.head.logits(features))

    def predict(
        self, paths: Iterable[str | Path], coverage: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a prediction for each recording, in order; one that cannot be read has an error.

        With a ``coverage``, such as 0.9, each has the set of ``plausible`` classes as well.
        """
        from earmark.data.clip import Clip

        return self.predict_clips((Clip(Path(path)) for path in paths), coverage=coverage)

    def predict_clips(
        self, clips: Iterable[Any], store: Any = None, coverage: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a prediction for each clip, in order, using ``store`` where there is one."""
        from earmark.classifier.features import compute_features
        from earmark.embeddings.pipeline import outcomes

        most = None if coverage is None else self.limits.most_disbelief(coverage)
        networks = self.networks()
        if store is None:  # which has all layers, for whatever is asked next
            for network, use in zip(networks, self.backbones, strict=True):
                network.keep(use.layers)
        infos, reading = [network.info for network in networks], self.reading
        streams = [
            outcomes(source, network, store, options=self.audio)
            for source, network in zip(_copies(clips, len(networks)), networks, strict=True)
        ]
        for heard in zip(*streams, strict=True):
            path = str(heard[0].clip.path)
            failed = next((o for o in heard if o.error is not None), None)
            if failed is not None:
                yield Prediction(path, error=failed.failure.reason)
                continue
            vectors = [o.record.vector[None] for o in heard if o.record]
            heard_as = compute_features(infos, vectors, reading)
            warnings = tuple(dict.fromkeys(text for o in heard for text in o.warnings))
            yield self._answer(path, heard_as, heard[0].record.seconds, warnings, most)

    def _answer(
        self,
        path: str,
        features: np.ndarray,
        seconds: float,
        warnings: tuple[str, ...],
        most: float | None,
    ) -> Prediction:
        """Make of features (1, D) what is told of a recording."""
        scores = self.scores(features)[0]
        order = np.argsort(-scores, kind="stable")
        ranked = {self.labels[k]: float(scores[k]) for k in order}
        is_unknown = self._is_unknown(features)
        return Prediction(
            path,
            UNKNOWN if is_unknown else self.labels[order[0]],
            ranked,
            seconds,
            is_unknown,
            warnings=warnings,
            labels=() if is_unknown else self._labels(ranked),
            plausible=None
            if most is None
            else tuple(label for label, score in ranked.items() if 1 - score <= most),
        )

    def _labels(self, ranked: Mapping[str, float]) -> tuple[str, ...]:
        """Return the best class, or all that reach their thresholds."""
        if not self.limits.thresholds:
            return tuple(ranked)[:1]
        least = dict(zip(self.labels, self.limits.thresholds, strict=True))
        return tuple(label for label, score in ranked.items() if score >= least[label])

    def _is_unknown(self, features: np.ndarray) -> bool:
        below = self.limits.unknown_below
        return below is not None and float(self.head.familiarity(features)[0]) < below

    def networks(self) -> list[Any]:
        """Create the backbones, make sure that they are the ones trained with, and tune them."""
        from earmark import backbones
        from earmark.backbones import tuned_weights

        networks = []
        for number, use in enumerate(self.backbones):
            network = backbones.load_backbone(use.name, precision=use.fingerprint.rsplit("/", 1)[1])
            if network.fingerprint != use.fingerprint:
                raise ModelError(
                    f"this classifier was trained with backbone {use.fingerprint}, and here is"
                    f" {network.fingerprint}; install the earmark and weights it was made with, or"
                    " train it again."
                )
            if self.tuned:
                tuned_weights.put_on(network, self.tuned[number])
            networks.append(network)
        return networks

    def save(self, path: str | Path) -> None:
        """Write the classifier to one file, atomically; equal classifiers give equal bytes."""
        from safetensors.numpy import save

        held = dict(self.head.tensors)
        for number, changed in enumerate(self.tuned):
            held |= {f"{TUNED}{number}.{name}": value for name, value in changed.items()}
        tensors = {k: np.ascontiguousarray(v) for k, v in sorted(held.items())}
        header = {
            "schema": SCHEMA,
            "labels": list(self.labels),
            "backbones": [asdict(use) for use in self.backbones],
            "head": self.head.kind,
            "calibration": asdict(self.calibration),
            "pooling": self.pooling,
            "limits": asdict(self.limits),
            "estimate": self.estimate,
            "provenance": self.provenance,
        }
        header["digest"] = digest_of(header, tensors)
        text = json.dumps(header, sort_keys=True, allow_nan=False)
        write_whole(Path(path), save(tensors, {"earmark": text}))

    @classmethod
    def load(cls, path: str | Path) -> Classifier:
        """Read a classifier; :class:`ModelError` says what is wrong with any other file."""
        path = Path(path)
        header, tensors = read_parts(path)
        if header.get("schema") not in READ:
            raise ModelError(
                f"{path} has schema {header.get('schema')!r} and this earmark"
                f" ({__version__}) reads {' and '.join(map(str, READ))}; update earmark, or"
                " train it again."
            )
        digest = header.pop("digest", None)
        if digest != digest_of(header, tensors):
            raise ModelError(
                f"{path} was changed after it was saved (its digest does not fit); get the file"
                " again from where it was made, or train it again."
            )
        try:
            return cls._from(header, tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{path} lacks a part of a classifier ({error}); train it again."
            ) from error

    @classmethod
    def _from(cls, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> Classifier:
        if header["head"] not in KINDS:
            raise ValueError(f"head {header['head']!r} is none of {', '.join(KINDS)}")
        AudioOptions(**header["provenance"].get("audio", {}))  # a newer earmark may know more
        uses = (
            BackboneUse(u["name"], u["fingerprint"], tuple(u["layers"]))
            for u in header["backbones"]
        )
        head = {name: value for name, value in tensors.items() if not name.startswith(TUNED)}
        return cls(
            tuple(header["labels"]),
            tuple(uses),
            Head(header["head"], head),
            Calibration(**header["calibration"]),
            header["pooling"],
            DecisionRule.from_json(header["limits"]),
            header["estimate"],
            header["provenance"],
            tuned_tensors(tensors, len(header["backbones"])),
        )


def _copies(items: Iterable[Any], count: int) -> Sequence[Iterable[Any]]:
    import itertools

    return itertools.tee(items, count)
