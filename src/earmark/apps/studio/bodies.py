"""What the page may send. Every field has a type and a limit, and none is a path."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MOST_IDS = 50_000
MOST_SECONDS = 10_000_000.0
PIECE_BYTES = 2**20  # the most of one part of an upload
MOST_EXAMPLES = 100  # of a search
BODY_BYTES = 2**21  # the most of any body; that of all ids is the largest

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Ids = Annotated[list[Id], Field(min_length=1, max_length=MOST_IDS)]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Seconds = Annotated[float, Field(ge=0, le=MOST_SECONDS, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Labelled(_Body):
    """Clips that get a label, or lose it."""

    ids: Ids
    label: Text | None


class Region(_Body):
    """A new clip: a stretch of a recording."""

    recording: Id
    start: Seconds
    end: Seconds
    label: Text | None


class MovedRegion(_Body):
    """A clip that gets other ends or another label."""

    id: Id
    start: Seconds
    end: Seconds
    label: Text | None


class Several(_Body):
    """Clips."""

    ids: Ids


class LeftOut(_Body):
    """Clips that are left out, and why."""

    ids: Ids
    reason: Text = ""


class Renamed(_Body):
    """A class that gets another name."""

    old: Text
    new: Text


class One(_Body):
    """A thing by its id."""

    id: Id


class Upload(_Body):
    """What is about to be uploaded."""

    kind: Literal["file", "pcm"]
    name: Text
    bytes: Annotated[int, Field(ge=0, le=2**40)] | None = None
    folder: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    label: Text | None = None
    take: Text | None = None
    rate_hz: Annotated[int, Field(ge=100, le=10_000_000)] | None = None
    purpose: Literal["keep", "try"] = "keep"


class Action(_Body):
    """An action of the page and what was chosen for it."""

    kind: Annotated[str, StringConstraints(max_length=40)]
    choices: Annotated[dict[str, Any], Field(max_length=100)] = {}


class Decision(_Body):
    """What was decided about a suspect."""

    row: Annotated[int, Field(ge=0, le=10**9)]
    decision: Text


class Stretch(_Body):
    """A clip, a recording or an upload by its id, or a stretch of it."""

    id: Id
    start: Seconds | None = None
    end: Seconds | None = None


Stretches = Annotated[list[Stretch], Field(max_length=MOST_EXAMPLES)]
Conditions = Annotated[list[Text], Field(max_length=20)]


class Search(_Body):
    """Examples of what to find in an archive, and of what not to find."""

    archive: Text
    like: Stretches
    unlike: Stretches = []
    where: Conditions = []
    top: Annotated[int, Field(ge=1, le=200)] = 50
    per_recording: Annotated[int, Field(ge=1, le=200)] | None = None


class Kept(_Body):
    """Stretches that become clips of a class."""

    stretches: Annotated[list[Stretch], Field(min_length=1, max_length=200)]
    label: Text


class Asked(_Body):
    """Which class a person labels in an archive."""

    archive: Text
    name: Annotated[Text, Field(min_length=1)]
    who: Annotated[Text, Field(max_length=100)] = ""


class Round(Asked):
    """A round of windows; the one that is open, unless it is to be a ``fresh`` one."""

    fresh: bool = False
    where: Conditions = []
    group: Text | None = None
    like: Stretches = []


class Answer(Asked):
    """The answer on a window of a round."""

    round: Id
    number: Annotated[int, Field(ge=0, le=1_000)]
    word: Annotated[Text, Field(min_length=1)]
