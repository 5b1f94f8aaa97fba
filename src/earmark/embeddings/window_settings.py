"""What all windows of one network in an archive share, and the grid of windows that fits it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.embeddings.part import PartSettings
from earmark.system.jsons import json_text

INDEX = "index"  # the kind of parts with windows


@dataclass(frozen=True)
class WindowSettings(PartSettings):
    """What the parts of one network in an archive share.

    Attributes
    ----------
    window_s, hop_s : float
        Window i of a recording covers ``i * hop_s .. i * hop_s + window_s``.
    """

    window_s: float = 1.0
    hop_s: float = 0.5

    @classmethod
    def on_grid(
        cls, backbone: Backbone, options: AudioOptions, window_s: float, hop_s: float
    ) -> WindowSettings:
        """Return the settings for all layers of a backbone, with the nearest grid that it allows.

        0 < ``hop_s`` <= ``window_s``.
        """
        window_s, hop_s = snapped(backbone, window_s, hop_s)
        shared = PartSettings.of(backbone, options)
        return cls(**{name: getattr(shared, name) for name in shared.__dataclass_fields__},
                   window_s=window_s, hop_s=hop_s)  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return what decides the numbers; equal settings give equal objects."""
        settings = super().to_json()
        del settings["part_clips"]
        return {**settings, "kind": INDEX, "window_s": self.window_s, "hop_s": self.hop_s}

    @property
    def text(self) -> str:
        """The object as one line of JSON; the layers are in the order of the columns."""
        return json_text(self.to_json())


def folder_of(settings_text: str, name: str) -> str:
    """Return the name of the folder of a network's parts in an archive."""
    digest = hashlib.sha256(settings_text.encode()).hexdigest()[:8]
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:40]
    return f"{plain}-{digest}"


def snapped(backbone: Backbone, window_s: float, hop_s: float) -> tuple[float, float]:
    """Return the nearest window and hop, in seconds, that the frames of a network allow."""
    rate_hz, step = backbone.info.rate_hz, backbone.block_step()
    if step is None:
        length, hop = (max(1, round(s * rate_hz)) for s in (window_s, hop_s))
    else:
        hop = max(1, round(hop_s * rate_hz / step)) * step
        length = max(1, round(window_s * rate_hz / hop)) * hop
    return length / rate_hz, hop / rate_hz
