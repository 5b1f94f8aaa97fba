"""Choose the hop and the window lengths that suit the events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earmark.backbones.base import Backbone
from earmark.errors import EarmarkError

HOPS_S = (0.08, 0.04, 0.02, 0.01)
HOPS_OF_EVENT = 2.5  # hops in a short event
LENGTHS = (0.6, 1.0, 1.6)  # windows to try, as multiples of the median event
SHORTEST_WINDOW, LONGEST_WINDOW_S = 3, 3.0  # hops; seconds
HOPS_OF_WINDOW = 4  # for networks that compute each window by itself


def choose_windows(
    networks: Sequence[Backbone], durations: np.ndarray, layers: str
) -> tuple[float, list[float]]:
    """Return the hop and the window lengths to try, in seconds.

    ``durations`` (M,) are those of the events in seconds. Layers of ``networks`` that are too slow
    for the hop are dropped; raises EarmarkError if ``layers`` names one of them.
    """
    short_s, median_s = float(np.quantile(durations, 0.25)), float(np.median(durations))
    if all(network.block_step() is not None for network in networks):
        hop_s = next((h for h in HOPS_S if h * HOPS_OF_EVENT <= short_s), HOPS_S[-1])
        known = _layer_names(networks)
        for network in networks:
            _keep_fast_layers(network, hop_s)
        _check_layers(layers, known, _layer_names(networks), hop_s)
        least = SHORTEST_WINDOW * hop_s
    else:
        least = max(0.32, *(_own_window_s(network) for network in networks))
        hop_s = max(0.08, 0.08 * round(min(median_s, 2.0) / HOPS_OF_WINDOW / 0.08))
    multiples = {
        max(round(least / hop_s), round(min(factor * median_s, LONGEST_WINDOW_S) / hop_s))
        for factor in LENGTHS
    }
    return hop_s, [round(k * hop_s, 6) for k in sorted(multiples)]


def _own_window_s(network: Backbone) -> float:
    """Return the length of windows that a network always reads; 0 if it reads shorter ones."""
    info = network.info
    fixed = info.step is None and network.block_step() is None
    return info.window / info.rate_hz if fixed else 0.0


def _keep_fast_layers(network: Backbone, hop_s: float) -> None:
    """Drop the layers whose frames are further apart than the hop."""
    hop = round(hop_s * network.info.rate_hz)
    layers = [y.name for y in network.info.layers]
    while layers and (network.block_step() or 1) > hop:
        layers.pop()
        network.restrict_to_layers(layers)


def _layer_names(networks: Sequence[Backbone]) -> list[str]:
    return list(dict.fromkeys(y.name for network in networks for y in network.info.layers))


def _check_layers(asked: str, known: Sequence[str], fast: Sequence[str], hop_s: float) -> None:
    """Raise EarmarkError if a layer that was asked for is too slow for the hop."""
    names = [name.rpartition("/")[2] for name in asked.split(",")]
    slow = [name for name in names if name in known and name not in fast]
    if slow:
        raise EarmarkError(
            f"layer {slow[0]!r} has a frame less often than every {hop_s:g} s, which these short"
            f" events need. Give some of {', '.join(fast)}, or leave out --layers."
        )
