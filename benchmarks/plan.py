"""Compare `earmark embed --plan` with a run: core seconds, storage, hours of audio.

    python benchmarks/plan.py [ROUNDS]

The core seconds of a run are those of its whole process, start-up included.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from machine import describe, earmark, run, shared_data, write

CASES = (
    ("fsdd", "speech-embedding"),
    ("fsdd", "efficientat-mn04"),
    ("esc10", "speech-embedding"),
    ("esc10", "yamnet-float32"),
    ("forest", "speech-embedding"),
)


def error(estimate: float, truth: float) -> float:
    """Return how far an estimate is off, in per cent."""
    return round(100 * (estimate / truth - 1), 1)


def compare(name: str, backbone: str) -> dict[str, object]:
    """Plan, run, and return both with the errors of the plan."""
    words = [earmark(), "embed", str(shared_data(name)), "--backbone", backbone, "--json"]
    planned = run([*words, "--plan"], {})
    plan = json.loads(planned.output)
    with tempfile.TemporaryDirectory() as folder:
        done = run([*words, "-o", f"{folder}/parts"], {})
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
    result = json.loads(done.output)
    core_s = plan["work"]["core_seconds"]["value"] + plan["start_seconds"]
    seconds = plan["seconds"]
    return {
        "data": name,
        "backbone": backbone,
        "clips": plan["clips"],
        "sample": plan["sample"],
        "plan_took_s": round(planned.seconds, 1),
        "core_s": round(done.cpu_s, 1),
        "core_s_planned": round(core_s, 1),
        "core_s_error": error(core_s, done.cpu_s),
        "bytes_error": error(plan["work"]["bytes"], size),
        "audio_s": round(result["seconds"]),
        "audio_s_planned": round(seconds["value"]),
        "is_in_interval": seconds["low"] - 1e-6 <= result["seconds"] <= seconds["high"] + 1e-6,
    }


def main() -> None:
    """Measure and write results/plan.csv."""
    print(describe())
    results = []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        for name, backbone in CASES:
            results.append(compare(name, backbone))
            print(results[-1], flush=True)
    write("plan", results)


if __name__ == "__main__":
    main()
