"""A classifier: backbones, layers, head, labels and calibration, in one file that runs no code."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earmark.audio.options import AudioOptions
from earmark.classifier.calibration import Calibration
from earmark.classifier.decision import DecisionRule
from earmark.classifier.detector import Detector
from earmark.classifier.estimate import Estimate
from earmark.classifier.features import FeatureSpec
from earmark.classifier.file import digest_of, separator_of
from earmark.classifier.head import Head
from earmark.classifier.known import KnownClips
from earmark.errors import ModelError

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone
    from earmark.classifier.prediction import Prediction
    from earmark.classifier.recordings import Recordings
    from earmark.classifier.session import Session
    from earmark.data.clip import Clip
    from earmark.detection.streams import EventStream
    from earmark.embeddings.store import Store


FAR = 3  # a clip this many times longer or shorter than the training clips gets a warning


@dataclass(frozen=True)
class BackboneUse:
    """A backbone inside a classifier.

    Attributes
    ----------
    name : str
        Its name, as in :func:`earmark.list_backbones`.
    fingerprint : str
        NAME/VERSION/WEIGHTS/PRECISION: exactly the network that the classifier was trained with.
    layers : tuple of str
        The layers that the head reads.
    """

    name: str
    fingerprint: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Classifier:
    """A trained classifier: made by ``train``, used by ``predict``, saved as one file.

    It is immutable.

    Attributes
    ----------
    labels : tuple of str
        The K classes, in the order of the columns of ``predict_proba``.
    backbones : tuple of BackboneUse
        The pretrained networks and the layers in use.
    features : tuple of FeatureSpec
        The statistics of these layers that the head reads; several if heads were averaged.
    head : Head
        Turns features into logits.
    calibration : Calibration
        Turns logits into scores.
    decision_rule : DecisionRule
        Turns scores into predicted classes or 'unknown'.
    estimate : Estimate
        Accuracy and other figures from cross-validation on the training data.
    provenance : dict
        How it was trained: versions, seed, arguments, a hash of the data.
    tuned : tuple of dict
        Fine-tuned weights of each backbone, see ``backbones/tuned_weights.py``; empty without
        fine-tuning.
    known : KnownClips or None
        Hashes of the training clips. None if they were left out, and in files of earmark 0.1.
    detector : Detector or None
        Windows and rules of a classifier that was trained to find events; None for clips.
    allow_remote : bool
        Whether a network that its file names may be downloaded from there; not part of the file.

    Examples
    --------
    >>> import earmark
    >>> earmark.load("mine.earmark")
    Classifier(2 classes, logmel, prototype head, accuracy=1.000)
    """

    labels: tuple[str, ...]
    backbones: tuple[BackboneUse, ...]
    head: Head
    calibration: Calibration
    features: tuple[FeatureSpec, ...]
    decision_rule: DecisionRule
    estimate: Estimate
    provenance: dict[str, Any]
    tuned: tuple[dict[str, np.ndarray], ...] = ()
    known: KnownClips | None = None
    detector: Detector | None = None
    allow_remote: bool = field(default=False, compare=False)

    @property
    def audio(self) -> AudioOptions:
        """How recordings are read: in the same way as in training."""
        return AudioOptions(**self.provenance.get("audio", {}))

    @property
    def separator(self) -> str | None:
        """The text between the classes of a clip in the training data; None for single classes."""
        return separator_of(self.provenance, self.calibration.is_single)

    def note_on_length(self, seconds: float) -> str | None:
        """Return a warning for a clip far longer or shorter than the training clips, else None.

        ``seconds`` is its length. Files of earmark 0.1 do not have the length of training clips.
        """
        if "clip_seconds" not in self.provenance:
            return None
        shortest, longest = self.provenance["clip_seconds"]
        if shortest / FAR <= seconds <= longest * FAR:
            return None
        trained = f"{longest:.2g}" if shortest == longest else f"{shortest:.2g} to {longest:.2g}"
        if seconds < shortest:
            return f"{seconds:.2g} s is far shorter than the training clips ({trained} s)"
        return (
            f"{seconds:.0f} s is far longer than the training clips ({trained} s), and gets only"
            " one prediction; find its sounds with `earmark detect` and a classifier that was"
            " trained with --detector"
        )

    def __repr__(self) -> str:
        backbones = ",".join(use.name for use in self.backbones)
        return (
            f"Classifier({len(self.labels)} classes, {backbones}, {self.head.kind} head,"
            f" accuracy={self.estimate.accuracy:.3f}{', worthless' * self.estimate.is_worthless})"
        )

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated scores (N, K) for features (N, D) of the chosen layers.

        Raises ModelError if a score is not finite, because a number in the head is too large or too
        small.
        """
        with np.errstate(all="ignore"):
            return self.calibrated(self.head.logits(features))

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated scores (N, K) for the head's logits; raises as :meth:`scores` does."""
        with np.errstate(all="ignore"):
            scores = self.calibration.scores(logits)
        if not np.isfinite(scores).all():
            raise ModelError(
                "the classifier gives scores that are not numbers; its head, its calibration or the"
                " backbone's weights are damaged. Get the original file again, or train the"
                " classifier again."
            )
        return scores

    def session(self, store: Store | None = None) -> Session:
        """Open a session, which keeps the networks loaded and may be used from several threads.

        Parameters
        ----------
        store : Store, optional
            Where embeddings are read and saved. A session with a store belongs to one thread.

        Returns
        -------
        Session
            See there for errors and an example.
        """
        from earmark.classifier.session import Session

        return Session(self, store)

    def predict(
        self,
        recordings: Recordings,
        *,
        rate_hz: int | None = None,
        coverage: float | None = None,
    ) -> Any:
        """Classify one recording, or several.

        Parameters
        ----------
        recordings : str, Path, bytes, array, or a list of these
            A file, the bytes of a file, or samples (n,) or (n, channels) as soundfile returns them:
            float32 or float64 with full scale 1, int16 or int32. A folder stands for all
            recordings in it.
        rate_hz : int, optional
            The sample rate of an array, which requires it; not allowed for files.
        coverage : float, optional
            A probability such as 0.9. Each prediction then has a set of ``plausible`` classes that
            contains the true class with this probability.

        Returns
        -------
        Prediction or list of Prediction
            A list if ``recordings`` is a folder or a list, even of one recording. In a list, a
            recording that cannot be read, or an empty folder, is a prediction with an ``error``.

        Raises
        ------
        AudioError
            A single recording cannot be read.
        EarmarkError
            ``recordings`` is not a recording, or an array without a rate or of another type.

        Examples
        --------
        >>> import earmark
        >>> classifier = earmark.load("mine.earmark")
        >>> classifier.predict("new.wav").label
        'low'
        >>> [prediction.label for prediction in classifier.predict(["new.wav", "whistle.wav"])]
        ['low', 'high']
        """
        return self._shared.predict(recordings, rate_hz=rate_hz, coverage=coverage)

    def predict_iter(
        self,
        recordings: Recordings,
        *,
        rate_hz: int | None = None,
        coverage: float | None = None,
    ) -> Iterator[Prediction]:
        """Yield a prediction for each recording, in order, while later ones are being read.

        Parameters are those of :meth:`predict`. A recording that cannot be read gives a prediction
        with an ``error``, even if it is the only one.
        """
        return self._shared.predict_iter(recordings, rate_hz=rate_hz, coverage=coverage)

    def predict_proba(self, recordings: Recordings, *, rate_hz: int | None = None) -> np.ndarray:
        """Return the scores of recordings as an array.

        Parameters
        ----------
        recordings : str, Path, bytes, array, or a list of these
            As in :meth:`predict`.
        rate_hz : int, optional
            The sample rate of an array.

        Returns
        -------
        array, (N, K)
            One row per recording and one column per class, in the order of ``labels``.

        Raises
        ------
        AudioError
            A recording cannot be read.
        """
        return self._shared.predict_proba(recordings, rate_hz=rate_hz)

    def predict_dataframe(
        self,
        recordings: Recordings,
        *,
        rate_hz: int | None = None,
        coverage: float | None = None,
    ) -> Any:
        """Return a data frame of pandas, polars or pyarrow with one row per clip.

        Parameters
        ----------
        recordings, rate_hz, coverage
            As in :meth:`predict`.

        Returns
        -------
        data frame
            Columns path, label, score, is_unknown, seconds and error; plausible (classes joined by
            ';') if ``coverage`` is given; score_LABEL for each class. The first installed package
            of the three makes it.

        Raises
        ------
        EarmarkError
            None of the three packages is installed.
        """
        return self._shared.predict_dataframe(recordings, rate_hz=rate_hz, coverage=coverage)

    def detect(self, recordings: Recordings, *, rate_hz: int | None = None, **rules: Any) -> Any:
        """Find events in long recordings.

        Parameters
        ----------
        recordings : str, Path, bytes, array, or a list of these
            As in :meth:`predict`; of any length.
        rate_hz : int, optional
            The sample rate of an array.
        **rules
            ``thresholds`` ('auto', 0.5 or 'CLASS=0.7,...') and attributes of
            :class:`earmark.detection.EventRules`, such as ``min_duration_s=0.5``, instead of
            those that training chose.

        Returns
        -------
        list of Event, or list of RecordingEvents
            The events of one recording by start; for a folder or a list, those of each recording.

        Raises
        ------
        AudioError
            A recording cannot be read.
        """
        return _detection().detect(self, recordings, rate_hz, **rules)

    def stream(self, *, rate_hz: int, step_s: float = 0.24, **rules: Any) -> EventStream:
        """Begin to find events in a stream of samples.

        Parameters
        ----------
        rate_hz : int
            The sample rate of the stream.
        step_s : float
            Seconds of sound that are computed at once.
        **rules
            As in :meth:`detect`.

        Returns
        -------
        EventStream
            Its ``feed(samples)`` and ``finish()`` return events.
        """
        stream: EventStream = _detection().EventDetector.load(self, **rules).stream(rate_hz, step_s)
        return stream

    def predict_clips(
        self, clips: Iterable[Clip], store: Store | None = None, coverage: float | None = None
    ) -> Iterator[Prediction]:
        """Call ``session(store).predict_iter``: the deprecated name of earmark 0.1."""
        warnings.warn(
            "Classifier.predict_clips is now Classifier.session(store).predict_iter; the old name"
            " works until 0.3.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.session(store).predict_iter(clips, coverage=coverage)

    @property
    def _shared(self) -> Session:
        from earmark.classifier.session import shared_session

        return shared_session(self)

    def chosen_labels(self, ranked: Mapping[str, float]) -> tuple[str, ...]:
        """Return the best class, or all classes that reach their thresholds.

        ``ranked`` has the score of each class, best first.
        """
        if not self.decision_rule.thresholds:
            return tuple(ranked)[:1]
        least = dict(zip(self.labels, self.decision_rule.thresholds, strict=True))
        return tuple(label for label, score in ranked.items() if score >= least[label])

    def is_unknown(self, features: np.ndarray) -> bool:
        """Say whether features (1, D) are unlike the training clips of every class."""
        below = self.decision_rule.unknown_threshold
        return below is not None and float(self.head.known_score(features)[0]) < below

    def networks(self) -> list[Backbone]:
        """Load the backbones, check that they are those of training, and apply fine-tuning."""
        from earmark.classifier import networks

        return networks.load_networks(self)

    def save(self, path: str | Path, *, hashes: bool = True) -> None:
        """Write the classifier to one file, whole or not at all; equal classifiers, equal bytes.

        Parameters
        ----------
        path : str or Path
            The file; an existing file is replaced.
        hashes : bool
            Whether the file has hashes of the training clips. Without them nobody can find out
            whether a recording was used for training, and ``evaluate`` cannot leave out training
            clips. Leave them out of files that you publish.

        Raises
        ------
        ModelError
            A number of the classifier is not finite.
        EarmarkError
            The file cannot be written.
        """
        from earmark.classifier import saving

        saving.write(self if hashes else replace(self, known=None), Path(path))

    @functools.cached_property
    def digest(self) -> str:
        """A hash over everything in the file."""
        from earmark.classifier import saving

        return digest_of(*saving.parts_of(self))

    @classmethod
    def load(cls, path: str | Path, *, allow_remote: bool = False) -> Classifier:
        """Read a classifier; see :func:`earmark.load`."""
        from earmark.classifier import saving

        return saving.load(path, allow_remote=allow_remote)


def _detection() -> Any:
    """Return the module that finds events; it stands on this room, so it is imported by name."""
    return importlib.import_module("earmark.detection.detecting")
