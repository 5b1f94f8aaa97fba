"""Pretrained networks: waveform windows in, statistics of every layer out.

Without torch: ``info``, ``registry``. With it: ``base`` (the contract), ``engines``, ``networks``.
"""

from typing import TYPE_CHECKING

from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.registry import info, list_backbones, load_backbone, register, weight_files
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

__all__ = [
    "Activations",
    "Backbone",
    "BackboneInfo",
    "Layer",
    "LayerStats",
    "frame_weights",
    "info",
    "layer_stats",
    "list_backbones",
    "load_backbone",
    "real_share",
    "register",
    "weight_files",
]
__getattr__ = hand_on(__name__, {**dict.fromkeys(__all__, "base"), "register_family": "registry"})
