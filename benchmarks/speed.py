"""Time files to pooled embeddings in the store, against published loops and the roofline.

    pip install '.[bench]'; pip install --no-deps torchvggish
    python benchmarks/speed.py [BACKBONE ...]

All contestants run in turns, in one process, on the same files; a ratio compares runs of the same
round. The first run of each, with loading and compiling, does not count. VGGish and Wav2Vec2 have
random weights, which take as long as trained ones. Recordings: EARMARK_TEST_DATA, or ../shared/data
beside the checkout.
"""

from __future__ import annotations

import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from earmark import audio, backbones
from earmark.backbones import engines, registry
from earmark.backbones.base import Backbone
from earmark.backbones.engines import OpenVINO
from earmark.data.clip import Clip
from earmark.embeddings import embedding, pipeline
from earmark.embeddings.store import Store
from earmark.errors import BackboneError
from earmark.system.threads import available_cores, map_ahead
from machine import describe, shared_data, spread, write
from rivals import random_wav2vec2, torchvggish_loop, transformers_loop, transformers_padded

ROUNDS = 3
PEAK_N = 2048  # size of the square matrix product that measures the machine's peak
CLIPS = {"vggish": 48, "wav2vec2-base": 24}  # the others take all 400
SHOWN = ("float32", "bfloat16")


@dataclass(frozen=True)
class Contestant:
    """One way to embed ``paths``: returns embeddings (N, D), or None if not comparable."""

    name: str
    run: Callable[[Sequence[Path]], np.ndarray | None]
    precision: str = "float32"


def load(name: str, folder: Path, precision: str, engine: str) -> Backbone:
    """Load a backbone with its weights, or with random weights if there are none."""
    if name == "wav2vec2-base":
        return backbones.load_backbone(f"hf:{folder / 'wav2vec2'}", precision, engine)
    try:
        return backbones.load_backbone(name, precision, engine)
    except BackboneError:
        info, cls = registry.entry(name)
        made = cls.random(info).eval().requires_grad_(False)
        return engines.set_engine(made, precision, engine)


def ours(name: str, folder: Path, precision: str, engine: str) -> Contestant:
    network = load(name, folder, precision, engine)

    def run(paths: Sequence[Path]) -> np.ndarray:
        with tempfile.TemporaryDirectory() as place, Store(Path(place) / "s.sqlite") as store:
            return embedding.embed([Clip(path) for path in paths], network, store).matrix

    if engine == "auto":  # choosing does not count
        info = network.info
        with torch.inference_mode():
            network(torch.zeros(1, info.window + 2 * info.context), torch.tensor([info.window]))
    used = "openvino" if isinstance(network.engine, OpenVINO) else "torch"
    dtype = getattr(network.engine, "dtype", None) or str(network.dtype).removeprefix("torch.")
    return Contestant(f"earmark {precision}, {engine} ({used} {dtype})", run, dtype)


def contestants(name: str, folder: Path) -> list[Contestant]:
    """Return the rivals of a backbone; the first is the one to compare with."""
    if name == "vggish":
        rivals = [
            Contestant(
                "torchvggish, a file at a time",
                torchvggish_loop(load(name, folder, "exact", "torch")),
            )
        ]
    elif name == "wav2vec2-base":
        at = random_wav2vec2(folder / "wav2vec2")
        rivals = [
            Contestant("transformers, a file at a time", transformers_loop(at)),
            Contestant("transformers, padded batches of 8", transformers_padded(at)),
        ]
    else:
        rivals = []
    ways = [("exact", "torch"), ("exact", "openvino"), ("fast", "torch"), ("fast", "openvino")]
    if not load(name, folder, "fast", "torch").half_is_close:
        ways = ways[:2]
    return rivals + [ours(name, folder, *way) for way in (*ways, (ways[-1][0], "auto"))]


def operations(name: str, folder: Path) -> float:
    """Count the operations of the body for one second of audio: twice its multiplications."""
    network = load(name, folder, "exact", "torch")
    info = network.info
    x = np.random.default_rng(0).normal(0, 0.1, 5 * info.rate_hz).astype(np.float32)
    cut = audio.window(x, info.window, info.hop, info.context, info.step)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        for _, given in network.inputs(*(torch.from_numpy(part) for part in cut)):
            list(network.compute(given, [layer.name for layer in info.layers]))
    return counter.get_total_flops() / 5


class Peak:
    """The machine's peak in a large matrix product on all cores, with the fastest library."""

    def __init__(self) -> None:
        self.ways: list[tuple[str, str, Callable[[], object]]] = []
        for precision in SHOWN:
            a = torch.randn(PEAK_N, PEAK_N).to(getattr(torch, precision))
            self.ways.append((precision, "torch", functools.partial(torch.matmul, a, a)))
        x = np.random.default_rng(0).normal(size=(PEAK_N, PEAK_N)).astype(np.float32)
        self.ways.append(("float32", "numpy", functools.partial(np.matmul, x, x)))
        if engines._installed():
            for precision in SHOWN:
                self.ways.append((precision, "openvino", _openvino_product(x, precision)))
        self.best, self.by = dict.fromkeys(SHOWN, 0.0), dict.fromkeys(SHOWN, "")

    def look(self) -> None:
        """Measure once more, because a shared machine does not always give its peak."""
        for precision, library, product in self.ways:
            rate = 2 * PEAK_N**3 / min(_seconds(product) for _ in range(3))
            if rate > self.best[precision]:
                self.best[precision], self.by[precision] = rate, library


