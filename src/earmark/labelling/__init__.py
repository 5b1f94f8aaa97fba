"""Find and correct labels that look wrong, and search an archive by example."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.labelling.reviewing import Review, review
    from earmark.labelling.suspects import Neighbour, Suspect

__all__ = ["Neighbour", "Review", "Suspect", "review"]
__getattr__ = hand_on(
    __name__,
    {"Review": "reviewing", "review": "reviewing", "Neighbour": "suspects", "Suspect": "suspects"},
)
