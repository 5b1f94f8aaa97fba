"""Tag recordings with AudioSet's classes, without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earmark import audio
from earmark.backbones.gpu import call_on
from earmark.backbones.networks.audioset import Tagger
from earmark.backbones.registry import entry, list_backbones, load_backbone
from earmark.classifier.recordings import Recordings, clips_of, one_clip
from earmark.data.clip import Clip
from earmark.embeddings.sections import cut_sections
from earmark.embeddings.stages import Request
from earmark.errors import AudioError, BackboneError, EarmarkError


@dataclass(frozen=True)
class Tags:
    """The AudioSet classes of one recording.

    Attributes
    ----------
    path : str
        The recording; '<bytes>' or '<samples>' if it is not a file.
    scores : dict of str to float
        The score of each class, 0 to 1, best first; empty if there is an ``error``. Scores do not
        add up to 1.
    seconds : float
        Length of the clip in seconds.
    error : str or None
        A sentence that says why the recording could not be read.
    failure : AudioError or None
        The same as an exception.
    start, end : float or None
        The stretch of the recording in seconds; None for the start or end of the recording.
    """

    path: str
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    failure: AudioError | None = field(default=None, repr=False, compare=False)
    start: float | None = None
    end: float | None = None

    @property
    def name(self) -> str:
        """The path, and the stretch if there is one."""
        return Clip(Path(self.path), start=self.start, end=self.end).name


def tag(
    recordings: Recordings,
    backbone: str = "efficientat-mn04",
    top: int = 5,
    *,
    rate_hz: int | None = None,
) -> Any:
    """Name the sounds in a recording with AudioSet's classes, without any training.

    Parameters
    ----------
    recordings : str, Path, bytes, array, or a list of these
        As in :meth:`Classifier.predict`.
    backbone : str
        A network with its own classes: 'yamnet' or one of ``efficientat-*``.
    top : int
        Number of classes to name.
    rate_hz : int, optional
        The sample rate of an array.

    Returns
    -------
    Tags or list of Tags
        A list if ``recordings`` is a folder or a list, even of one recording. In a list, a
        recording that cannot be read has an ``error``.

    Raises
    ------
    AudioError
        A single recording cannot be read.
    BackboneError
        The backbone is unknown or has no classes, or its weights are missing.

    Examples
    --------
    >>> import earmark
    >>> list(earmark.tag("whistle.wav", top=2).scores)
    ['Sine wave', 'Beep, bleep']
    """
    clip = one_clip(recordings, rate_hz)
    stream = tag_iter(recordings if clip is None else [clip], backbone, top)
    if clip is None:
        return list(stream)
    (tags,) = stream
    if tags.failure is not None:
        raise tags.failure
    return tags


def tag_iter(
    recordings: Recordings, backbone: str = "efficientat-mn04", top: int = 5
) -> Iterator[Tags]:
    """Yield the ``top`` classes of each recording, in order; an unreadable one has an error.

    A class's score is its mean over the windows, weighted by their real samples, as the authors of
    YAMNet do. So it describes most of the recording. A maximum would describe a single second, and
    would grow with the length. Scores do not add up to 1.
    """
    if top < 1:
        raise EarmarkError(f"top is {top}. Give the number of classes to name, at least 1.")
    network = create_tagger(backbone)
    return (_tags(network, clip, top) for clip in clips_of(recordings))


def _tags(network: Tagger, clip: Clip, top: int) -> Tags:
    name, total = clip.source.name, np.zeros(len(network.class_names()))
    samples, seconds = 0, 0.0
    try:
        for piece in cut_sections(network, audio.AS_IT_IS, Request(clip, clip.source, b"")):
            total += call_on(network.device, window_scores, network, piece.windows, piece.valid)
            samples += int(piece.valid.sum())
            seconds += piece.seconds
    except AudioError as error:
        return Tags(name, error=f"{error.reason}.", failure=error, start=clip.start, end=clip.end)
    scores, names = total / samples, network.class_names()
    best = np.argsort(-scores, kind="stable")[:top]
    scored = {names[k]: float(scores[k]) for k in best}
    return Tags(name, scored, seconds, start=clip.start, end=clip.end)


@torch.inference_mode()
def window_scores(network: Tagger, windows: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the sum (K,) float64 of the windows' scores, weighted by their real samples."""
    batch = max(1, int(network.batch_s * network.info.rate_hz / windows.shape[1]))
    total = np.zeros(len(network.class_names()))
    for i in range(0, len(windows), batch):
        part = [torch.from_numpy(a[i : i + batch]) for a in (windows, valid)]
        total += (part[1].double() @ network.class_scores(*part).cpu().double()).numpy()
    return total


def create_tagger(name: str) -> Tagger:
    """Load the backbone called ``name``; :class:`BackboneError` if it has no classes of its own."""
    if not issubclass(entry(name)[1], Tagger):
        taggers = [known for known in list_backbones() if issubclass(entry(known)[1], Tagger)]
        raise BackboneError(
            f"backbone {name!r} has no classes of its own. Use one that has: {', '.join(taggers)}."
        )
    tagger = load_backbone(name)
    assert isinstance(tagger, Tagger)
    return tagger
