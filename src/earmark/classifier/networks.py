"""Load the networks of a classifier, compare them with those of training, and fine-tune them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from earmark import backbones
from earmark.backbones import registry, tuned_weights
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.classifier.features import count_features
from earmark.errors import BackboneError, ModelError, NotHereError, WeightsError
from earmark.system.cache import is_offline, no_downloads

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier

REMEDY = "Get the original file again, or train the classifier again."


def load_networks(classifier: Classifier) -> list[Backbone]:
    """Return the fine-tuned backbones; ModelError if they are not those of training."""
    networks: list[Backbone] = []
    for number, use in enumerate(classifier.backbones):
        version, precision = _settings_of(use.fingerprint)
        with only_from_here(use.name, classifier.allow_remote):
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


@contextlib.contextmanager
def only_from_here(
    name: str, allow_remote: bool = False, owner: str = "classifier"
) -> Iterator[None]:
    """Forbid downloads of a network unless earmark knows it by hash, or they are allowed.

    The ``owner`` of the name, such as a classifier's file, may come from anybody. So a name in it
    must not make this machine fetch what its author wants: not from the Hub, and not from another
    machine by a path that begins with two slashes.
    """
    own = {"auto", *registry.BUILT_IN, *registry.UNLISTED}  # and vggish@SECONDS
    if allow_remote or name in own or name.startswith("vggish@"):
        yield
        return
    if re.match(r"(\w+:)?\s*[\\/]{2}", name):
        raise ModelError(_named(name, "on another machine", owner))
    try:
        with no_downloads():
            yield
    except (NotHereError, WeightsError) as error:
        if is_offline():
            raise
        raise ModelError(_named(name, "not on this machine", owner)) from error


def _named(name: str, where: str, owner: str) -> str:
    in_python = "; in Python, earmark.load(..., allow_remote=True)" if owner == "classifier" else ""
    return (
        f"this {owner} names the network {name!r}, which is {where}, and what a file names is not"
        " fetched without leave. If you trust the author of the file and the publisher of the"
        f" network, add --allow-remote{in_python}."
    )


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
