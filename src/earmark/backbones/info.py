"""Describe backbones without loading them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from earmark.errors import BackboneError, did_you_mean


@dataclass(frozen=True)
class Layer:
    """A named place inside a backbone.

    Attributes
    ----------
    name : str
    channels : int
    bands : int
        Number of coarse frequency bands, low to high; 1 if the layer has no frequency axis.
    size : int
        ``channels * bands``, the length of its mean and of its variance. The bands of a channel are
        neighbours.
    """

    name: str
    channels: int
    bands: int = 1

    @property
    def size(self) -> int:
        return self.channels * self.bands


@dataclass(frozen=True)
class BackboneInfo:
    """The description of a backbone; all lengths are in samples at ``rate_hz``.

    Attributes
    ----------
    name : str
    summary : str
        One line: what the network is good for.
    rate_hz : int
        Sample rate that the network reads.
    window : int
        Longest core of one window.
    hop : int
        Distance between the starts of two cores.
    layers : tuple of Layer
        Lowest first.
    parameters : int
        Number of weights.
    source : str
        Paper, and where the weights come from.
    licence : str
        Licence of the weights.
    notice : str
        Copyright notice that the licence requires with copies of the weights.
    context : int
        Audio on either side of the core: the neighbouring samples, or silence beyond the clip.
    step : int or None
        A clip shorter than ``window`` is padded only to the next multiple of ``step``. None if the
        network always reads ``window`` samples.
    is_logarithmic : bool
        Whether its layers are logarithms already, so that features need no further compression.
    version : int
        Version of what the network computes. Raise it when results change: stored embeddings are
        then computed again.
    earlier : tuple of int
        Older versions that can still be computed, for classifiers that were trained with them.
    drops_rounding_since : int or None
        First version in which constant activations have exactly zero variance; None if none has.
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
    is_logarithmic: bool = False
    version: int = 1
    earlier: tuple[int, ...] = ()
    drops_rounding_since: int | None = None
    notice: str = ""

    @property
    def drops_rounding(self) -> bool:
        """Whether variance from rounding is set to 0 (see ``without_rounding`` in ``base.py``)."""
        return self.drops_rounding_since is not None and self.version >= self.drops_rounding_since

    def at_version(self, version: int | None) -> BackboneInfo:
        """Return the description of a version; None is the newest.

        Raises :class:`BackboneError` with the known versions if it is unknown.
        """
        if version is None or version == self.version:
            return self
        if version not in self.earlier:
            known = " and ".join(map(str, (*self.earlier, self.version)))
            raise BackboneError(
                f"backbone {self.name!r} has no version {version!r} here, only {known}."
                " Use one of these, or install the release that has it."
            )
        return replace(self, version=version, earlier=())

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``; :class:`BackboneError` lists the known layers."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = [layer.name for layer in self.layers]
        raise BackboneError(
            f"backbone {self.name!r} has no layer {name!r}.{did_you_mean(name, known)}"
            f" Known layers: {', '.join(known)}."
        )
