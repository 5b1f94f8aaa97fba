"""Names and rate of the inputs and outputs of an exported graph."""

from collections.abc import Sequence

from earmark.backbones.base import Backbone

WAVEFORM, SCORES, KNOWN_SCORE = "waveform", "scores", "known_score"


def rate_of(networks: Sequence[Backbone]) -> int:
    """Return the sample rate that a graph reads: the highest of its backbones."""
    return max(network.info.rate_hz for network in networks)
