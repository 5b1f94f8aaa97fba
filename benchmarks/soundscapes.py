"""Make data for detectors, with exact truth, from real recordings.

    python benchmarks/soundscapes.py digits OUT --speaker theo --snr 10
    python benchmarks/soundscapes.py digits OUT --speaker theo --leave-out 3,7
    python benchmarks/soundscapes.py esc10 OUT --fold 5 --snr 0
    python benchmarks/soundscapes.py finch OUT
    python benchmarks/soundscapes.py halves OUT
    python benchmarks/soundscapes.py hours OUT --only silence,hum
    python benchmarks/soundscapes.py long OUT --of SET --hours 24
    python benchmarks/soundscapes.py look SET...

A set has ``train/manifest.csv`` (absolute paths, label, group, fold) or ``train/`` with label
tracks, ``background/`` for ``--background``, and ``test/`` with a label track beside each
soundscape. Speakers, folds and backgrounds of ``test/`` are nowhere else. ``truth.csv`` has all
events; its ``snr_db`` is the ratio to the background under the event alone. Classes that
``--leave-out`` names are in the soundscapes but not in the manifest; their label tracks are in
``unknown/``. The same seed gives the same bytes, and the same sounds at the same places for every
ratio. ``laying.py`` says what counts as sounding, and what the ratio is.

Digits: one event a clip, from its first to its last sound, at 16 kHz, after 0.5 to 3 s of pause.
ESC-10: stretches less than 1 s apart (``--join``) are one event; pauses of 1 to 5 s. The rate is
that of the background, 22 kHz: at 44.1 kHz, only events would have anything above 11 kHz.

Recordings: EARMARK_TEST_DATA, or ../shared/data beside the checkout. What holds digits is CC BY-SA.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import shutil
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from earmark import audio
from earmark.errors import amount
from laying import (
    Laid,
    Samples,
    Sound,
    in_turns,
    joined,
    mixed,
    places,
    snr_at,
    sounds_of,
    write_flac,
    write_track,
)
from machine import shared_data

Row = Mapping[str, str]

RATES_HZ = {"digits": 16_000, "esc10": 22_000}  # forest/ is at 22 kHz
GAPS_S = {"digits": (0.5, 3.0), "esc10": (1.0, 5.0)}
SOUNDSCAPE_S = 60
LEFT_OUT_OF = 5  # of finch/, every fifth recording is for the test
SONG_GAP_S, SONG_MARGIN_S = 1.0, 0.1  # notes this close are of one song
HOURS_HZ, HOUR_S, BLOCK_S = 16_000, 3_600, 60
LEVEL = 10 ** (-30 / 20)  # RMS of hum and white noise, as forest/ has
LSB = 1 / 32767


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def halves() -> tuple[list[Path], list[Path]]:
    """Return the pieces of background with an even number, and the others."""
    pieces = sorted(shared_data("forest").glob("*.flac"))
    return pieces[::2], pieces[1::2]


def copy_to(folder: Path, files: Iterable[Path]) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def waveform(path: Path, rate_hz: int) -> Samples:
    return np.asarray(audio.load(path, rate_hz), np.float64)


def shuffled(pieces: Sequence[Samples], rng: np.random.Generator) -> Iterator[Samples]:
    """Yield all pieces in random order, then in another one, without end."""
    while True:
        for k in rng.permutation(len(pieces)):
            yield pieces[k]


def make_soundscapes(
    out: Path,
    soundscapes: Iterable[Sequence[Laid]],
    pieces: Sequence[Path],
    rate_hz: int,
    arguments: argparse.Namespace,
    rng: np.random.Generator,
) -> None:
    """Write test/, unknown/ if classes are left out, and truth.csv."""
    (out / "test").mkdir()
    if arguments.leave_out:
        (out / "unknown").mkdir()
    background = shuffled([waveform(piece, rate_hz) for piece in pieces], rng)
    truth = []
    for number, laid in enumerate(soundscapes):
        n = SOUNDSCAPE_S * rate_hz
        under = joined(background, rate_hz, n)
        x = mixed(under, laid, arguments.snr)
        write_flac(out / "test" / f"{number:03d}.flac", x, rate_hz)
        tracks: dict[bool, list[tuple[float, float, str]]] = {True: [], False: []}
        for one in laid:
            start, end, label = one.start / rate_hz, one.end / rate_hz, one.sound.label
            known = label not in arguments.leave_out
            tracks[known].append((start, end, label))
            truth.append(
                {
                    "path": f"test/{number:03d}.flac",
                    "start": f"{start:.6f}",
                    "end": f"{end:.6f}",
                    "label": label,
                    "known": int(known),
                    "clip": one.sound.clip,
                    "snr_db": f"{snr_at(under, one, arguments.snr):.1f}",
                }
            )
        write_track(out / "test" / f"{number:03d}.txt", tracks[True])
        if arguments.leave_out:
            write_track(out / "unknown" / f"{number:03d}.txt", tracks[False])
    write_rows(out / "truth.csv", truth)


def make(
    arguments: argparse.Namespace,
    source: Path,
    rows: Sequence[Row],
    test_on: tuple[str, str],
    join_s: float,
) -> None:
    """Write a set of clips to train on, and soundscapes of other clips on the other half.

    ``test_on`` is a column and the value that the clips of the soundscapes have there.
    """
    out, rate_hz = arguments.out, arguments.rate_hz
    column, value = test_on
    train = [row for row in rows if row[column] != value]
    test = [row for row in rows if row[column] == value]
    strange = set(arguments.leave_out) - {row["label"] for row in rows}
    if strange or not test:
        got, what = (min(strange), "label") if strange else (value, column)
        has = sorted({row[what] for row in rows})
        raise SystemExit(f"No clip has the {what} {got!r}. Choose from {', '.join(has)}.")
    rng = np.random.default_rng([arguments.seed, *value.encode()])
    mine, others = halves()[:: -1 if arguments.swap else 1]
    copy_to(out / "background", mine)
    (out / "train").mkdir()
    known = [row for row in train if row["label"] not in arguments.leave_out]
    write_rows(
        out / "train" / "manifest.csv",
        [{**row, "path": (source / row["path"]).resolve()} for row in known],
    )
    sounds: list[Sound] = []
    for row in test:
        x = waveform(source / row["path"], rate_hz)
        sounds += sounds_of(x, rate_hz, join_s, row["label"], row["path"])
    order = in_turns(sounds, rng)
    laid = places(order, rate_hz, SOUNDSCAPE_S, GAPS_S[arguments.set], arguments.overlap, rng)
    wanted = None if arguments.minutes is None else math.ceil(arguments.minutes * 60 / SOUNDSCAPE_S)
    chosen = list(itertools.islice(laid, wanted))
    make_soundscapes(out, chosen, others, rate_hz, arguments, rng)


def digits(arguments: argparse.Namespace) -> None:
    """Train on all speakers but one."""
    source = shared_data("fsdd")
    rows = [
        {"path": row["path"], "label": row["label"], "group": row["speaker"]}
        for row in rows_of(source / "meta.csv")
    ]
    make(arguments, source, rows, ("group", arguments.speaker), math.inf)


def esc10(arguments: argparse.Namespace) -> None:
    """Train on four folds of ESC-10."""
    source = shared_data("esc10")
    rows = [
        {"path": r["path"], "label": r["label"], "fold": r["fold"], "group": r["source"]}
        for r in rows_of(source / "meta.csv")
    ]
    make(arguments, source, rows, ("fold", str(arguments.fold)), arguments.join)


def songs(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Return the songs of a recording, each with a margin; only songs were annotated."""
    found: list[tuple[float, float]] = []
    for start, end in sorted((float(row["start"]), float(row["end"])) for row in rows):
        if found and start - found[-1][1] < SONG_GAP_S:
            start, end = found[-1][0], max(end, found.pop()[1])
        found.append((start, end))
    return [(max(0.0, start - SONG_MARGIN_S), end + SONG_MARGIN_S) for start, end in found]


