"""Read unusual and damaged files: which can be read, and do the two decoders agree?

    python benchmarks/oddities.py [MUTATED]

Another process reads every file of the test data `oddities` whole and in part, so that a crash or a
hang (30 s) is noticed. Then it reads MUTATED (2,000) damaged copies of them: bits, bytes and
numbers changed, mostly in headers; parts cut out, repeated or cut off. If libsndfile and FFmpeg can
both read a file, their samples are compared at the best shift within a codec's delay.
Recordings: EARMARK_TEST_DATA, or ../shared/data beside the checkout.
"""

from __future__ import annotations

import collections
import csv
import random
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.signal

from earmark import audio
from earmark.audio import decoder, ffmpeg, libsndfile
from earmark.audio.decoder import Decoder
from earmark.audio.source import FileSource
from machine import describe, shared_data, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from audio_files import mutated
from audio_victim import Victim

MUTATED = 2_000
MOST_BYTES = 200_000  # only smaller files are damaged: most decoders fail at the header
DELAY = 1_200  # samples that MPEG's encoder and decoder add together
OUTCOMES = ("read", "refused", "crashed", "hung", "raised")
REMARKS = {  # files for which one decoder is known to differ
    "caf_alac_32.caf": "libsndfile decodes it to noise: not asked",
    "test-8000Hz-be-3ch-5S-24bit.wav": "FFmpeg takes big-endian WAV for little-endian",
    "ogg_opus.ogg": "FFmpeg gives Opus at 48 kHz: compared at libsndfile's rate",
}


def outcomes(name: str, files: Iterable[tuple[str, Path]]) -> dict[str, object]:
    """Read each file in another process; count the outcomes and print the worst."""
    victim, count = Victim(), collections.Counter(dict.fromkeys(OUTCOMES, 0))
    for what, path in files:
        answer = victim.decode(str(path))
        kind = answer.split()[0]
        count[kind] += 1
        if kind not in ("read", "refused"):
            print(f"  {what}: {answer}")
    victim.close()
    print(f"{name}: {sum(count.values())} files; {', '.join(f'{k} {v}' for k, v in count.items())}")
    return {"files": name, "tried": sum(count.values()), **count}


def damaged(paths: list[Path], count: int, folder: Path) -> Iterable[tuple[str, Path]]:
    """Yield ``count`` damaged copies of ``paths``; each replaces the one before."""
    for number in range(count):
        dice = random.Random(f"oddities {number}")
        source = dice.choice(paths)
        copy = folder / "damaged"
        copy.write_bytes(mutated(source.read_bytes()[:MOST_BYTES], dice))
        yield f"{source.name}, number {number}", copy


def decoded(path: Path, decoder: Decoder) -> tuple[np.ndarray, int]:
    with FileSource(path).open() as file, decoder(file, 0.0, None) as (header, blocks):
        return np.concatenate([block.samples for block in blocks]), header.rate_hz


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of ``a`` (n,) and ``b`` (m,) where they overlap, at the best shift."""
    cross = scipy.signal.correlate(a.astype(np.float64), b.astype(np.float64))
    lags = scipy.signal.correlation_lags(len(a), len(b))
    near = np.abs(lags) <= DELAY
    lag = int(lags[near][np.abs(cross[near]).argmax()])
    u, v = a[max(0, lag) :], b[max(0, -lag) :]
    n = min(len(u), len(v))
    norm = float(np.linalg.norm(u[:n]) * np.linalg.norm(v[:n]))
    return float(u[:n] @ v[:n]) / norm if norm else 1.0


def compared(path: Path) -> dict[str, object]:
    """Return a row about a file that both decoders should read."""
    row: dict[str, object] = {"path": f"{path.parent.name}/{path.name}"}
    try:
        (a, rate_hz), (b, other_hz) = (
            decoded(path, by) for by in (libsndfile.libsndfile, ffmpeg.ffmpeg)
        )
    except Exception as error:  # decoders raise all kinds of exceptions
        row |= {"correlation": "", "frames_libsndfile": "", "frames_ffmpeg": ""}
        return row | {"remark": REMARKS.get(path.name, f"one refuses: {decoder.reason(error)}")}
    y = audio.resample(np.ascontiguousarray(b[:, 0]), other_hz, rate_hz)
    row |= {"correlation": round(correlation(a[:, 0], y), 6)}
    row |= {"frames_libsndfile": len(a), "frames_ffmpeg": len(b)}
    return row | {"remark": REMARKS.get(path.name, "")}


def main() -> None:
    """Read everything and write results/oddities.csv and oddities_agreement.csv."""
    print(describe())
    folder = shared_data("oddities")
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [folder / row["path"] for row in rows]
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATED
    with tempfile.TemporaryDirectory() as place:
        sound = [path for path in paths if path.stat().st_size]
        tallies = [
            outcomes("oddities", ((path.name, path) for path in paths)),
            outcomes("damaged oddities", damaged(sound, count, Path(place))),
        ]
    write("oddities", tallies)
    both = [row for row in rows if row["libsndfile_reads"] == row["ffmpeg_reads"] == "yes"]
    agreements = [compared(folder / row["path"]) for row in both]
    plain = [row for row in agreements if not row["remark"]]
    agree = [row for row in plain if float(str(row["correlation"])) >= 0.999]
    worst = min(plain, key=lambda row: float(str(row["correlation"])))
    print(
        f"both decoders: {len(both)} files, {len(plain)} to compare, {len(agree)} agree (0.999);"
        f" worst {worst['correlation']} ({worst['path']})"
    )
    for row in agreements:
        if row["remark"]:
            print(f"  {row['path']}: {row['correlation']} {row['remark']}")
    write("oddities_agreement", agreements)


if __name__ == "__main__":
    main()
