"""Turn the arguments of ``predict`` into clips: paths, folders, bytes, samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from earmark.audio.source import BytesSource, SampleSource
from earmark.data.clip import Clip
from earmark.data.dataset import is_listed, listed
from earmark.data.folders import absent, find_clips, paths
from earmark.errors import DataError, EarmarkError

# A path, a folder, the bytes of a file, samples, a clip, or several of these.
Recordings = object


def one_clip(recording: Recordings, rate_hz: int | None = None) -> Clip | None:
    """Return a single recording as a clip; None for anything that stands for several.

    A str or Path is a recording unless it is a folder, a manifest or a label track. Samples are
    arrays (n,) or (n, channels) at ``rate_hz``. Raises EarmarkError for samples that are not audio,
    and for a rate that is given with a file.
    """
    if _is_samples(recording):
        source = SampleSource.of(recording, rate_hz)  # type: ignore[arg-type]
        return Clip(Path(source.name), recording=source)
    if rate_hz is not None and isinstance(recording, (str, Path, bytes, bytearray, Clip)):
        raise EarmarkError("rate_hz is only for samples; a file has its own rate. Leave it out.")
    if isinstance(recording, Clip):
        return recording
    if isinstance(recording, (bytes, bytearray, memoryview)):
        content = BytesSource(bytes(recording))
        return Clip(Path(content.name), recording=content)
    if isinstance(recording, (str, Path)):
        return None if os.path.isdir(recording) or is_listed(recording) else Clip(Path(recording))
    return None


def clips_of(recordings: Recordings, rate_hz: int | None = None) -> Iterator[Clip]:
    """Yield a clip for each recording, in the order given.

    A folder stands for all recordings in it, a manifest for all its rows. In a list, a folder
    without recordings is a clip that cannot be read. Raises EarmarkError for anything that is not
    a recording, and DataError for a single folder without recordings.
    """
    clip = one_clip(recordings, rate_hz)
    if clip is not None:
        yield clip
    elif isinstance(recordings, (str, Path)):
        is_table = is_listed(recordings)
        yield from listed(recordings).clips if is_table else map(Clip, paths([recordings]))
    elif isinstance(recordings, Iterable):
        for recording in recordings:
            if isinstance(recording, (int, float)) or recording is None:
                raise EarmarkError(
                    f"{recording!r} is not a recording. Give paths, bytes, or samples as an array"
                    " with rate_hz=."
                )
            if isinstance(recording, (str, Path)) and os.path.isdir(recording):
                yield from find_clips([recording])
            elif isinstance(recording, (str, Path)) and is_listed(recording):
                try:
                    yield from listed(recording).clips
                except DataError as error:
                    yield absent(recording, error)
            else:
                yield from clips_of(recording, rate_hz if _is_samples(recording) else None)
    else:
        raise EarmarkError(
            f"a {type(recordings).__name__} is not a recording. Give a path, the bytes of a file,"
            " samples with rate_hz=, or a list of these."
        )


def _is_samples(recording: object) -> bool:
    """Say whether ``recording`` is an array of NumPy, PyTorch or a similar package."""
    return isinstance(recording, np.ndarray) or hasattr(recording, "__array__")