def _openvino_product(x: np.ndarray, precision: str) -> Callable[[], object]:
    with engines._unreported():
        import openvino as ov
        from openvino import opset13 as ops
    sides = [ops.parameter(x.shape, np.float32) for _ in range(2)]
    model = ov.Model([ops.matmul(*sides, False, False)], sides)
    hint = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32"}
    request = ov.Core().compile_model(model, "CPU", hint).create_infer_request()
    return functools.partial(request.infer, [x, x], share_inputs=True, share_outputs=True)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(name: str, paths: Sequence[Path], folder: Path) -> list[dict[str, object]]:
    """Run all contestants in turns; return a row for each."""
    everyone = contestants(name, folder)
    audio_s = sum(len(audio.load(path, 16_000)) / 16_000 for path in paths)
    heard = [who.run(paths) for who in everyone]
    peak, rounds = Peak(), []
    for _ in range(ROUNDS):
        peak.look()
        rounds.append([_seconds(lambda w=w: w.run(paths)) for w in everyone])
    peak.look()
    took = np.array(rounds)
    reference = heard[next(i for i, w in enumerate(everyone) if w.name.startswith("earmark"))]
    needed = operations(name, folder)
    rows = []
    for who, found, seconds in zip(everyone, heard, took.T, strict=True):
        ratios, speed = took[:, 0] / seconds, audio_s / np.median(seconds)
        fraction = needed * speed / peak.best[who.precision]
        cosine = _cosine(found, reference) if found.shape == reference.shape else None
        shown = "" if cosine is None else f"; cosine {cosine:.5f}"
        print(
            f"{name}, {who.name}: {speed:.1f} x real time, {spread(ratios)} times the first;"
            f" {fraction:.0%} of the {who.precision} peak{shown}"
        )
        rows.append(
            {
                "backbone": name,
                "who": who.name,
                "clips": len(paths),
                "times_real_time": round(speed, 1),
                "ratio_median": round(statistics.median(ratios), 2),
                "ratio_min": round(min(ratios), 2),
                "ratio_max": round(max(ratios), 2),
                "cosine_least": cosine and round(cosine, 6),
                "gop_per_audio_s": round(needed / 1e9, 3),
                "peak_gop_s": round(peak.best[who.precision] / 1e9),
                "peak_by": peak.by[who.precision],
                "fraction_of_peak": round(fraction, 3),
                "rounds": ROUNDS,
            }
        )
    return rows


def _cosine(found: np.ndarray, reference: np.ndarray) -> float:
    """Return the smallest cosine between a clip's embedding and that in float32."""
    a, b = found.astype(np.float64), reference.astype(np.float64)
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def stages(name: str, paths: Sequence[Path], folder: Path) -> list[dict[str, object]]:
    """Compare the pipeline with its network alone, and time a second run from the store."""
    best = "fast" if load(name, folder, "fast", "auto").half_is_close else "exact"
    network = load(name, folder, best, "auto")
    clips = [Clip(path) for path in paths]
    threads = available_cores()
    with ThreadPoolExecutor(threads) as readers:
        pieces = pipeline._pieces(
            clips, network, audio.AS_IT_IS, pipeline._GuardedStore(None), readers
        )
        shards = list(pipeline.shards_of(pieces))

    def alone() -> None:
        """Compute the same batches on as many workers, with the audio already in memory."""
        fresh: Iterator = ([replace(o) for o in shard] for shard in shards)
        with ThreadPoolExecutor(threads, "net", torch.set_num_threads, (1,)) as workers:
            list(
                map_ahead(
                    workers, functools.partial(pipeline.compute_shard, network), fresh, threads
                )
            )
        torch.set_num_threads(threads)

    rows, ratios, speeds, again, net = [], [], [], [], []
    alone()
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as place, Store(Path(place) / "s.sqlite") as store:
            first = _seconds(lambda s=store: embedding.embed(clips, network, s))
            audio_s = embedding.embed(clips, network, store).seconds
            again.append(audio_s / _seconds(lambda s=store: embedding.embed(clips, network, s)))
        net_s = _seconds(alone)
        ratios.append(first / net_s)
        speeds.append(audio_s / first)
        net.append(audio_s / net_s)
    print(
        f"{name} {best}: {spread(speeds)} x real time from files, {spread(net)} the network alone,"
        f" pipeline over network {spread(ratios)}; from the store {spread(again)}"
    )
    for what, values in (
        ("from files, x real time", speeds),
        ("network alone, x real time", net),
        ("pipeline over network alone", ratios),
        ("second run, x real time", again),
    ):
        rows.append(
            {
                "backbone": name,
                "precision": best,
                "what": what,
                "median": round(statistics.median(values), 2),
                "min": round(min(values), 2),
                "max": round(max(values), 2),
                "clips": len(paths),
            }
        )
    return rows


def main() -> None:
    """Measure the named backbones, or all; write results/speed_NAME.csv and stages_NAME.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    names = sys.argv[1:] or [*CLIPS, "speech-embedding", "efficientat-mn04", "yamnet"]
    print(describe())
    every = sorted(shared_data("esc10").glob("*/*.ogg"))
    with tempfile.TemporaryDirectory() as place:
        os.environ["EARMARK_CACHE"] = place
        for name in names:
            paths = every[:: len(every) // CLIPS.get(name, len(every))][: CLIPS.get(name)]
            write(f"speed_{name}", compare(name, paths, Path(place)))
            write(f"stages_{name}", stages(name, paths, Path(place)))


if __name__ == "__main__":
    main()