def finch(arguments: argparse.Namespace) -> None:
    """Leave out every fifth recording; regions.csv has the songs, inside which notes are marked."""
    source = shared_data("finch")
    rows = rows_of(source / "meta.csv")
    regions, truth = [], []
    paths = sorted({row["path"] for row in rows})
    sides: dict[str, list[Path]] = {"train": [], "test": []}
    for number, path in enumerate(paths):
        side = "test" if number % LEFT_OUT_OF == LEFT_OUT_OF - 1 else "train"
        file = source / path
        sides[side] += [file, file.with_suffix(".txt")]
        notes = [row for row in rows if row["path"] == path]
        name = f"{side}/{file.name}"
        regions += [{"path": name, "start": f"{a:.6f}", "end": f"{b:.6f}"} for a, b in songs(notes)]
        if side == "test":
            columns = ("start", "end", "label")
            truth += [{"path": name, **{key: row[key] for key in columns}} for row in notes]
    for side, files in sides.items():
        copy_to(arguments.out / side, files)
    write_rows(arguments.out / "regions.csv", regions)
    write_rows(arguments.out / "truth.csv", truth)


def both_halves(arguments: argparse.Namespace) -> None:
    """Copy each half of the background; none of it has an event."""
    for name, pieces in zip(("even", "odd"), halves(), strict=True):
        copy_to(arguments.out / name, pieces)


def dither(rng: np.random.Generator, n: int) -> Samples:
    return (rng.random(n) - rng.random(n)) * LSB


def hum(rng: np.random.Generator, time: Samples) -> Samples:
    """Return mains hum: 50 Hz and its harmonics up to 500 Hz, each weaker than the one before."""
    weights = [0.7**k for k in range(10)]
    x = sum(w * np.sin(2 * np.pi * 50 * (k + 1) * time + k) for k, w in enumerate(weights))
    power = sum(w * w for w in weights) / 2
    return np.asarray(x) * (LEVEL / math.sqrt(power)) + dither(rng, len(time))


HOURS = {
    "silence": lambda rng, time: np.zeros(len(time)),
    "hum": hum,
    "white": lambda rng, time: rng.normal(0, LEVEL, len(time)),
    "dither": lambda rng, time: dither(rng, len(time)),
}


