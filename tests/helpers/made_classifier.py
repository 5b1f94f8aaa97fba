"""Classifiers with random heads on given networks: every kind of head, in no time."""

from collections.abc import Sequence

import numpy as np

import earmark
from earmark.backbones.base import Backbone
from earmark.classifier.calibration import Calibration
from earmark.classifier.classifier import BackboneUse
from earmark.classifier.decision import DecisionRule
from earmark.classifier.estimate import Estimate
from earmark.classifier.features import FeatureSpec, compute_features, layers_read
from earmark.classifier.head import Head
from earmark.classifier.recordings import one_clip
from earmark.embeddings.pipeline import embed_clip
from networks import sound

HIDDEN = 8


def made_classifier(
    networks: Sequence[Backbone],
    kind: str = "linear",
    features: Sequence[FeatureSpec] | None = None,
    n_classes: int = 3,
    is_single: bool = True,
) -> earmark.Classifier:
    """Return a classifier whose head has random weights; it restricts the networks' layers."""
    every = tuple(tuple(layer.name for layer in network.info.layers) for network in networks)
    specs = tuple(features or [FeatureSpec(every)])
    for network, names in zip(networks, layers_read(specs), strict=True):
        network.restrict_to_layers(names)
    infos = [network.info for network in networks]
    rows = []
    for seed in range(4):
        clips = [one_clip(sound(info.rate_hz, seed), info.rate_hz) for info in infos]
        pairs = zip(clips, networks, strict=True)
        vectors = [embed_clip(clip, network).vector[None] for clip, network in pairs]
        rows.append(compute_features(infos, vectors, specs)[0])
    mean, scale = np.mean(rows, 0), np.std(rows, 0) + 0.05
    rng, size = np.random.default_rng(0), len(mean)

    def layer(name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
        weight = rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)
        return {f"{name}weight": weight, f"{name}bias": 0.1 * rng.standard_normal(outputs)}

    tensors = {"mean": mean, "scale": scale * np.sqrt(size)}
    if kind == "mlp":
        tensors |= layer("hidden.", HIDDEN, size) | layer("output.", n_classes, HIDDEN)
    else:
        tensors |= layer("", n_classes, size)
    tensors = {name: value.astype(np.float32) for name, value in tensors.items()}
    return earmark.Classifier(
        labels=tuple("abcdefgh"[:n_classes]),
        backbones=tuple(
            BackboneUse(network.info.name, network.fingerprint, names)
            for network, names in zip(networks, layers_read(specs), strict=True)
        ),
        head=Head(kind, tensors),
        calibration=Calibration(0.4, 0.1 if not is_single else 0.0, is_single),
        features=specs,
        decision_rule=DecisionRule(() if is_single else (0.5,) * n_classes),
        estimate=Estimate("made", 0.5, (0.4, 0.6), 0.5, 0.1, 0.3, 20, folds=(), classes=()),
        provenance={},
    )
