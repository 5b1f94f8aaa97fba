"""A loaded classifier that predicts from several threads."""

from __future__ import annotations

import collections
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from earmark.classifier.detector import DETECTS
from earmark.classifier.features import compute_features
from earmark.classifier.prediction import UNKNOWN, Prediction
from earmark.classifier.recordings import Recordings, clips_of, one_clip
from earmark.data.clip import Clip
from earmark.embeddings.stages import Embedded, Failure, Result
from earmark.errors import EarmarkError
from earmark.system import extras
from earmark.system.text import to_utf8

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone
    from earmark.classifier.classifier import Classifier
    from earmark.embeddings.store import Store
    from earmark.system.progress import Progress

SHARED = 4  # sessions that ``Classifier.predict`` keeps loaded
FRAMES: tuple[Literal["pandas", "polars", "pyarrow"], ...] = (
    "pandas",
    "polars",
    "pyarrow",
)  # the first one that is installed makes data frames


class Session:
    """A classifier with its networks loaded; several threads may use it, also after a fork.

    Use it as a context manager, or :meth:`close` it.

    Parameters
    ----------
    classifier : Classifier
        The classifier to load.
    store : Store, optional
        Where embeddings are read and saved. A session with a store belongs to one thread.

    Attributes
    ----------
    classifier : Classifier
    store : Store or None

    Raises
    ------
    ModelError
        A backbone here differs from the one that the classifier was trained with.
    BackboneError
        The weights of a backbone are missing.
    EarmarkError
        The classifier is a detector, which classifies no clips.

    Examples
    --------
    >>> import earmark
    >>> with earmark.load("mine.earmark").session() as session:
    ...     [prediction.label for prediction in session.predict(["new.wav", "whistle.wav"])]
    ['low', 'high']
    """

    def __init__(self, classifier: Classifier, store: Store | None = None) -> None:
        if classifier.detector is not None:
            raise EarmarkError(f"{DETECTS[:1].upper()}{DETECTS[1:]}")
        self.classifier, self.store = classifier, store
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._networks: list[Backbone] | None = self._load()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the networks; using a closed session raises EarmarkError."""
        self._networks = None

    def predict(
        self,
        recordings: Recordings,
        *,
        rate_hz: int | None = None,
        coverage: float | None = None,
    ) -> Prediction | list[Prediction]:
        """Classify one recording or several; see :meth:`Classifier.predict`."""
        clip = one_clip(recordings, rate_hz)
        if clip is None:
            return list(self.predict_iter(recordings, rate_hz=rate_hz, coverage=coverage))
        result = self._embed_one(clip)
        if isinstance(result, Failure):
            raise result.error
        return self._answer(result, self._most_nonconformity(coverage))

    def predict_iter(
        self,
        recordings: Recordings,
        *,
        rate_hz: int | None = None,
        coverage: float | None = None,
    ) -> Iterator[Prediction]:
        """Yield a prediction for each recording, in order, while later ones are being read.

        A recording that cannot be read gives a prediction with an ``error``.
        """
        yield from self.answers(clips_of(recordings, rate_hz), coverage)

    def answers(
        self,
        clips: Iterable[Clip],
        coverage: float | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Prediction]:
        """Yield a prediction for each clip, computed with so many threads or with all cores."""
        most = self._most_nonconformity(coverage)
        for result in self._embed_many(clips, threads, progress):
            if isinstance(result, Failure):
                clip = result.clip
                yield Prediction(result.path, error=result.reason, start=clip.start, end=clip.end)
            else:
                yield self._answer(result, most)

    def predict_proba(self, recordings: Recordings, *, rate_hz: int | None = None) -> np.ndarray:
        """Return the scores (N, K) of N recordings, one column per class of ``classifier.labels``.

        Raises AudioError for the first recording that cannot be read.
        """
        rows = []
        for result in self._embed_many(clips_of(recordings, rate_hz)):
            if isinstance(result, Failure):
                raise result.error
            rows.append(self.classifier.scores(self._features(result))[0])
        return np.array(rows).reshape(-1, len(self.classifier.labels))

    def predict_dataframe(
        self,
        recordings: Recordings,
        *,
        rate_hz: int | None = None,
        coverage: float | None = None,
    ) -> Any:
        """Return a data frame with one row per clip; see :meth:`Classifier.predict_dataframe`."""
        import narwhals as nw

        backend = extras.first_of(FRAMES, "a data frame")
        rows = list(self.predict_iter(recordings, rate_hz=rate_hz, coverage=coverage))
        columns: dict[str, list[Any]] = {
            "path": [to_utf8(p.path) for p in rows],
            "label": [to_utf8(p.label if p.labels or p.is_unknown else None) for p in rows],
            "score": [p.score if p.error is None else None for p in rows],
            "is_unknown": [p.is_unknown for p in rows],
            "seconds": [p.seconds if p.error is None else None for p in rows],
            "error": [to_utf8(p.error) for p in rows],
        }
        if coverage is not None:
            columns["plausible"] = [to_utf8(";".join(p.plausible or ())) for p in rows]
        for label in self.classifier.labels:
            columns[f"score_{to_utf8(label)}"] = [p.scores.get(label) for p in rows]
        return nw.from_dict(columns, backend=backend).to_native()

    @property
    def networks(self) -> Sequence[Backbone]:
        """The loaded networks, as they compute here."""
        return self._warm()

    def _load(self) -> list[Backbone]:
        """Load the networks; without a store, compute only the layers that the head reads."""
        networks = self.classifier.networks()
        if self.store is None:
            for network, use in zip(networks, self.classifier.backbones, strict=True):
                network.restrict_to_layers(use.layers)
        return networks

    def _warm(self) -> Sequence[Backbone]:
        """Return the networks; load them again in a forked process.

        Threads of OpenMP and of engines do not survive a fork, so a forked process uses one thread.
        """
        if self._networks is not None and self._process != os.getpid():
            import torch

            self._lock = threading.Lock()
            with self._lock:
                torch.set_num_threads(1)
                self._networks, self._process = self._load(), os.getpid()
        if self._networks is None:
            raise EarmarkError("the session is closed. Open another with classifier.session().")
        return self._networks

    def _embed_one(self, clip: Clip) -> _Vectors | Failure:
        """Embed a clip with every network, in the calling thread."""
        from earmark.embeddings.pipeline import embed_clip

        if self.store is not None:
            return next(self._embed_many([clip]))
        audio = self.classifier.audio
        return _join([embed_clip(clip, network, audio) for network in self._warm()])

    def _embed_many(
        self,
        clips: Iterable[Clip],
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[_Vectors | Failure]:
        """Yield the embeddings of each clip by every network, in order."""
        from earmark.embeddings.pipeline import embed_stream

        networks, audio = self._warm(), self.classifier.audio
        streams = [
            embed_stream(
                copies,
                network,
                self.store,
                options=audio,
                threads=threads,
                progress=None if number else progress,
            )
            for number, (copies, network) in enumerate(
                zip(itertools.tee(clips, len(networks)), networks, strict=True)
            )
        ]
        for results in zip(*streams, strict=True):
            yield _join(results)

    def _features(self, vectors: _Vectors) -> np.ndarray:
        """Return the head's features (1, D) of one clip."""
        infos = [network.info for network in self._warm()]
        matrices = [result.vector[None] for result in vectors]
        return compute_features(infos, matrices, self.classifier.features)

    def _answer(self, vectors: _Vectors, most: float | None) -> Prediction:
        classifier, first = self.classifier, vectors[0]
        features = self._features(vectors)
        scores = classifier.scores(features)[0]
        order = np.argsort(-scores, kind="stable")
        ranked = {classifier.labels[k]: float(scores[k]) for k in order}
        is_unknown, known = classifier.is_unknown(features), classifier.known
        labels = () if is_unknown else classifier.chosen_labels(ranked)
        warnings = [text for result in vectors for text in result.warnings]
        if length := classifier.note_on_length(first.seconds):
            warnings.append(length)
        return Prediction(
            first.clip.source.name,
            UNKNOWN if is_unknown else self._label(ranked, labels),
            ranked,
            first.seconds,
            is_unknown,
            warnings=tuple(dict.fromkeys(warnings)),
            labels=labels,
            known=None if known is None else known.kind_of(first.clip, first.content, features[0]),
            plausible=None
            if most is None
            else tuple(label for label, score in ranked.items() if 1 - score <= most),
            start=first.clip.start,
            end=first.clip.end,
            notes=tuple(dict.fromkeys(text for result in vectors for text in result.notes)),
        )

    def _label(self, ranked: Mapping[str, float], labels: Sequence[str]) -> str | None:
        """Return the best class, or None if no class is chosen; files of 0.1 always name one."""
        is_old = str(self.classifier.provenance.get("earmark", "")).startswith("0.1")
        return next(iter(ranked)) if labels or is_old else None

    def _most_nonconformity(self, coverage: float | None) -> float | None:
        rule = self.classifier.decision_rule
        return None if coverage is None else rule.most_nonconformity(coverage)


_Vectors = Sequence[Embedded]  # embeddings of one clip, one per network


def _join(results: Sequence[Result]) -> _Vectors | Failure:
    """Return the embeddings of one clip by all networks, or the first failure."""
    vectors = [result for result in results if isinstance(result, Embedded)]
    if len(vectors) == len(results):
        return vectors
    return next(result for result in results if isinstance(result, Failure))


_sessions: collections.OrderedDict[str, Session] = collections.OrderedDict()
_sessions_lock = threading.Lock()


def shared_session(classifier: Classifier) -> Session:
    """Return the session that equal classifiers share; the last few sessions stay loaded."""
    key = classifier.digest
    with _sessions_lock:
        session = _sessions.get(key)
        if session is None:
            session = _sessions[key] = Session(classifier)
        _sessions.move_to_end(key)
        if len(_sessions) > SHARED:
            _sessions.popitem(last=False)
    return session
