"""Count the formats in which a recording that was cut short gives a warning.

    python benchmarks/cut.py

Four seconds of noise are written in every container that libsndfile and FFmpeg's libraries can
write here, cut to 30, 60 and 90 % of their bytes, and read. 'unknown' marks formats that state
neither a length nor an end, so no reader can know.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from earmark import audio
from earmark.errors import AudioError
from machine import describe, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from audio_files import encode, encode_ffmpeg

RATE, SECONDS = 16_000, 4
SHARES = (30, 60, 90)
UNKNOWN = ("IRCAM", "PAF", "PVF", "XI", "ac3")  # docs/data.md
NO_HEADER = {"RAW", "SD2"}  # formats without a header, or with it in another file
RATES = {"asf": 44_100, "ac3": 48_000}  # which those codecs demand
FFMPEG = (
    *(("mp4", "aac"), ("mp4", "alac"), ("mov", "aac"), ("adts", "aac"), ("matroska", "libopus")),
    *(("webm", "libopus"), ("asf", "wmav2"), ("mp2", "mp2"), ("ac3", "ac3")),
    *(("mp3", "libmp3lame"), ("ogg", "libopus"), ("tta", "tta"), ("wv", "wavpack")),
    *(("mpegts", "aac"), ("avi", "pcm_s16le"), ("flv", "aac"), ("caf", "alac")),
)


def recordings(x: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each format and ``x`` (n, 1) in it."""
    for kind in sorted({*soundfile.available_formats()} - NO_HEADER):
        for subtype in ("PCM_16", soundfile.default_subtype(kind) or "", "ALAC_16", "OPUS"):
            try:
                content = encode(x, kind, subtype, RATE)
            except (soundfile.SoundFileError, ValueError, TypeError):
                continue
            yield f"{kind} {subtype}", content
            break
    for container, codec in FFMPEG:
        try:
            yield (
                f"{container} {codec}",
                encode_ffmpeg(x, container, codec, RATES.get(container, RATE)),
            )
        except Exception as error:  # not built in here
            print(f"  {container} {codec}: not written ({error})")


def outcome(content: bytes) -> str:
    """Return what the user is told about a recording: a warning, an error or nothing."""
    try:
        sound = audio.read(content)
    except AudioError:
        return "refused"
    return "warned" if sound.warnings else "noted" if sound.notes else "silent"


def main() -> None:
    x = np.random.default_rng(0).normal(0, 0.1, (SECONDS * RATE, 1)).astype(np.float32)
    rows = []
    for name, content in recordings(x):
        row: dict[str, object] = {"format": name, "whole": outcome(content)}
        for share in SHARES:
            row[f"{share} %"] = outcome(content[: len(content) * share // 100])
        row["length"] = "unknown" if name.split()[0] in UNKNOWN else "stated"
        rows.append(row)
        print("  ".join(map(str, row.values())))
    silent = [row for row in rows if row["length"] == "stated" and "silent" in row.values()]
    false = [row for row in rows if row["whole"] != "silent"]
    silent = [row for row in silent if any(row[f"{share} %"] == "silent" for share in SHARES)]
    print(f"{len(rows)} formats; cut in silence though a length is stated: {len(silent)};")
    print(f"warnings of whole files: {len(false)}; {describe()}")
    write("cut", rows)


if __name__ == "__main__":
    main()
