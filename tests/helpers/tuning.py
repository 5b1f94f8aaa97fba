"""One small fine-tuning, for tests: clips on disk, a head over a network, and a run of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from earmark import backbones
from earmark.audio.options import AS_IT_IS
from earmark.backbones.base import Backbone
from earmark.classifier.calibration import Calibration
from earmark.classifier.features import FeatureSpec, compute_features
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.embeddings.embedding import embed
from earmark.training import heads
from earmark.training.finetuning.checkpoints import Checkpoints
from earmark.training.finetuning.context import Context, Observer, Start, Tuned
from earmark.training.finetuning.processes import Processes
from earmark.training.finetuning.recipe import Recipe
from earmark.training.finetuning.run import Run
from earmark.training.finetuning.waveforms import Waveforms

RATE_HZ = 16_000
RECIPE = Recipe(epochs=2, batch=4, rate=0.02)
CALIBRATION = Calibration(0.5)


def write_clips(folder: Path, count: int = 8, seconds: Sequence[float] = (0.5,)) -> list[Clip]:
    """Write ``count`` noisy chirps of two classes, 'a' and 'b' in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for k in range(count):
        path, rng = folder / f"{k:02}.wav", np.random.default_rng(k)
        t = np.arange(int(seconds[k % len(seconds)] * RATE_HZ)) / RATE_HZ
        hz = (300, 1_500)[k % 2] * (1 + 0.05 * rng.normal())
        x = 0.2 * np.sin(2 * np.pi * hz * (1 + 0.3 * t) * t) + 0.02 * rng.normal(size=len(t))
        soundfile.write(path, x, RATE_HZ, subtype="FLOAT")
        found.append(Clip(path, "ab"[k % 2]))
    return found


def write_classes(folder: Path) -> Path:
    """Write four short clips of each class into a folder of its own."""
    for clip in write_clips(folder / "all", 8, (0.3,)):
        (folder / str(clip.label)).mkdir(exist_ok=True)
        clip.path.rename(folder / str(clip.label) / clip.path.name)
    (folder / "all").rmdir()
    return folder


def of_short_windows(network: Backbone, seconds: float = 0.4) -> Backbone:
    """Cut clips into short windows, where the network can: so that short clips have several."""
    info = network.info
    if info.step is not None:
        window = max(1, int(seconds * info.rate_hz) // info.step) * info.step
        network.info = replace(info, window=window, hop=window)
    return network


def speech_embedding(*layers: str) -> Backbone:
    """The shipped network, of which ``layers`` are kept, the last one if none are named."""
    network = backbones.load_backbone("speech-embedding", engine="torch")
    network.restrict_to_layers(layers or ("embedding",))
    return of_short_windows(network)


def run_of(
    clips: Sequence[Clip],
    network: Backbone,
    how: str = "full",
    recipe: Recipe = RECIPE,
    *,
    judged: int = 0,
    name: str = "run",
    kind: str = "linear",
    processes: Processes | None = None,
    observer: Observer | None = None,
    where: str | Path | None = None,
) -> Run:
    """Return a run on ``clips``, judged on the last few of them if so many are ``judged``."""
    processes = processes or Processes()
    reading = FeatureSpec((tuple(layer.name for layer in network.info.layers),))
    targets = Targets.single(np.arange(len(clips)) % 2, 2)
    checkpoints = Checkpoints("test", processes.rank == 0, where)
    sounds = Waveforms(clips, [network], AS_IT_IS)
    setup = Context(
        networks=[network],
        how=how,
        recipe=recipe,
        sounds=sounds,
        targets=targets,
        options=AS_IT_IS,
        seed=0,
        processes=processes,
        checkpoints=checkpoints,
        observer=observer,
    )

    def solve(rows: np.ndarray, x: np.ndarray) -> Head:
        return heads.fit(kind, x, targets.rows(rows), 0.1)

    rows = np.arange(len(clips) - judged)
    known = embed([clips[row] for row in rows], network, None).matrix
    head = solve(rows, compute_features([network.info], [known], [reading]))
    held = np.arange(len(clips) - judged, len(clips)) if judged else None
    return Run(setup, name, Start((reading,), rows, head, CALIBRATION, solve), held)


def ended(run: Run) -> Tuned:
    """Return what a run ends with; another of the same name begins anew."""
    done = run.go()
    run.setup.checkpoints.drop(run.name)
    return done


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """How far ``a`` is from ``b``, as a share of it."""
    return float(np.linalg.norm(np.asarray(a, float) - b) / np.linalg.norm(b))
