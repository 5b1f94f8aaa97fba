"""Time `earmark detect` on long recordings, and kill it at random moments.

    python benchmarks/detect_speed.py [--model MODEL] [--hours 1,24] [--kills 10]

The recordings are soundscapes with spoken digits (`benchmarks/soundscapes.py`). Without MODEL, a
detector of them is trained first. Other programs may use the machine meanwhile, so the speed is
computed from CPU time: how much faster than real time it is if both cores are used fully.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile

import soundscapes
from machine import describe, run, write

SPEAKER = "theo"
HOPS_S, WINDOW_S = (0.08, 0.96), 0.96  # the same windows, every 12th or each
PIECES, PIECE_S = 18, 600  # 3 hours of files


def train(folder: Path, path: Path) -> None:
    """Train a detector of the digits of all other speakers."""
    from earmark.data.dataset import Dataset
    from earmark.training.detector import train_detector

    data = Dataset.read(folder / "train" / "manifest.csv", group="group")
    training = train_detector(data, background=folder / "background", backbone="speech-embedding")
    training.classifier.save(path)


def with_hop(model: Path, hop_s: float, folder: Path) -> Path:
    """Save a detector with other windows, to time it; its events mean nothing."""
    from earmark.classifier.classifier import Classifier

    classifier = Classifier.load(model)
    assert classifier.detector is not None
    detector = replace(classifier.detector, window_s=WINDOW_S, hop_s=hop_s)
    path = folder / f"hop_{hop_s:g}.earmark"
    replace(classifier, detector=detector).save(path)
    return path


def timed(what: str, model: Path, recording: Path, folder: Path) -> dict[str, Any]:
    """Run the whole command once and return its row."""
    hours = soundfile.info(recording).duration / 3600
    command = [sys.executable, "-m", "earmark", "detect", str(model), str(recording)]
    done = run([*command, "-o", str(folder / "events.csv")], {})
    cores = len(os.sched_getaffinity(0))
    row = {
        "what": what,
        "hours": round(hours, 2),
        "cpu_s": round(done.cpu_s, 1),
        "speed": round(hours * 3600 * cores / done.cpu_s),
        "wall_s": round(done.seconds, 1),
        "cores_used": round(done.cpu_s / done.seconds, 2),
        "peak_mb": round(done.megabytes),
        "kills": "",
        "same_bytes": "",
    }
    print(", ".join(f"{name} {value}" for name, value in row.items() if value != ""), flush=True)
    return row


def pieces(recording: Path, folder: Path) -> Path:
    """Cut three hours of a recording into files of ten minutes."""
    folder.mkdir()
    with soundfile.SoundFile(recording) as whole:
        for number in range(PIECES):
            if whole.tell() + PIECE_S * whole.samplerate > whole.frames:
                whole.seek(0)
            x = whole.read(PIECE_S * whole.samplerate, dtype="int16")
            soundfile.write(folder / f"{number:02d}.flac", x, whole.samplerate)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files, those of hidden ones too."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def killed(model: Path, recordings: Path, folder: Path, kills: int) -> dict[str, Any]:
    """Kill the command at random moments, run it again each time, and compare what it writes."""

    def command(name: str) -> list[str]:
        out = folder / name
        options = ["-o", f"{out}/events.csv", "--scores", f"{out}/scores.npz"]
        options += ["--clips", f"{out}/clips"]
        return [sys.executable, "-m", "earmark", "detect", str(model), str(recordings), *options]

    for name in ("whole", "killed"):
        (folder / name).mkdir()
    done = run(command("whole"), {})
    dice, count = random.Random(0), 0
    for _ in range(kills):
        process = subprocess.Popen(command("killed"), stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(1, 2 * done.seconds / kills + 2))
        if process.poll() is None:
            process.kill()
            count += 1
        process.wait()
    run(command("killed"), {})
    is_same = tree(folder / "whole") == tree(folder / "killed")
    print(f"{count} kills over {PIECES * PIECE_S / 3600:g} h of files: same bytes: {is_same}")
    return {
        "what": "killed at random moments, with scores and clips",
        "hours": PIECES * PIECE_S / 3600,
        "cpu_s": round(done.cpu_s, 1),
        "speed": round(PIECES * PIECE_S * len(os.sched_getaffinity(0)) / done.cpu_s),
        "wall_s": round(done.seconds, 1),
        "cores_used": round(done.cpu_s / done.seconds, 2),
        "peak_mb": round(done.megabytes),
        "kills": count,
        "same_bytes": is_same,
    }


def rows(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure everything."""
    scenes = folder / "scenes"
    soundscapes.main(["digits", str(scenes), "--speaker", SPEAKER])
    model = options.model
    if model is None:
        model = folder / "digits.earmark"
        train(scenes, model)
    recordings = {}
    for hours in sorted({1.0, *options.hours}):
        place = folder / f"long{hours:g}"
        soundscapes.main(["long", str(place), "--of", str(scenes), "--hours", f"{hours:g}"])
        recordings[hours] = place / f"{hours:g}h.flac"
    for hours in options.hours:
        yield timed(f"{hours:g} h", model, recordings[hours], folder)
    for hop_s in HOPS_S:
        own = with_hop(model, hop_s, folder)
        yield timed(f"1 h, windows of {WINDOW_S} s every {hop_s} s", own, recordings[1.0], folder)
    if options.kills:
        yield killed(model, pieces(recordings[1.0], folder / "pieces"), folder, options.kills)


def main() -> None:
    """Measure, and write results/detect_speed.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument(
        "--hours", type=lambda text: [float(part) for part in text.split(",")], default=[1.0, 24.0]
    )
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        write("detect_speed", list(rows(options, Path(folder))))


if __name__ == "__main__":
    main()
