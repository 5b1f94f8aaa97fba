"""Compare `embed -o DIR`, in parts, with `embed` into one file: CPU time, wall time, memory, bytes.

    python benchmarks/parts.py [ROUNDS [BACKBONE]]

Free Spoken Digit, 3,000 recordings. The ways alternate, each into a new folder with an empty store.
Start-up is included. `again` runs on a folder that is complete: it checks the digest of each file.
Shares run one after the other. At the end, the files of shares must have the bytes of one run.
"""

from __future__ import annotations

import collections
import statistics
import sys
import tempfile
from pathlib import Path

from machine import Run, describe, earmark, run, shared_data, spread, write

SHARES = 2


def commands(folder: Path, backbone: str) -> dict[str, list[list[str]]]:
    """Return the commands of each way; the first is the one that others are compared with."""
    embed = [earmark(), "embed", str(shared_data("fsdd") / "meta.csv"), "--backbone", backbone]
    parts, shares = ["-o", str(folder / "parts")], ["-o", str(folder / "shares")]
    return {
        "file": [[*embed, "-o", str(folder / "e.parquet")]],
        "file, no store": [[*embed, "-o", str(folder / "n.parquet"), "--no-store"]],
        "parts": [[*embed, *parts]],
        "again": [[*embed, *parts]],
        f"{SHARES} shares": [
            [*embed, *shares, "--share", f"{k}/{SHARES}"] for k in range(1, SHARES + 1)
        ],
    }


def is_equal(one: Path, other: Path) -> bool:
    """Return whether both folders have parts with equal names and bytes."""
    names = [sorted(path.name for path in folder.glob("part-*")) for folder in (one, other)]
    same = ((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])
    return bool(names[0]) and names[0] == names[1] and all(same)


def main() -> None:
    """Measure each way and write results/parts.csv."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    backbone = sys.argv[2] if len(sys.argv) > 2 else "speech-embedding"
    print(describe())
    runs: dict[str, list[list[Run]]] = collections.defaultdict(list)
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for way, several in commands(folder, backbone).items():
                cache = {"EARMARK_CACHE": str(folder / f"cache {way}")}
                runs[way].append([run(command, cache) for command in several])
            if not is_equal(folder / "parts", folder / "shares"):
                sys.exit("shares gave other bytes than one run")
    cpu = {way: [sum(r.cpu_s for r in once) for once in each] for way, each in runs.items()}
    rows = [
        {
            "backbone": backbone,
            "way": way,
            "cpu_s": spread(cpu[way]),
            "cpu_ratio": spread([a / b for a, b in zip(cpu[way], cpu["file"], strict=True)]),
            "seconds": spread([sum(r.seconds for r in once) for once in each]),
            "peak_mb": round(statistics.median(max(r.megabytes for r in once) for once in each)),
            "rounds": rounds,
        }
        for way, each in runs.items()
    ]
    for row in rows:
        print(row)
    write("parts", rows)


if __name__ == "__main__":
    main()
