"""Find the columns of a table by name or other spelling, and suggest likely ones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from earmark.data.clip import COLUMNS
from earmark.data.split_words import OFF
from earmark.errors import DataError, did_you_mean

# Other names of our columns in tables of the field. Names that include the unit are read. The
# others are only suggested, because they may mean something else.
TIMES = {
    "start": ("start (s)", "begin time (s)", "start_s", "start_seconds", "onset_s"),
    "end": ("end (s)", "end time (s)", "end_s", "end_seconds", "offset_s"),
}
_OFFERED = {
    "path": "file_name filename filepath file_path file files fname audio audio_path audio_file"
    " audio_filepath audiofile wav wav_path wav_file recording recordings sound sound_file"
    " slice_file_name clip clip_path notated_path location url uri name",
    "label": "labels class classes class_name category categories species target annotation tag"
    " tags common_name scientific_name primary_label scene_label event_label"
    " ebird_code genre emotion word command y",
    "split": "subset set partition usage phase dataset_split data_split"
    " is_test is_train is_val is_valid is_validation",
    "start": "start_time begin begin_time onset t_start tmin from start_sec",
    "end": "end_time stop stop_time t_end tmax to end_sec",
}
OFFERED = {ours: tuple(names.split()) for ours, names in _OFFERED.items()}  # most likely first


_NOT_SECONDS = re.compile(
    r"(start|begin|onset|end|stop|offset)(_time)?[ _(]*(ms|msec|milliseconds?|frames?|samples?)\)?"
)


def plain(name: str) -> str:
    """Return a column's name in lower case, without spaces around it."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def match(name: str, columns: Sequence[str]) -> str | None:
    """Return the column with this name; if there is none, the only one that differs in spelling."""
    if name in columns:
        return name
    near = [column for column in columns if plain(column) == plain(name)]
    return near[0] if len(near) == 1 else None


def columns_in_use(names: Iterable[str]) -> set[str]:
    """Return the plain names of all columns that may be read when ``names`` are requested."""
    times = [name for aliases in TIMES.values() for name in aliases]
    offered = [name for ours in ("split", "start", "end") for name in (*OFFERED[ours], "offset")]
    return {plain(name) for name in (*names, *times, *offered)}


def resolve(
    table: str, columns: Sequence[str], options: Mapping[str, str | None], need_labels: bool
) -> tuple[dict[str, str], list[str]]:
    """Return the table's column for each of ours, and notes on the choice.

    ``options`` maps our names to the names that the user gave, or None. Raises DataError if a
    required column is missing; the message suggests similar columns.
    """
    chosen: dict[str, str] = {}
    notes = []
    for ours in COLUMNS:
        name = options.get(ours)
        column = match(name or ours, columns)
        if column is None and ours in TIMES and name == OFF:
            continue
        if column is None and name is None:
            column = next((c for c in (match(n, columns) for n in TIMES.get(ours, ())) if c), None)
        if column is None:
            if name or ours == "path" or (ours == "label" and need_labels):
                raise DataError(_missing(table, name or ours, ours, columns))
            continue
        chosen[ours] = column
        if column != (name or ours) and ours not in ("path", "label"):
            notes.append(f"column {column!r} is read as {ours}; earmark 0.1 ignored it")
    named_columns = {match(name, columns) for name in options.values() if name} - {None}
    for ours in ("group", "fold", "split"):  # with --fold split, that column is not the split
        if options.get(ours) is None and chosen.get(ours) in named_columns:
            del chosen[ours]
    near_offset = "end" if match("onset", columns) else "start"  # in DCASE, 'offset' is an end
    for ours in ("start", "end", "split"):
        offered = (*OFFERED[ours], *(("offset",) if ours == near_offset else ()))
        near = [column for column in columns if plain(column) in offered]
        if ours not in chosen and near and near[0] not in chosen.values():
            notes.append(
                f"column {near[0]!r} is not used; if it is the {ours}, add --{ours} {near[0]!r}"
            )
    other = [c for c in columns if _NOT_SECONDS.fullmatch(plain(c)) and c not in chosen.values()]
    if other and "start" not in chosen:
        notes.append(
            f"column {other[0]!r} is not used, because times must be in seconds; if clips are"
            " stretches, add --start and --end with columns in seconds"
        )
    if not any("is not used; if it is" in note for note in notes):
        notes += _half_a_stretch(chosen, options)
    return chosen, notes


def _half_a_stretch(chosen: Mapping[str, str], options: Mapping[str, str | None]) -> list[str]:
    """Return a note if the table has only one end of its stretches, as after a misspelt name."""
    halves = (("end", "start", "begins at 0 s"), ("start", "end", "ends with its recording"))
    return [
        f"there is no column for the {other} of clips, so each {does}; if another column has it,"
        f" add --{other} with its name"
        for ours, other, does in halves
        if ours in chosen and other not in chosen and options.get(other) != OFF
    ]


def _missing(table: str, name: str, ours: str, columns: Sequence[str]) -> str:
    offered = OFFERED.get(ours, ())
    likely = [c for c in columns if plain(c).replace(" ", "_") in offered]
    likely.sort(key=lambda column: offered.index(plain(column).replace(" ", "_")))
    hint = did_you_mean(name, columns)
    if likely:
        shown = " or ".join(f"--{ours} {_shell(column)}" for column in likely[:3])
        hint = f" If {likely[0]!r} is the {ours}, give {shown}."
    several = [column for column in columns if plain(column) == plain(name)]
    if len(several) > 1:
        hint = f" It may be any of {', '.join(map(repr, several))}: choose one with --{ours}."
    return (
        f"{table} has no column {name!r}.{hint} Its columns are"
        f" {', '.join(map(repr, columns)) or 'none'}."
    )


def _shell(column: str) -> str:
    return f"'{column}'" if not column.replace("_", "").isalnum() else column
