"""Labels that look wrong, search by example, and labels of an archive."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.labelling.labelled import labelled_dataset
    from earmark.labelling.reviewing import Review, review
    from earmark.labelling.suspects import Neighbour, Suspect

__all__ = ["Neighbour", "Review", "Suspect", "labelled_dataset", "review"]
__getattr__ = hand_on(
    __name__,
    {
        "Review": "reviewing",
        "review": "reviewing",
        "Neighbour": "suspects",
        "Suspect": "suspects",
        "labelled_dataset": "labelled",
    },
)
