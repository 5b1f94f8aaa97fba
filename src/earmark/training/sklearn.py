"""Estimators of scikit-learn that take recordings: a classifier, and embeddings as features.

The estimators keep no networks, so that they can be copied, pickled and sent to other processes:
:mod:`earmark.training.loaded` keeps them. Clips, folds, heads and calibration are those of
:func:`earmark.train`.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.backbones import registry
from earmark.backbones.auto import AUTO
from earmark.backbones.base import Backbone
from earmark.backbones.layers import layers_of
from earmark.classifier.classifier import BackboneUse
from earmark.classifier.features import compute_features
from earmark.classifier.prediction import UNKNOWN
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.splits import FOLDS
from earmark.embeddings.store import Store
from earmark.errors import InputError, ModelError
from earmark.system.progress import Stages
from earmark.training import loaded
from earmark.training.embedded_data import EmbeddedData, embed_data
from earmark.training.fitting import MEMORY
from earmark.training.sklearn_inputs import (
    as_input_errors,
    check_labels,
    check_length,
    labelled,
)
from earmark.training.sklearn_recordings import (
    EXPECTED_FAILED_CHECKS,
    TakesRecordings,
    warn,
)
from earmark.training.training import Settings, backbone_names, train_embedded, usable_backbones

__all__ = ["EXPECTED_FAILED_CHECKS", "AudioClassifier", "AudioEmbedder"]


class AudioClassifier(ClassifierMixin, TakesRecordings):  # type: ignore[misc]
    """A classifier of recordings as an estimator of scikit-learn.

    It chooses layers, head and penalty by folds made of the clips that it is fitted to, as
    :func:`earmark.train` does. Recordings are given as a list or an object array of paths, bytes,
    arrays or mappings with 'array' and 'sampling_rate'; as a column of a data frame; or as a 2-D
    array (N, n) of waveforms.

    Parameters
    ----------
    backbone : str
        A name, several names with commas between, or 'auto', as in :func:`earmark.train`.
    head : str
        'auto', 'linear', 'logistic', 'mlp' or 'prototype'.
    layers : str
        'auto', 'last', 'all' or 'NAME,NAME'.
    folds : int
        How many folds to make. With groups, folds are whole groups.
    seed : int
        The seed of all random numbers.
    unknown : float, optional
        The share of clips of unknown classes that may be given a known class, such as 0.05. With
        it, ``predict`` can answer 'unknown', and classes must be text.
    rate_hz : int, optional
        The sample rate of arrays. Files, and mappings with 'sampling_rate', have their own.
    store : str, Path or bool, optional
        The file where embeddings are read and saved, so that each clip is embedded once. True is
        the store of the commands. Without it, nothing is saved.
    audio : AudioOptions, optional
        How recordings are read, such as one channel only.
    precision, engine : str
        As in :func:`earmark.load_backbone`.
    estimate : bool
        Whether fitting also makes the nested estimate of :func:`earmark.train`, with baselines and
        a learning curve. It multiplies the work, and scikit-learn's own cross-validation does not
        need it. Without it, ``classifier_.estimate`` is of the clips that also chose the head. It
        is too good, so its verdict is never 'use'.

    Attributes
    ----------
    classes_ : array, (K,)
        The classes, sorted.
    classifier_ : Classifier
        The trained classifier, for example to save it. Its labels are the classes as text.
    n_features_in_ : int
        The samples of a waveform, if it was fitted to a 2-D array.

    Raises
    ------
    InputError
        An argument cannot be used; it is a ValueError, too. AudioInputError if a recording cannot
        be read.

    Examples
    --------
    >>> import earmark
    >>> paths = [f"recordings/{name}/{k}.wav" for name in ("high", "low") for k in range(6)]
    >>> model = earmark.AudioClassifier(backbone="logmel").fit(paths, ["high"] * 6 + ["low"] * 6)
    >>> model.predict(["new.wav"]).tolist()
    ['low']
    >>> model.classifier_.save("mine.earmark")
    """

    def __init__(
        self,
        backbone: str = AUTO,
        *,
        head: str = "auto",
        layers: str = "auto",
        folds: int = FOLDS,
        seed: int = 0,
        unknown: float | None = None,
        rate_hz: int | None = None,
        store: str | Path | bool | None = None,
        audio: AudioOptions | None = None,
        precision: str = "exact",
        engine: str = "auto",
        estimate: bool = False,
    ) -> None:
        self.backbone = backbone
        self.head = head
        self.layers = layers
        self.folds = folds
        self.seed = seed
        self.unknown = unknown
        self.rate_hz = rate_hz
        self.store = store
        self.audio = audio
        self.precision = precision
        self.engine = engine
        self.estimate = estimate

    def fit(self, X: Any, y: Any, groups: Any = None) -> AudioClassifier:
        """Train on recordings.

        Parameters
        ----------
        X : sequence of N recordings, or array (N, n)
            The recordings.
        y : array, (N,)
            The class of each.
        groups : array, (N,), optional
            What must not straddle the folds that choose the head, such as speakers. Scikit-learn
            hands it on after ``set_fit_request(groups=True)``.

        Returns
        -------
        AudioClassifier
            Itself.
        """
        with as_input_errors():
            clips = self._clips(X, is_fit=True)
            classes, labels = self._classes(y, clips)
            data = Dataset(labelled(clips, labels, groups), "X", audio=self.audio or AS_IT_IS)
            with self._open_store() as store:
                settings = self._settings(store)
                embedded = self._embedded(data, settings)
                training = train_embedded(embedded, settings, Stages())
        warn([*training.read_warnings, *embedded.scheme.warnings])
        self.classes_, self.classifier_ = classes, training.classifier
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the class (N,) of each recording, or 'unknown' if ``unknown`` was given."""
        features = self._features(X)
        scores = self.classifier_.scores(features)[:, self._columns]
        best = np.asarray(self.classes_[scores.argmax(1)])
        below = self.classifier_.decision_rule.unknown_threshold
        if below is None:
            return best
        is_unknown = self.classifier_.head.known_score(features) < below
        return np.where(is_unknown, np.asarray(UNKNOWN, best.dtype.kind), best)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the calibrated scores (N, K) of recordings, in the order of ``classes_``."""
        features = self._features(X)
        return self.classifier_.scores(features)[:, self._columns]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return calibrated logits (N, K) of recordings; for two classes their difference (N,)."""
        features = self._features(X)
        head, calibration = self.classifier_.head, self.classifier_.calibration
        logits = calibration.logits(head.logits(features))[:, self._columns]
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _classes(self, y: Any, clips: Sequence[Clip]) -> tuple[np.ndarray, list[str]]:
        """Return the classes (K,) in ``y``, and the class of each clip as text."""
        if y is None:
            raise InputError(
                "AudioClassifier requires y to be passed, but the target y is None. Give the class"
                " of each clip."
            )
        truth = column_or_1d(y, warn=True)
        check_length(truth, clips, "y")
        check_classification_targets(truth)
        classes = np.unique(truth)
        if self.unknown is not None and not all(isinstance(label, str) for label in classes):
            raise InputError(
                f"y has classes of type {classes.dtype}, but with unknown={self.unknown} an answer"
                f" may be {UNKNOWN!r}. Give classes as text, or leave out unknown."
            )
        labels = [str(label) for label in truth.tolist()]
        check_labels(labels)
        return classes, labels

    def _settings(self, store: Store | None) -> Settings:
        if not isinstance(self.folds, numbers.Integral) or self.folds < 2:
            raise InputError(f"folds is {self.folds!r}. Give a whole number, at least 2.")
        names = ",".join(map(registry.absolute_name, self.backbone.split(",")))
        return Settings(
            backbone=names,
            head=self.head,
            layers=self.layers,
            folds=self.folds,
            seed=self.seed,
            precision=self.precision,
            engine=self.engine,
            store=store,
            progress=None,
            compare=self.estimate,
            unknown=self.unknown,
            memory=MEMORY / 1e9,
            nested=self.estimate,
        )

    def _embedded(self, data: Dataset, settings: Settings) -> EmbeddedData:
        """Embed the clips with every backbone; raise AudioError for one that cannot be read."""
        names, _ = usable_backbones(data, settings)
        networks = [loaded.load(name, self.precision, self.engine) for name in names]
        embedded = embed_data(
            data,
            networks,
            Stages(),
            self.folds,
            self.seed,
            settings.store,
            settings.memory,
            is_inner=not self.estimate,
        )
        if embedded.skipped:
            raise embedded.skipped[0].error
        return embedded

    @property
    def _columns(self) -> list[int]:
        """The column of each of ``classes_`` in the scores of the classifier."""
        return [self.classifier_.labels.index(str(label)) for label in self.classes_.tolist()]

    def _features(self, X: Any) -> np.ndarray:
        """Return the head's features (N, D) of recordings."""
        check_is_fitted(self)
        classifier = self.classifier_
        with as_input_errors():
            clips = self._clips(X)
            networks = loaded.networks_of(classifier, self.precision, self.engine)
            embeddings = self._embed(clips, networks, classifier.audio)
        infos = [network.info for network in networks]
        return compute_features(infos, [e.matrix[:] for e in embeddings], classifier.features)


