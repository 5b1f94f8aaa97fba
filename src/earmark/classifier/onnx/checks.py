"""Compare an exported graph with the classifier that it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.classifier.classifier import Classifier
from earmark.classifier.features import compute_features
from earmark.classifier.onnx.names import KNOWN_SCORE, SCORES, WAVEFORM, rate_of
from earmark.classifier.recordings import Recordings, clips_of, one_clip
from earmark.embeddings.pipeline import embed_clip
from earmark.embeddings.stages import Failure
from earmark.errors import ModelError, amount
from earmark.system import extras

MOST_DIFFERENCE = 1e-4  # of a score
INAUDIBLE = tuple(1 + k * 2.0**-22 for k in (-16, -4, -2, -1, 1, 2, 4, 16))  # 0.00003 dB at most
EDGES = (-1, 0, 1)  # samples from each border


class Answer(NamedTuple):
    """Scores (K,) and known-score of a clip."""

    scores: np.ndarray
    known: float


class Difference(NamedTuple):
    """What was compared, and the largest difference of a score.

    ``own`` is how much ``predict`` itself differs if the sound changes inaudibly. It is computed
    for large differences only: embeddings are rounded to float16, and near a tie the last bit of a
    sum decides.
    """

    sound: str
    value: float
    own: float = 0.0


def answer(classifier: Classifier, networks: Sequence[Backbone], x: Samples) -> Answer:
    """Return what ``predict`` answers for samples (n,) at the rate of the graph."""
    clip = one_clip(x, rate_of(networks))
    assert clip is not None
    vectors = []
    for network in networks:
        result = embed_clip(clip, network)
        if isinstance(result, Failure):
            raise result.error
        vectors.append(result.vector[None])
    infos = [network.info for network in networks]
    features = compute_features(infos, vectors, classifier.features)
    known = classifier.head.known_score(features)
    return Answer(classifier.scores(features)[0], float(known[0]))


def load_runtime() -> Any:
    """Import onnxruntime; EarmarkError says how to install it."""
    return extras.load("onnxruntime", "onnx", "exporting")


def open_graph(model: bytes) -> Any:
    """Return an onnxruntime session of a graph, on the CPU."""
    return load_runtime().InferenceSession(model, providers=["CPUExecutionProvider"])


def graph_answer(session: Any, x: Samples) -> Answer:
    """Return what a graph answers for samples (n,)."""
    scores, known = session.run([SCORES, KNOWN_SCORE], {WAVEFORM: x})
    return Answer(scores, float(known))


def borders(info: BackboneInfo, rate_hz: int) -> set[int]:
    """Return the clip lengths, at ``rate_hz``, on either side of what changes the windows."""
    factor = rate_hz // info.rate_hz
    steps = (info.step or info.window, info.window, info.window + info.hop)
    return {step * factor + edge for step in steps for edge in EDGES}


def made_sounds(networks: Sequence[Backbone]) -> Iterator[tuple[str, Samples]]:
    """Yield noise and silence of all lengths that matter, with their names."""
    rate_hz = rate_of(networks)
    lengths = {1, 2, rate_hz // 100, rate_hz // 2, rate_hz, 5 * rate_hz}
    for network in networks:
        factor = rate_hz // network.info.rate_hz
        least = network.least_samples * factor
        lengths |= borders(network.info, rate_hz) | {least + edge for edge in EDGES}
    noise = np.random.default_rng(0).standard_normal(max(lengths)).astype(np.float32)
    for n in sorted(n for n in lengths if n > 0):
        yield f"noise of {amount(n, 'sample')}", 0.1 * noise[:n]
    # Without `drops_rounding`, the features of silence are roots of rounding errors.
    for n in (1, rate_hz) if all(network.info.drops_rounding for network in networks) else ():
        yield f"silence of {amount(n, 'sample')}", np.zeros(n, np.float32)
    yield "quiet noise of 1 s", 1e-4 * noise[:rate_hz]
    yield "loud noise of 1 s", noise[:rate_hz].clip(-1, 1)


def recorded_sounds(
    classifier: Classifier, recordings: Recordings, rate_hz: int
) -> Iterator[tuple[str, Samples]]:
    """Yield the names and samples of recordings, read as ``classifier`` reads them."""
    for clip in clips_of(recordings):
        source, options = clip.source, classifier.audio
        yield source.name, audio.read(source, rate_hz, clip.start, clip.end, options).samples


def compare(
    session: Any,
    classifier: Classifier,
    networks: Sequence[Backbone],
    sounds: Iterable[tuple[str, Samples]],
    most: float = MOST_DIFFERENCE,
) -> list[Difference]:
    """Return the difference between graph and ``predict`` for each sound.

    Differences above ``most`` are compared with those of ``predict`` from itself.
    """
    differences = []
    for name, x in sounds:
        expected, got = answer(classifier, networks, x), graph_answer(session, x)
        value, own = float(np.abs(got.scores - expected.scores).max()), 0.0
        if value > most:
            own = own_difference(classifier, networks, x, expected)
        differences.append(Difference(name, value, own))
    return differences


def own_difference(
    classifier: Classifier, networks: Sequence[Backbone], x: Samples, expected: Answer
) -> float:
    """Return how much scores change if a sound gets louder or softer by a few last bits."""
    away = [
        np.abs(answer(classifier, networks, x * np.float32(gain)).scores - expected.scores).max()
        for gain in INAUDIBLE
    ]
    return float(max(away))


def refuse_if_far(differences: Sequence[Difference], most: float = MOST_DIFFERENCE) -> None:
    """Raise ModelError if a score differs by more than ``most``, and not by rounding alone."""
    far = [d for d in differences if not d.value <= max(most, 2 * d.own)]  # NaN is not <=
    if far:
        worst = next((d for d in far if d.value != d.value), max(far, key=lambda d: d.value))
        raise ModelError(
            f"the graph's scores differ from those of predict by up to {worst.value:.2g}, for"
            f" {worst.sound}; at most {most:.0e} is allowed. Nothing was written. Export the"
            " classifier in float32, or report it as a bug."
        )
