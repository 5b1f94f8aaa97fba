"""Compare onnxruntime-web in Chromium with onnxruntime, and a browser's decoder with earmark's.

    python benchmarks/onnx_web.py MODEL FOLDER [MODEL FOLDER ...] [--speak FOLDER]

Each MODEL is exported with its page. 20 recordings of its FOLDER are given to both runtimes as raw
samples, and 5 as files to the browser's own decoder and resampler. Speed is the least of several
runs, on one thread, as the browser's clock has it: a browser does not tell CPU time. With --speak,
the last MODEL also hears the digits 0 to 9 from Chromium's fake microphone, with silence between
them, five times; they are recordings in FOLDER named DIGIT_SPEAKER_TAKE.wav.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from machine import describe, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from browser import serving, visiting

CLIPS, FILES, REPEATS, PATIENCE_S = 20, 5, 5, 300.0
WINDOW_S, LISTENS = 0.5, 5  # of the microphone's panel
MICROPHONE_HZ, GAP_S = 48_000, 0.9
RECORDED = (".wav", ".flac", ".ogg")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", nargs="+", metavar="MODEL FOLDER")
    parser.add_argument("--speak", type=Path)
    given = parser.parse_args(argv)
    pairs = list(zip(given.pairs[::2], given.pairs[1::2], strict=True))
    print(describe())
    rows = []
    for number, (model, folder) in enumerate(pairs):
        is_last = number == len(pairs) - 1
        with tempfile.TemporaryDirectory() as temporary:
            row = measure(model, Path(folder), Path(temporary), given.speak if is_last else None)
        rows.append(row)
        print(row)
    write("onnx_web", rows)


def measure(model: str, folder: Path, root: Path, speak: Path | None) -> dict[str, object]:
    """Return a row of the table for one classifier."""
    import onnxruntime

    import earmark
    from earmark.classifier.onnx.web import write_web_folder

    exported = earmark.export(earmark.load(model))
    rate_hz, sounds = exported.description["rate_hz"], root / "sounds"
    write_web_folder(root / "site", exported.content, exported.description, exported.licences)
    sounds.mkdir()
    paths = sorted(path for path in folder.rglob("*") if path.suffix in RECORDED)
    paths = [paths[k] for k in np.linspace(0, len(paths) - 1, CLIPS).astype(int)]
    waveforms = [earmark.audio.load(path, rate_hz) for path in paths]
    for number, x in enumerate(waveforms):
        x.astype("<f4").tofile(sounds / f"{number}.f32")
    files = paths[:: CLIPS // FILES]
    for path in files:
        shutil.copyfile(path, sounds / path.name)
    spoken, flags = speak_digits(speak, sounds) if speak else (0.0, ())
    plan = {"raw": [f"{n}.f32" for n in range(CLIPS)], "repeats": REPEATS}
    plan |= {"seconds": spoken, "window_s": WINDOW_S}
    (sounds / "plan.json").write_text(json.dumps({**plan, "files": [p.name for p in files]}))
    heard, here = [], Path(__file__).parent / "onnx_web"
    with serving({"site": root / "site", "sounds": sounds, "measure": here}) as site:
        with visiting(f"{site.url}/measure/index.html", root / "profile"):
            numbers = site.report("numbers", PATIENCE_S)
        for number in range(LISTENS if speak else 0):
            page = f"{site.url}/measure/hear.html?{number}"
            with visiting(page, root / f"profile{number}", *flags):
                heard.append(" ".join(site.report(f"heard{number}", PATIENCE_S)))
    session = onnxruntime.InferenceSession(exported.content)
    expected = [session.run(["scores"], {"waveform": x})[0] for x in waveforms]
    chosen = slice(None, None, CLIPS // FILES)
    return {
        "classifier": ",".join(b["name"] for b in exported.description["backbones"]),
        "recordings": folder.name,
        "rate_hz": rate_hz,
        "clips": CLIPS,
        **compare_runtimes(numbers["raw"], expected),
        "files": len(files),
        **compare_decoders(numbers["files"], expected[chosen], waveforms[chosen]),
        "heard": " | ".join(heard),
        "onnxruntime": onnxruntime.__version__,
    }


def compare_runtimes(raw: list[dict[str, Any]], expected: list[np.ndarray]) -> dict[str, object]:
    differences = [
        np.abs(np.array(a["scores"]) - b).max() for a, b in zip(raw, expected, strict=True)
    ]
    ms = [answer["ms"] / answer["seconds"] for answer in raw]
    return {
        "largest_difference": f"{max(differences):.1e}",
        "median_difference": f"{np.median(differences):.1e}",
        "ms_per_second": f"{np.median(ms):.1f}",
        "ms_of_the_shortest": f"{min(raw, key=lambda a: a['seconds'])['ms']:.1f}",
    }


def compare_decoders(
    files: list[dict[str, Any]], expected: list[np.ndarray], waveforms: list[np.ndarray]
) -> dict[str, object]:
    """Return how far a browser's samples and their scores are from soundfile's and soxr's."""
    decibels, scores, agree = [], [], 0
    for answer, right, x in zip(files, expected, waveforms, strict=True):
        y = np.array(answer["samples"], np.float32)
        n = min(len(x), len(y))
        decibels.append(10 * np.log10(np.sum((y[:n] - x[:n]) ** 2) / np.sum(x[:n] ** 2) + 1e-20))
        got = np.array(answer["scores"])
        scores.append(np.abs(got - right).max())
        agree += int(got.argmax() == right.argmax())
    return {
        "decoder_error_db": spread_of(decibels),
        "decoder_largest_score_difference": f"{max(scores):.1e}",
        "decoder_same_class": agree,
    }


def spread_of(values: list[float]) -> str:
    """Return 'median (least to most)', in whole numbers."""
    return f"{np.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def speak_digits(folder: Path, sounds: Path) -> tuple[float, tuple[str, ...]]:
    """Write ten spoken digits for the fake microphone; return their seconds and its flag."""
    silence, parts = np.zeros(int(GAP_S * MICROPHONE_HZ)), []
    for digit in range(10):
        path = sorted(folder.rglob(f"{digit}_*.wav"))[12]
        x, rate_hz = soundfile.read(path)
        parts += [silence, soxr.resample(x, rate_hz, MICROPHONE_HZ)]
    path = sounds / "microphone.wav"
    soundfile.write(path, np.concatenate([*parts, silence]), MICROPHONE_HZ)
    seconds = soundfile.info(path).duration + 1
    return seconds, (f"--use-file-for-fake-audio-capture={path}%noloop",)


if __name__ == "__main__":
    main(sys.argv[1:])