class AudioEmbedder(TransformerMixin, TakesRecordings):  # type: ignore[misc]
    """Embeddings of recordings as a transformer of scikit-learn.

    A pretrained network turns each recording into numbers: the mean and the standard deviation over
    time of each unit of the layers. Any estimator can then be trained on them.

    Parameters
    ----------
    backbone : str
        A name, several names with commas between, or 'auto', as in :func:`earmark.train`.
    layers : str
        'last', 'all' or 'NAME,NAME'.
    rate_hz : int, optional
        The sample rate of arrays. Files, and mappings with 'sampling_rate', have their own.
    store : str, Path or bool, optional
        As in :class:`AudioClassifier`.
    audio : AudioOptions, optional
        As in :class:`AudioClassifier`.
    precision, engine : str
        As in :func:`earmark.load_backbone`.

    Attributes
    ----------
    backbones_ : tuple of BackboneUse
        The networks and their layers.
    n_features_in_ : int
        The samples of a waveform, if it was fitted to a 2-D array.

    Raises
    ------
    InputError
        An argument cannot be used; it is a ValueError, too. AudioInputError if a recording cannot
        be read.

    Examples
    --------
    >>> import earmark
    >>> embedder = earmark.AudioEmbedder("logmel")
    >>> embedder.fit_transform(["recordings/high/0.wav", "recordings/low/0.wav"]).shape
    (2, 128)
    """

    def __init__(
        self,
        backbone: str = AUTO,
        *,
        layers: str = "last",
        rate_hz: int | None = None,
        store: str | Path | bool | None = None,
        audio: AudioOptions | None = None,
        precision: str = "exact",
        engine: str = "auto",
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.rate_hz = rate_hz
        self.store = store
        self.audio = audio
        self.precision = precision
        self.engine = engine

    def fit(self, X: Any, y: Any = None) -> AudioEmbedder:
        """Choose the networks and check the form of ``X``; no recording is read, none is learned.

        Parameters
        ----------
        X : sequence of N recordings, or array (N, n)
            As for :class:`AudioClassifier`.
        y : object
            Ignored.

        Returns
        -------
        AudioEmbedder
            Itself.
        """
        with as_input_errors():
            self._clips(X, is_fit=True)
            if self.layers == AUTO:
                raise InputError(
                    "layers is 'auto', but only AudioClassifier can choose layers. Give 'last',"
                    " 'all' or names."
                )
            names, _ = backbone_names(self.backbone)
            networks = [loaded.load(name, self.precision, self.engine) for name in names]
            layers = layers_of([network.info for network in networks], self.layers)
        self.backbones_ = tuple(
            BackboneUse(network.info.name, network.fingerprint, own)
            for network, own in zip(networks, layers, strict=True)
            if own
        )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the embeddings (N, D) float32 of N recordings."""
        networks = self._networks()
        with as_input_errors():
            embeddings = self._embed(self._clips(X), networks, self.audio or AS_IT_IS)
        parts = zip(embeddings, self.backbones_, strict=True)
        return np.hstack([each.features(use.layers) for each, use in parts])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names (D,) of the features, such as 'vggish/embedding mean 0'.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        array, (D,)
            Text.
        """
        names = [
            f"{use.name}/{name} {statistic} {unit}"
            for use, network in zip(self.backbones_, self._networks(), strict=True)
            for name in use.layers
            for statistic in ("mean", "deviation")
            for unit in range(network.info.layer(name).size)
        ]
        return np.array(names, object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # embeddings are float32
        return tags

    def _networks(self) -> list[Backbone]:
        """Return the networks; ModelError if they are not those that it was fitted with."""
        check_is_fitted(self)
        networks = [loaded.load(use.name, self.precision, self.engine) for use in self.backbones_]
        for use, network in zip(self.backbones_, networks, strict=True):
            if network.fingerprint != use.fingerprint:
                raise ModelError(
                    f"this embedder was fitted with backbone {use.fingerprint}, but this machine"
                    f" has {network.fingerprint}. Install the same weights, or fit it again."
                )
        return networks
