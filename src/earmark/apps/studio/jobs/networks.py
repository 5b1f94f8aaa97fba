"""The pretrained networks that a training can choose, as the command line lists them.

A process of its own lists them, because describing a network imports PyTorch, which takes the
server's memory and seconds of its time.
"""

from __future__ import annotations

import functools
import json
import subprocess
from typing import Any

from earmark.apps.studio.jobs import processes
from earmark.backbones import auto
from earmark.errors import EarmarkError

MOST_S = 120.0
# Seconds of audio that two cores embed in a second, network by network: docs/engines.md and
# benchmarks/results. Others are taken for slow ones.
SPEEDS = {
    "logmel": 680,
    "efficientat-mn04": 500,
    "speech-embedding": 430,
    "yamnet": 260,
    "yamnet-float32": 260,
    "efficientat-mn10": 200,
    "vggish": 110,
}
SLOW = 17
_ABOUT = {
    "logmel": "No pretrained network at all: plain statistics of the spectrogram. Quick, and the"
    " least that the others have to beat.",
    "speech-embedding": "Google's small network for words and voices. It comes with earmark.",
    "efficientat-mn04": "A small network that has heard everyday sounds, up to 15 kHz.",
    "efficientat-mn10": "The larger brother of efficientat-mn04. Slower.",
    "yamnet": "Google's classic for everyday sounds, up to 8 kHz.",
    "yamnet-float32": "YAMNet with weights in full precision.",
    "vggish": "The classic network of AudioSet. Large.",
    "wav2vec2-base": "A large network that has heard only speech. Slow without a graphics card.",
    "wav2vec2-base-960h": "wav2vec2-base after it learned to write English down. Slow.",
}


@functools.cache
def networks() -> tuple[dict[str, Any], ...]:
    """Return the pretrained networks.

    Each has ``name``, ``about``, ``licence``, ``rate_hz``, ``is_at_hand``, ``download_mb``,
    ``fetch_command`` and ``speed`` (about how many times faster than real time). The first call
    takes seconds, so make it in a thread, and ``networks.cache_clear()`` after a download. Raises
    EarmarkError if the command fails.
    """
    command = [*processes.EARMARK, "backbones", "list", "--json"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=MOST_S,
            check=True,
            env=processes.environment(),
        )
        rows = json.loads(done.stdout)["backbones"]
        return tuple(map(_network, rows))
    except (OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
        raise EarmarkError(
            f"`earmark backbones list` failed ({error}). Run it in a terminal to see why."
        ) from error


def _network(row: dict[str, Any]) -> dict[str, Any]:
    name = str(row["name"])
    return {
        "name": name,
        "about": _ABOUT.get(name, row["summary"]),
        "licence": row["licence"],
        "rate_hz": row["rate_hz"],
        "is_at_hand": row["is_at_hand"],
        "download_mb": row["download_mb"],
        "fetch_command": f"earmark backbones fetch {name}",
        "speed": SPEEDS.get(name, SLOW),
    }


def automatic() -> tuple[list[str], str]:
    """Return the networks that 'auto' takes on this machine, and advice on better ones."""
    at_hand = {row["name"] for row in networks() if row["is_at_hand"]}
    for choice in auto.CHOICES:
        if at_hand.issuperset(choice.backbones):
            return list(choice.backbones), choice.advice
    return [], "Fetch a network first: `earmark backbones fetch speech-embedding` (2 MB)."
