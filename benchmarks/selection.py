"""Measure selection and fit on stored embeddings: nested accuracy, log loss, CPU time, memory.

    python benchmarks/selection.py [SET:BACKBONE,... ...]

Sets are `esc10` (official folds), `fsdd` (one speaker left out) and `fsdd60` (a class is a digit of
a speaker; the first 33 takes, five folds of takes). Each row is measured in a process of its own on
one core. Recordings and weights are found as in benchmarks/accuracy.py; a backbone without weights
stops the run.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from machine import describe, shared_data, write

PAIR = "efficientat-mn04,speech-embedding"
JOBS = (
    *(f"esc10:{name}" for name in ("speech-embedding", "yamnet", "efficientat-mn04", PAIR)),
    *(f"fsdd:{name}" for name in ("speech-embedding", "efficientat-mn04", PAIR)),
    "fsdd60:efficientat-mn04",
)


def measure(name: str, backbone: str) -> dict[str, object]:
    """Embed or read from the store, then select, fit and predict; return figures of the latter."""
    import torch

    import earmark
    from earmark.classifier.targets import Targets
    from earmark.data.splits import make_scheme
    from earmark.embeddings.embedding import embed
    from earmark.training import candidates
    from earmark.training.kernels import FeatureTable
    from earmark.training.selection import Search

    group = "speaker" if name == "fsdd" else None
    data = earmark.Dataset.read(
        shared_data(name.removesuffix("60")) / "meta.csv",
        group=group,
        fold="fold" if name == "esc10" else None,
    )
    if name == "fsdd60":
        parts = [(clip, *clip.path.stem.split("_")) for clip in data]
        clips = [
            replace(clip, label=f"{digit} {speaker}", fold=str(int(take) % 5))
            for clip, digit, speaker, take in parts
            if int(take) < 33
        ]
        data = replace(data, clips=tuple(clips))
    networks = [earmark.load_backbone(name) for name in backbone.split(",")]
    with earmark.Store() as store:
        embeddings = [embed(data.clips, network, store) for network in networks]
    infos = [network.info for network in networks]
    matrices = [np.asarray(e.matrix) for e in embeddings]
    fold = make_scheme(embeddings[0].clips, np.arange(len(data))).fold
    truth = np.unique([str(clip.label) for clip in data], return_inverse=True)[1]
    table = FeatureTable(infos, matrices, candidates.candidates(infos, "auto"))
    search = Search(table, Targets.single(truth, int(truth.max()) + 1), fold)
    del networks, embeddings
    torch.set_num_threads(1)
    start = time.process_time()
    logits = search.out_of_fold().astype(np.float64)
    search.fit_rows(search.choose().best, search.rows_but())
    seconds = time.process_time() - start
    logits -= logits.max(1, keepdims=True)
    own = logits[np.arange(len(truth)), truth] - np.log(np.exp(logits).sum(1))
    return {
        "set": name,
        "backbone": backbone,
        "clips": len(truth),
        "classes": int(truth.max()) + 1,
        "accuracy": round(float((logits.argmax(1) == truth).mean()), 4),
        "log_loss": round(float(-own.mean()), 4),
        "chosen": search.choose().best.reading,
        "cpu_s": round(seconds, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure each job in a process of its own and write results/selection.csv."""
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2].split(":"))))
        return
    print(describe())
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {"EARMARK_CACHE": folder, **os.environ, **one_core}
        for job in sys.argv[1:] or JOBS:
            for _ in range(2):  # the first run fills the store, whose memory does not count
                done = subprocess.run(
                    [sys.executable, __file__, "--one", job],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                )
            row = json.loads(done.stdout)
            print(row, flush=True)
            rows.append(row)
    write("selection", rows)


if __name__ == "__main__":
    main()
