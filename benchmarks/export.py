"""Compare exported graphs with ``predict``: scores, sizes and CPU time.

    python benchmarks/export.py scores [--clips 500] [--only NAME+NAME]
    python benchmarks/export.py speed

``scores`` trains every head on every backbone with real weights, and compares the graph with
``predict`` on real clips: half ESC-10, half spoken digits. VGGish has random weights and ten clips.
``speed`` runs both on a clip of 1 s, in turns, on one thread. The start of a program is measured by
onnx_start.py, the browser by onnx_web.py.
"""

from __future__ import annotations

import argparse
import csv
import functools
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from machine import RESULTS, describe, shared_data, write

BACKBONES = ("logmel", "speech-embedding", "efficientat-mn04", "yamnet", "yamnet-float32")
SEVERAL = ("speech-embedding,yamnet-float32", "efficientat-mn04,speech-embedding")
HEADS = ("prototype", "linear", "logistic", "mlp")
LIMIT = 5e-5
ROUNDS, RUNS = 15, 10


def recordings(name: str) -> list[tuple[Path, str, str]]:
    """Return path, label and group of every recording of a data set."""
    group = {"esc10": "fold", "fsdd": "speaker"}[name]
    folder = shared_data(name)
    with (folder / "meta.csv").open() as file:
        return [(folder / r["path"], r["label"], r[group]) for r in csv.DictReader(file)]


def some(name: str, count: int, offset: int = 0) -> list[tuple[Path, str, str]]:
    """Return ``count`` recordings of a data set, evenly spread."""
    rows = recordings(name)
    at = np.linspace(offset, len(rows) - 1, count).astype(int)
    return [rows[k] for k in at]


def trained(backbone: str, head: str, name: str, folder: Path, layers: str = "auto"):
    """Train a classifier on a third of a data set's recordings."""
    import earmark

    manifest = folder / f"{name}.csv"
    lines = [",".join(map(str, row)) for row in some(name, 150)]
    manifest.write_text("\n".join(["path,label,group", *lines]) + "\n")
    dataset = earmark.Dataset.read(manifest, group="group")
    training = earmark.train(dataset, backbone=backbone, head=head, layers=layers, compare=False)
    return training.classifier


def expected_scores(classifier, networks, paths: list[Path], sounds: list[np.ndarray]):
    """Return what ``predict`` answers; embeddings of equal clips are computed once."""
    import earmark
    from earmark.classifier.onnx import checks

    if len({network.info.rate_hz for network in networks}) > 1 or not classifier.provenance:
        return [checks.answer(classifier, networks, x).scores for x in sounds]
    with earmark.Store() as store:
        return list(classifier.session(store).predict_proba(paths))


def is_tie(classifier, networks, x: np.ndarray, difference: float) -> bool:
    """Say whether ``predict`` changes half as much if the sound gets up to 0.00003 dB louder."""
    from earmark.classifier.onnx import checks

    expected = checks.answer(classifier, networks, x)
    return 2 * checks.own_difference(classifier, networks, x, expected) >= difference


def compare(classifier, networks, paths: list[Path]) -> Iterator[dict[str, object]]:
    """Yield a row for float32, and one for float16, which is tried on every fifth clip."""
    from earmark import audio
    from earmark.classifier.onnx import checks, clips, precision

    graph = clips.ClipGraph(classifier, networks)
    sounds = [audio.load(path, graph.rate_hz) for path in paths]
    expected = expected_scores(classifier, networks, paths, sounds)
    for name, step in (("float32", 1), ("float16", 5)):
        model = graph.build()
        if name == "float16":
            precision.halve_weights(model.graph)
        content = model.SerializeToString()
        session = checks.open_graph(content)
        got = [checks.graph_answer(session, x).scores for x in sounds[::step]]
        pairs = list(zip(got, expected[::step], strict=True))
        away = np.array([np.abs(a - b).max() for a, b in pairs])
        beyond = np.flatnonzero(away > LIMIT) if step == 1 else []
        ties = sum(is_tie(classifier, networks, sounds[k], away[k]) for k in beyond)
        yield {
            "weights": name,
            "features": len(classifier.head.tensors["mean"]),
            "mb": round(len(content) / 1e6, 2),
            "clips": len(got),
            "max": f"{away.max():.1e}",
            "median": f"{np.median(away):.1e}",
            "beyond_5e-5": int((away > LIMIT).sum()),
            "of_these_by_rounding": ties if step == 1 else "",
            "other_class": sum(int(a.argmax() != b.argmax()) for a, b in pairs),
        }


