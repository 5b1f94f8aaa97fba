"""Answer as the pipeline 'audio-classification' of Hugging Face's transformers does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from earmark.audio.source import SampleSource
from earmark.classifier.classifier import Classifier
from earmark.classifier.prediction import UNKNOWN, Prediction
from earmark.classifier.recordings import one_clip
from earmark.classifier.samples import samples_of
from earmark.data.clip import Clip
from earmark.errors import EarmarkError

TASK = "audio-classification"

_FILES = (str, Path, bytes, bytearray, memoryview, Clip)

Answer = list[dict[str, Any]]  # 'label' and 'score', best first


def pipeline(
    model: Classifier | str | Path,
    *,
    top_k: int | None = None,
    function_to_apply: str | None = None,
    sampling_rate: int | None = None,
) -> AudioPipeline:
    """Make a classifier answer as transformers' pipeline 'audio-classification' does.

    Parameters
    ----------
    model : Classifier, str or Path
        A classifier, or its file.
    top_k : int, optional
        Number of classes in an answer; by default all.
    function_to_apply : str, optional
        Only the function that the classifier has: 'softmax' for one class per clip, 'sigmoid' for
        several. Scores are calibrated, so no other is offered.
    sampling_rate : int, optional
        The sample rate of arrays in Hz. Files, and mappings with 'sampling_rate', have their own.

    Returns
    -------
    AudioPipeline
        Call it with recordings.

    Raises
    ------
    ModelError
        The file is not a classifier, or a backbone here differs from that of its training.
    EarmarkError
        The classifier is a detector, or an argument has an impossible value.

    Examples
    --------
    >>> import earmark
    >>> classify = earmark.pipeline("mine.earmark")
    >>> classify("new.wav", top_k=1)
    [{'score': 0.99..., 'label': 'low'}]
    """
    if isinstance(model, (str, Path)):
        model = Classifier.load(model)
    if not isinstance(model, Classifier):
        raise EarmarkError(f"model is a {type(model).__name__}. Give a classifier or its file.")
    return AudioPipeline(
        model,
        top_k=top_k,
        function_to_apply=function_to_apply,
        sampling_rate=sampling_rate,
    )


class AudioPipeline:
    """A loaded classifier that is called with recordings; :func:`earmark.pipeline` makes it.

    Parameters
    ----------
    classifier : Classifier
        The classifier to load.
    top_k, function_to_apply, sampling_rate
        As in :func:`earmark.pipeline`.

    Attributes
    ----------
    task : str
        'audio-classification'.
    classifier : Classifier
    top_k : int or None
    sampling_rate : int or None

    Examples
    --------
    >>> import earmark
    >>> classify = earmark.pipeline("mine.earmark", top_k=1)
    >>> [answer[0]["label"] for answer in classify(["new.wav", "whistle.wav"])]
    ['low', 'high']
    """

    task = TASK

    def __init__(
        self,
        classifier: Classifier,
        *,
        top_k: int | None = None,
        function_to_apply: str | None = None,
        sampling_rate: int | None = None,
    ) -> None:
        self.classifier, self.sampling_rate = classifier, sampling_rate
        self.top_k = _checked(top_k)
        self._check_function(function_to_apply)
        self._session = classifier.session()

    def __repr__(self) -> str:
        return f"AudioPipeline({self.classifier!r})"

    def __call__(
        self,
        inputs: Any,
        *,
        top_k: int | None = None,
        function_to_apply: str | None = None,
        sampling_rate: int | None = None,
    ) -> Any:
        """Classify one recording or several.

        Parameters
        ----------
        inputs : str, Path, bytes, array, mapping, or several of these
            A file, the bytes of a file, samples (n,) or (n, channels), or a mapping with 'array'
            (or 'raw') and 'sampling_rate', as Hugging Face's data sets have them.
        top_k, function_to_apply, sampling_rate
            As in :func:`earmark.pipeline`, for this call.

        Returns
        -------
        list of dict, list of lists, or iterator of lists
            The classes of a recording, best first: 'label' and 'score'. A list of recordings gives
            a list of answers, and an iterator gives an iterator. If a recording is unlike all
            classes, its answer begins with 'unknown' and the score 1.0.

        Raises
        ------
        AudioError
            A recording cannot be read.
        EarmarkError
            An input is not a recording, or an array without a rate.
        """
        most = self.top_k if top_k is None else _checked(top_k)
        self._check_function(function_to_apply)
        rate_hz = self.sampling_rate if sampling_rate is None else sampling_rate
        if isinstance(inputs, (list, tuple)):
            clips = [_clip(item, rate_hz) for item in inputs]
            return list(self._answers(clips, most))
        if isinstance(inputs, Iterator):
            return self._answers((_clip(item, rate_hz) for item in inputs), most)
        return _answer(self._predict(_clip(inputs, rate_hz)), most)

    def _predict(self, clip: Clip) -> Prediction:
        """Classify one clip; AudioError if it cannot be read."""
        prediction = self._session.predict(clip)
        assert isinstance(prediction, Prediction)
        return prediction

    def _answers(self, clips: Iterable[Clip], most: int | None) -> Iterator[Answer]:
        """Yield the answer for each clip; AudioError for the first that cannot be read."""
        clips, given = itertools.tee(clips)
        for clip, prediction in zip(clips, self._session.predict_iter(given), strict=True):
            is_read = prediction.error is None
            yield _answer(prediction if is_read else self._predict(clip), most)

    def _check_function(self, name: str | None) -> None:
        """Refuse a function that the scores of the classifier do not come from."""
        own = "softmax" if self.classifier.calibration.is_single else "sigmoid"
        if name not in (None, own):
            raise EarmarkError(
                f"function_to_apply is {name!r}, but the scores of this classifier are calibrated"
                f" and come from {own!r}. Leave it out."
            )


def _checked(top_k: int | None) -> int | None:
    if top_k is not None and (isinstance(top_k, bool) or int(top_k) != top_k or top_k < 1):
        raise EarmarkError(f"top_k is {top_k!r}. Give the number of classes to name, at least 1.")
    return top_k


def _clip(item: Any, rate_hz: int | None) -> Clip:
    """Return one recording as a clip; EarmarkError for anything else."""
    samples, own_hz = samples_of(item, "the input")
    if own_hz is not None or hasattr(samples, "__array__"):
        if own_hz is None and rate_hz is None:
            raise EarmarkError(
                "an array needs a rate. Give sampling_rate, such as sampling_rate=16_000, or a"
                " mapping with 'array' and 'sampling_rate'."
            )
        source = SampleSource.of(samples, rate_hz if own_hz is None else own_hz, "the samples")
        return Clip(Path(source.name), recording=source)
    clip = one_clip(samples) if isinstance(samples, _FILES) else None
    if clip is None:
        what = (
            f"{samples} is"
            if isinstance(samples, (str, Path))
            else f"a {type(samples).__name__} is"
        )
        raise EarmarkError(
            f"{what} not one recording. Give a path, the bytes of a file, samples with"
            " sampling_rate=, a mapping with 'array' and 'sampling_rate', or a list of these."
        )
    return clip


def _answer(prediction: Prediction, most: int | None) -> Answer:
    """Return the classes of a prediction, best first, in transformers' form."""
    scores = {UNKNOWN: 1.0} if prediction.is_unknown else {}
    scores |= prediction.scores
    answer = [{"score": score, "label": label} for label, score in scores.items()]
    return answer[:most]
