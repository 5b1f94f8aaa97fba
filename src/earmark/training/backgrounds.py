"""Recordings of background: what a detector hears when nothing sounds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.audio.options import AudioOptions
from earmark.data import folders
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.splits import Scheme
from earmark.embeddings.stages import Failure
from earmark.errors import AudioError, DataError, amount
from earmark.system.files import not_a_file
from earmark.training.scenes import pink

MOST_S = 20 * 60.0  # of all recordings together
PIECE_S = 30.0  # of one recording, if there are many
SHORTEST_S = 0.5  # shorter pieces are not used
DIVIDED_S = 2.0  # the shortest piece that is divided between two folds


def background_paths(background: str | Path | None) -> list[Path]:
    """Return the recordings of a background folder, or the single recording; none for None."""
    if background is None:
        return []
    path = Path(background)
    if path.is_dir():
        paths = folders.paths([path])
        if not paths:
            raise DataError(
                f"{path} has no recordings. Give --background a folder of recordings without the"
                " sounds."
            )
        return paths
    if not path.is_file():
        problem = not_a_file(path) or "does not exist"
        raise DataError(f"{path} {problem}. Give --background a folder of recordings.")
    return [path]


def check_apart(paths: Sequence[Path], dataset: Dataset) -> None:
    """Raise DataError if recordings of background are recordings of the data."""
    if not paths:
        return
    own = {clip.path.resolve() for clip in dataset.clips}
    both = [path for path in paths if path.resolve() in own]
    if both:
        raise DataError(
            f"{amount(len(both), 'recording')} of the background, such as {both[0]}, also stand in"
            " the data with a label. Give --background recordings without the sounds."
        )


def divide_background(
    dataset: Dataset, scheme: Scheme, name: str
) -> tuple[Dataset, Scheme, list[list[Clip]]]:
    """Return the other clips, their scheme, and the clips of the class ``name`` by fold.

    Raises DataError if all clips are of that class.
    """
    is_sound = np.array([clip.label != name for clip in dataset.clips])
    if not is_sound.any():
        raise DataError(f"all clips are background ({name!r}). Give clips of a class, too.")
    quiet: list[list[Clip]] = [[] for _ in scheme.names]
    for row in np.flatnonzero(~is_sound).tolist():
        quiet[int(scheme.fold[row])].append(replace(dataset.clips[row], label=None))
    kept = tuple(dataset.clips[row] for row in np.flatnonzero(is_sound).tolist())
    scheme = replace(scheme, fold=scheme.fold[is_sound], cluster=scheme.cluster[is_sound])
    return replace(dataset, clips=kept), scheme, quiet


def read_backgrounds(
    paths: Sequence[Path],
    n_folds: int,
    rate_hz: int,
    options: AudioOptions,
    seed: int,
    skipped: list[Failure],
) -> list[list[Samples]]:
    """Return pieces of background for each fold; neighbours in the folder share a fold.

    Of many recordings, some are read; of a long one, a random piece. Recordings that cannot be read
    are added to ``skipped``. Raises DataError if too little is left.
    """
    most = max(n_folds, round(MOST_S / PIECE_S))
    picks = list(paths)
    if len(paths) > most:
        picks = [paths[k] for k in np.linspace(0, len(paths) - 1, most).astype(int)]
    rng, pieces = np.random.default_rng(seed), list[Samples]()
    for path in picks:
        try:
            x = _piece(path, rate_hz, options, max(PIECE_S, MOST_S / len(picks)), rng)
        except AudioError as error:
            skipped.append(Failure(Clip(path), f"{error.reason}.", error.kind))
            continue
        if len(x) >= SHORTEST_S * rate_hz:
            pieces.append(x)
    if not pieces:
        raise DataError(
            f"none of {amount(len(paths), 'recording')} of background could be read. Give a folder"
            " of recordings without the sounds."
        )
    while len(pieces) < n_folds:  # of few long recordings, every fold gets a stretch
        longest = max(range(len(pieces)), key=lambda k: len(pieces[k]))
        x = pieces[longest]
        if len(x) < DIVIDED_S * rate_hz:
            seconds = sum(map(len, pieces)) / rate_hz
            raise DataError(
                f"the background has {seconds:.1f} s, too little for {n_folds} folds. Give at least"
                " a minute of sound."
            )
        pieces[longest : longest + 1] = [x[: len(x) // 2], x[len(x) // 2 :]]
    borders = [fold * len(pieces) // n_folds for fold in range(n_folds + 1)]
    return [pieces[a:b] for a, b in itertools.pairwise(borders)]


def _piece(
    path: Path, rate_hz: int, options: AudioOptions, most_s: float, rng: np.random.Generator
) -> Samples:
    """Return a recording, or a random piece of a long one."""
    header = audio.header_of(path)
    seconds = header.frames / header.rate_hz
    start = float(rng.uniform(0, seconds - most_s)) if seconds > most_s else None
    end = None if start is None else start + most_s
    x = audio.read(path, rate_hz, start, end, options).samples
    most = round(most_s * rate_hz)
    return x if len(x) <= most else x[:most].copy()  # the header did not give the length


def pink_noise(rate_hz: int, rng: np.random.Generator) -> Samples:
    """Return 10 s of pink noise at a random level."""
    noise = pink(rng.standard_normal(10 * rate_hz))
    return np.asarray(10 ** float(rng.uniform(-4, -1.5)) * noise, np.float32)