def hours(arguments: argparse.Namespace) -> None:
    """Write an hour each of sounds without an event."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        rng = np.random.default_rng([arguments.seed, *name.encode()])
        path, blocks = arguments.out / f"{name}.flac", HOUR_S // BLOCK_S
        with soundfile.SoundFile(path, "w", HOURS_HZ, 1, subtype="PCM_16") as file:
            for block in range(blocks):
                time = block * BLOCK_S + np.arange(BLOCK_S * HOURS_HZ) / HOURS_HZ
                x = HOURS[name](rng, time)
                file.write(np.round(x * 32767).astype(np.int16))


def long(arguments: argparse.Namespace) -> None:
    """Repeat the soundscapes of a set until a recording is as long as asked."""
    files = sorted((arguments.of / "test").glob("*.flac"))
    if not files:
        raise SystemExit(f"{arguments.of} has no soundscapes in test/. Make the set first.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = [soundfile.read(file, dtype="int16") for file in files]
    rate_hz = parts[0][1]
    tracks = [read_track(file.with_suffix(".txt")) for file in files]
    left, begin, rows = round(arguments.hours * 3_600 * rate_hz), 0.0, []
    name = f"{arguments.hours:g}h"
    with soundfile.SoundFile(
        arguments.out / f"{name}.flac", "w", rate_hz, 1, subtype="PCM_16"
    ) as file:
        for (x, _), track in itertools.cycle(zip(parts, tracks, strict=True)):
            if left <= 0:
                break
            file.write(x[:left])
            rows += [(begin + a, begin + b, c) for a, b, c in track if b * rate_hz <= left]
            left, begin = left - len(x), begin + len(x) / rate_hz
    write_track(arguments.out / f"{name}.txt", rows)


def read_track(path: Path) -> list[tuple[float, float, str]]:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [(float(start), float(end), label) for start, end, label in rows]


def look(arguments: argparse.Namespace) -> None:
    """Print what the soundscapes of sets have."""
    for folder in arguments.sets:
        describe_set(folder)


def describe_set(folder: Path) -> None:
    recordings = sorted((folder / "test").glob("*.flac")) or sorted(folder.rglob("*.flac"))
    seconds = sum(soundfile.info(path).duration for path in recordings)
    print(f"{folder}: {amount(len(recordings), 'recording')}, {seconds / 3600:.3f} hours")
    tracks = {"events": recordings, "unknown": [folder / "unknown" / p.name for p in recordings]}
    for name, paths in tracks.items():
        beside = [path.with_suffix(".txt") for path in paths]
        events = [event for path in beside if path.exists() for event in read_track(path)]
        if events:
            lengths = [end - start for start, end, _ in events]
            print(
                f"  {name}: {len(events)} of {amount(len({e[2] for e in events}), 'class')}, median"
                f" {statistics.median(lengths):.2f} s ({min(lengths):.2f} to {max(lengths):.2f}),"
                f" {sum(lengths) / seconds:.0%} of the time"
            )


def names(text: str) -> list[str]:
    return text.split(",")


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make data for detectors; see the file's head.")
    commands = parser.add_subparsers(dest="set", required=True)
    made = {
        name: commands.add_parser(name)
        for name in ("digits", "esc10", "finch", "halves", "hours", "long")
    }
    for command in made.values():
        command.add_argument("out", type=Path, help="a new folder")
        command.add_argument("--seed", type=int, default=0)
    for name, minutes in (("digits", 10.0), ("esc10", None)):
        command = made[name]
        command.add_argument("--snr", type=float, default=10, metavar="DB")
        command.add_argument("--leave-out", type=names, default=[], metavar="LABEL,...")
        command.add_argument("--swap", action="store_true", help="test on the even half of forest/")
        command.add_argument("--overlap", type=float, default=0.0, metavar="SHARE")
        command.add_argument("--minutes", type=float, default=minutes, help="of soundscapes")
        command.add_argument("--rate-hz", type=int, default=RATES_HZ[name])
    made["digits"].add_argument("--speaker", required=True)
    made["esc10"].add_argument("--fold", type=int, default=5, choices=range(1, 6))
    made["esc10"].add_argument("--join", type=float, default=1.0, metavar="SECONDS")
    made["hours"].add_argument("--only", type=names, default=list(HOURS), metavar="NAME,...")
    made["long"].add_argument("--of", type=Path, required=True, metavar="SET")
    made["long"].add_argument("--hours", type=float, default=24)
    commands.add_parser("look").add_argument("sets", type=Path, nargs="+")
    return parser.parse_args(argv)


MAKERS = {
    "digits": digits,
    "esc10": esc10,
    "finch": finch,
    "halves": both_halves,
    "hours": hours,
    "long": long,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Make one set, or print what sets have."""
    arguments = parsed(argv)
    if arguments.set == "look":
        look(arguments)
        return
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise SystemExit(f"{arguments.out} is not empty. Name a new folder.")
    MAKERS[arguments.set](arguments)
    describe_set(arguments.out)


if __name__ == "__main__":
    main()
