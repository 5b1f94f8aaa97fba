"""Backbones that know the classes of AudioSet, and the names of those.

``audioset_527.txt`` has a name a line, in the order of ``class_labels_indices.csv`` of AudioSet
(Gemmeke et al. 2017, research.google.com/audioset, CC BY 4.0): that of the 527 outputs of networks
trained on all of its classes.
"""

from __future__ import annotations

from earmark.backbones.networks.audioset import Tagger
from earmark.backbones.registry import entry, list_backbones, load_backbone
from earmark.errors import BackboneError


def create_tagger(name: str) -> Tagger:
    """Load the backbone called ``name``; :class:`BackboneError` if it has no classes of its own."""
    if not issubclass(entry(name)[1], Tagger):
        taggers = [known for known in list_backbones() if issubclass(entry(known)[1], Tagger)]
        raise BackboneError(
            f"backbone {name!r} has no classes of its own; take one that has: {', '.join(taggers)}."
        )
    tagger = load_backbone(name)
    assert isinstance(tagger, Tagger)
    return tagger
