"""Load the networks of a classifier, compare them with those of training, and fine-tune them."""

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

REMEDY = "Get the original file again, or train the classifier again."


def load_networks(classifier: Classifier) -> list[Backbone]:
    """Return the fine-tuned backbones; ModelError if they are not those of training."""
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
                f"this classifier was trained with backbone {use.fingerprint}, but this machine has"
                f" {network.fingerprint}. Install the earmark and the weights of its training, or"
                " train the classifier again."
            )
        if classifier.tuned:
            tuned_weights.apply_tuned_weights(network, classifier.tuned[number])
        networks.append(network)
    check_layers(classifier, [network.info for network in networks])
    return networks


def _settings_of(fingerprint: str) -> tuple[int, str]:
    """Return the version and precision in a fingerprint that `Backbone.fingerprint` wrote."""
    try:
        _, version, _, precision = fingerprint.rsplit("/", 3)
        return int(version), precision
    except ValueError:
        raise ModelError(
            f"this classifier was trained with backbone {fingerprint!r}, which is not"
            f" NAME/VERSION/WEIGHTS/PRECISION. {REMEDY}"
        ) from None


def check_layers(classifier: Classifier, infos: Sequence[BackboneInfo]) -> None:
    """Raise ModelError for layers that a backbone lacks, or a head with another feature count."""
    for use, info in zip(classifier.backbones, infos, strict=True):
        if missing := set(use.layers) - {layer.name for layer in info.layers}:
            raise ModelError(
                f"this classifier reads layer {min(missing)!r}, which backbone {use.name!r} does"
                f" not have. {REMEDY}"
            )
    try:
        features = count_features(infos, classifier.features)
    except ValueError as error:
        raise ModelError(
            f"this classifier's pooling does not fit its layers: {error}. {REMEDY}"
        ) from error
    size = len(classifier.head.tensors["mean"])
    if size != features:
        raise ModelError(
            f"this classifier's head reads {size} features, but its layers and pooling give"
            f" {features}. {REMEDY}"
        )