def loaded(classifier):
    """Return a classifier's networks, restricted to the layers in use."""
    networks = classifier.networks()
    for network, use in zip(networks, classifier.backbones, strict=True):
        network.restrict_to_layers(use.layers)
    return networks


def earlier(name: str) -> list[dict[str, object]]:
    """Return the rows of an earlier run, without the machine."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key != "machine"} for row in rows]


def scores(count: int, only: str | None, folder: Path) -> None:
    """Write results/onnx_scores.csv."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
    paths = [row[0] for name in ("esc10", "fsdd") for row in some(name, count // 2, 1)]
    names = only.split("+") if only else [*BACKBONES, *SEVERAL, "vggish"]
    rows = [row for row in earlier("onnx_scores") if only and row["backbone"] not in names]
    for backbone in names:
        if backbone == "vggish":
            from made_classifier import made_classifier
            from networks import with_random_weights

            network = with_random_weights(backbone)
            own = made_classifier([network])
            rows += [
                {"backbone": backbone, "head": "linear, random weights", "data": "both", **row}
                for row in compare(own, [network], paths[:: len(paths) // 10])
            ]
            write("onnx_scores", rows)
            continue
        for data in ("esc10", "fsdd"):
            for head in HEADS:
                own = trained(backbone, head, data, folder)
                about = {"backbone": backbone, "head": head, "data": data}
                rows += [{**about, **row} for row in compare(own, loaded(own), paths)]
                print(rows[-2])
            if backbone == "speech-embedding":
                own = trained(backbone, "linear", data, folder, layers="last")
                about = {"backbone": backbone, "head": "linear, last layer", "data": data}
                rows += [{**about, **row} for row in compare(own, loaded(own), paths)]
        write("onnx_scores", rows)
    write("onnx_scores", rows)


def speed(folder: Path) -> None:
    """Write results/onnx_speed.csv: CPU milliseconds for a clip of 1 s, in turns."""
    from earmark.classifier.onnx import checks, clips

    rows = []
    for backbone in (*BACKBONES, *SEVERAL):
        classifier = trained(backbone, "linear", "esc10", folder)
        session, networks = classifier.session(), loaded(classifier)
        rate_hz = clips.rate_of(networks)
        runtime = checks.load_runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = runtime.InferenceSession(
            clips.build_clip_graph(classifier, networks).SerializeToString(), options
        )
        x = 0.1 * np.random.default_rng(0).standard_normal(rate_hz).astype(np.float32)
        answers = {
            "predict": functools.partial(session.predict, x, rate_hz=rate_hz),
            "graph": functools.partial(checks.graph_answer, graph, x),
        }
        times: dict[str, list[float]] = {name: [] for name in answers}
        for _, (name, answer) in itertools.product(range(ROUNDS), answers.items()):
            start = time.process_time()
            for _ in range(RUNS):
                answer()
            times[name].append((time.process_time() - start) / RUNS * 1e3)
        ratios = np.array(times["graph"]) / times["predict"]
        rows.append(
            {
                "backbone": backbone,
                "predict_ms": round(float(np.median(times["predict"])), 2),
                "graph_ms": round(float(np.median(times["graph"])), 2),
                "ratio": round(float(np.median(ratios)), 3),
                "lowest": round(float(ratios.min()), 3),
                "highest": round(float(ratios.max()), 3),
            }
        )
        print(rows[-1])
    write("onnx_speed", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("scores", "speed"))
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--only", help="backbones, with + between")
    given = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "scores":
            scores(given.clips, given.only, Path(folder))
        else:
            speed(Path(folder))
