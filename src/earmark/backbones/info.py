"""What is known of a backbone without loading it. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from earmark.errors import BackboneError, did_you_mean


@dataclass(frozen=True)
class Layer:
    """A named place inside a backbone; its statistics are (channels * bands,), channel first.

    ``bands`` is the number of coarse frequency bands kept, low to high; 1 where the layer has no
    frequency axis.
    """

    name: str
    channels: int
    bands: int = 1

    @property
    def size(self) -> int:
        return self.channels * self.bands


@dataclass(frozen=True)
class BackboneInfo:
    """What is known of a backbone without loading it; lengths are in samples at ``rate_hz``.

    ``window`` is the longest core of one window and ``hop`` the distance between two cores.
    ``context`` is what a window carries beyond its core on either side: the neighbouring audio,
    or silence beyond the ends of the clip. ``step``: a clip shorter than ``window`` is padded only
    to the next multiple of it; None where the network always reads ``window`` samples.

    ``version`` numbers what the network computes. ``earlier`` versions can be computed too, for
    classifiers that were trained with them. ``drops_rounding_since`` is the first version in which
    constant activations have no variance at all; None where no version has that.
    """

    name: str
    summary: str
    rate_hz: int
    window: int
    hop: int
    layers: tuple[Layer, ...]
    parameters: int
    source: str
    licence: str
    context: int = 0
    step: int | None = None
    is_logarithmic: bool = False  # its layers are logarithms, which need no further calming
    version: int = 1  # raise it when results change: stored embeddings are then computed again
    earlier: tuple[int, ...] = ()
    drops_rounding_since: int | None = None

    @property
    def drops_rounding(self) -> bool:
        """Whether rounding counts as no variance (see ``without_rounding`` in ``base.py``)."""
        return self.drops_rounding_since is not None and self.version >= self.drops_rounding_since

    def at_version(self, version: int | None) -> BackboneInfo:
        """Describe a version; None is the newest. :class:`BackboneError` names the known ones."""
        if version is None or version == self.version:
            return self
        if version not in self.earlier:
            known = " and ".join(map(str, (*self.earlier, self.version)))
            raise BackboneError(
                f"backbone {self.name!r} has no version {version!r} here, only {known};"
                " use one of these, or install the release that has it."
            )
        return replace(self, version=version, earlier=())

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``; :class:`BackboneError` names the known ones."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = [layer.name for layer in self.layers]
        raise BackboneError(
            f"backbone {self.name!r} has no layer {name!r};{did_you_mean(name, known)}"
            f" known layers: {', '.join(known)}."
        )
