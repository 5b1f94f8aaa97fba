"""The networks of a classifier: loaded, held against what it was trained with, tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from earmark import backbones
from earmark.backbones import tuned_weights
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.classifier.features import count_features
from earmark.errors import BackboneError, ModelError

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier

REMEDY = "get the file again from where it was made, or train it again."


def load_networks(classifier: Classifier) -> list[Backbone]:
    """Return the backbones, tuned. Raise ModelError where they are not those trained with."""
    networks: list[Backbone] = []
    for number, use in enumerate(classifier.backbones):
        version, precision = _settings_of(use.fingerprint)
        description = backbones.info(use.name)
        try:
            description.at_version(version)
        except BackboneError as error:
            raise ModelError(
                f"this classifier was trained with backbone {use.fingerprint}: {error}"
            ) from error
        network = backbones.load_backbone(use.name, precision, version=version)
        own = network.fingerprint.removeprefix(network.info.name)  # a folder may have moved
        if own != use.fingerprint.removeprefix(use.name):
            raise ModelError(
                f"this classifier was trained with backbone {use.fingerprint}, and here is"
                f" {network.fingerprint}; install the earmark and weights it was made with, or"
                " train it again."
            )
        if classifier.tuned:
            tuned_weights.apply_tuned_weights(network, classifier.tuned[number])
        networks.append(network)
    check_layers(classifier, [network.info for network in networks])
    return networks


def _settings_of(fingerprint: str) -> tuple[int, str]:
    """Return version and precision of a backbone: what `Backbone.fingerprint` put there."""
    try:
        _, version, _, precision = fingerprint.rsplit("/", 3)
        return int(version), precision
    except ValueError:
        raise ModelError(
            f"this classifier was trained with backbone {fingerprint!r}, which is not"
            f" NAME/VERSION/WEIGHTS/PRECISION; {REMEDY}"
        ) from None


def check_layers(classifier: Classifier, infos: Sequence[BackboneInfo]) -> None:
    """Refuse layers that a backbone does not have, and a head of another number of features."""
    for use, info in zip(classifier.backbones, infos, strict=True):
        if unread := set(use.layers) - {layer.name for layer in info.layers}:
            raise ModelError(
                f"this classifier reads layer {min(unread)!r}, which backbone {use.name!r} does"
                f" not have; {REMEDY}"
            )
    try:
        features = count_features(infos, classifier.features)
    except ValueError as error:
        raise ModelError(
            f"this classifier's pooling does not fit its layers: {error}; {REMEDY}"
        ) from error
    size = len(classifier.head.tensors["mean"])
    if size != features:
        raise ModelError(
            f"this classifier's head reads {size} features, and its layers and pooling give"
            f" {features}; {REMEDY}"
        )
