"""Pretrained networks: waveform windows in, statistics of every layer out.

``info`` and ``registry`` describe and name them without torch, ``base`` is the contract,
``engines`` compute them, ``networks`` has a module for each.
"""

from typing import TYPE_CHECKING

from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.registry import (
    check_name,
    info,
    list_backbones,
    load_backbone,
    register,
    register_family,
    weight_files,
)
from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.backbones.base import (
        Activations,
        Backbone,
        LayerStats,
        frame_weights,
        layer_stats,
        real_share,
    )

_BASE = ("Activations", "Backbone", "LayerStats", "frame_weights", "layer_stats", "real_share")
__all__ = [
    "Activations",
    "Backbone",
    "BackboneInfo",
    "Layer",
    "LayerStats",
    "check_name",
    "frame_weights",
    "info",
    "layer_stats",
    "list_backbones",
    "load_backbone",
    "real_share",
    "register",
    "register_family",
    "weight_files",
]
__getattr__ = hand_on(__name__, dict.fromkeys(_BASE, "base"))
