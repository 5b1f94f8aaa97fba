"""Train from a large folder of parts in one process, and by 1, 2 and 4 workers.

    python benchmarks/training_workers.py [COPIES [ROUNDS [LAYERS]]]

The embeddings of Free Spoken Digit (3,000 recordings, `speech-embedding`), COPIES times with noise
in them: 34 are 102,000 clips in 102 parts. By default the layers are conv7 and conv10, 1,152
features; `all` are 4,800. `solving_s` is the part of the seconds in which heads are chosen and
fitted. `logits` is the largest difference of an out-of-fold logit to those of one process, and
`same` says whether the files of the classifiers are equal. `cpu_s` is of all processes together.
"""

from __future__ import annotations

import collections
import csv
import hashlib
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from machine import Run, describe, earmark, run, shared_data, spread, write

LAYERS = "conv7,conv10"
NOISE = 0.3  # of the deviation of each number
WORKERS = (0, 1, 2, 4)  # 0: in the process itself
TRAIN = """
import contextlib, json, sys
import numpy as np
import earmark
from earmark.apps.cluster.local_workers import LocalWorkers
if __name__ == "__main__":
    folder, count, out, layers = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    with LocalWorkers(count) if count else contextlib.nullcontext() as workers:
        training = earmark.train(
            folder, layers=layers, head="linear", compare=False, executor=workers
        )
    training.classifier.save(out + ".earmark")
    np.save(out + ".npy", training.solution.logits)
    print(json.dumps(training.seconds))
"""


def enlarge(source: Path, target: Path, copies: int) -> int:
    """Write a folder of parts that has each clip ``copies`` times, with noise; return its clips."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from earmark.data.parts import SETTINGS, TABLE, read_table
    from earmark.embeddings.part_files import PREFIX
    from earmark.system.files import file_sha256

    target.mkdir()
    (target / SETTINGS).write_bytes((source / SETTINGS).read_bytes())
    rng, rows = np.random.default_rng(0), []
    for copy in range(copies):
        for part in read_table(source / TABLE):
            table = pq.read_table(source / part.file)
            for number, name in enumerate(table.schema.names):
                column = table[name].combine_chunks()
                if name.startswith(PREFIX):
                    x = column.values.to_numpy().reshape(len(column), -1).astype(np.float32)
                    x += NOISE * x.std(0) * rng.normal(size=x.shape).astype(np.float32)
                    flat = pa.array(x.astype(np.float16).ravel())
                    column = pa.FixedSizeListArray.from_arrays(flat, x.shape[1])
                elif name == "path":
                    column = pa.array([f"{copy}/{path}" for path in column.to_pylist()])
                elif name == "version":
                    texts = [f"{copy} {value.hex()}".encode() for value in column.to_pylist()]
                    digests = [hashlib.sha256(text).digest() for text in texts]
                    column = pa.array(digests, column.type)
                table = table.set_column(number, table.schema.field(number), column)
            name = f"part-{len(rows):06d}-{copy:016x}-00000000.parquet"
            pq.write_table(
                table,
                target / name,
                row_group_size=len(table),
                compression="none",
                use_dictionary=False,
            )
            digest, size = file_sha256(target / name).hex(), (target / name).stat().st_size
            rows.append({**asdict(part), "part": len(rows), "file": name})
            rows[-1] |= {"sha256": digest, "bytes": size}
    with (target / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return sum(row["clips"] for row in rows)


def solving(one: Run) -> float:
    """Return the seconds in which a run chose and fitted heads."""
    seconds = json.loads(one.output)
    return float(seconds["choose"] + seconds["fit"])


def main() -> None:
    """Measure each number of workers, alternating; write results/training_workers_LAYERS.csv."""
    copies = int(sys.argv[1]) if len(sys.argv) > 1 else 34
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    layers = sys.argv[3] if len(sys.argv) > 3 else LAYERS
    print(describe())
    manifest = str(shared_data("fsdd") / "meta.csv")
    runs: dict[int, list[Run]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_text(TRAIN)
        settings = {"EARMARK_CACHE": str(folder / "cache")}
        backbone = ["--backbone", "speech-embedding"]
        run([earmark(), "embed", manifest, "-o", str(folder / "few"), *backbone], settings)
        clips = enlarge(folder / "few", folder / "parts", copies)
        for _ in range(rounds):
            for count in WORKERS:
                words = [folder / "train.py", folder / "parts", count, folder / f"{count}", layers]
                runs[count].append(run([sys.executable, *map(str, words)], settings))
                print(count, runs[count][-1])
        logits = {count: np.load(folder / f"{count}.npy") for count in runs}
        files = {count: (folder / f"{count}.earmark").read_bytes() for count in runs}
    rows = [
        {
            "clips": clips,
            "layers": layers,
            "workers": count,
            "cpu_s": spread([r.cpu_s for r in each]),
            "seconds": spread([r.seconds for r in each]),
            "solving_s": spread([solving(r) for r in each]),
            "peak_mb": round(max(r.megabytes for r in each)),
            "logits": float(np.abs(logits[count] - logits[0]).max()),
            "same": files[count] == files[0],
            "rounds": rounds,
        }
        for count, each in runs.items()
    ]
    for row in rows:
        print(row)
    write(f"training_workers_{layers.replace(',', '_')}", rows)


if __name__ == "__main__":
    main()
