"""Measure a program that answers once with an exported classifier: start to first answer.

    python benchmarks/onnx_start.py MODEL.onnx RECORDING [MODEL.onnx RECORDING ...]

Each pair is given to examples/onnx_python.py, which starts anew every time. The CPU time and the
peak memory are those of the whole process. The first rows are what its imports cost alone.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from machine import Run, describe, run, write

SCRIPT = Path(__file__).parents[1] / "examples" / "onnx_python.py"
REPEATS = 9
ALONE = {"python": "", "numpy": "import numpy", "onnxruntime": "import onnxruntime"}


def main(argv: list[str]) -> None:
    print(describe())
    rows = [row(f"{name} alone", ["-c", code]) for name, code in ALONE.items()]
    for model, recording in zip(argv[::2], argv[1::2], strict=True):
        rows.append(row(Path(model).name, [str(SCRIPT), model, recording]))
    write("onnx_start", rows)


def row(what: str, arguments: list[str]) -> dict[str, object]:
    runs: list[Run] = [run([sys.executable, *arguments], {}) for _ in range(REPEATS)]
    cpu = [one.cpu_s for one in runs]
    found = {
        "what": what,
        "cpu_s_median": f"{statistics.median(cpu):.3f}",
        "cpu_s_least": f"{min(cpu):.3f}",
        "peak_mb": f"{max(one.megabytes for one in runs):.0f}",
        "repeats": REPEATS,
    }
    print(found)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
