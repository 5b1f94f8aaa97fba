"""Fine-tuning against the frozen classifier it starts from, on real recordings.

    EARMARK_WEIGHTS=... python benchmarks/finetune.py [NAME ...]

Names are those of ``MEASURES``. Without a name all are measured, which takes hours on two cores.
Every figure is nested: selection, epochs and the decision to use the fine-tuned network never use
the clips that are scored. Recordings: EARMARK_TEST_DATA, or ../shared/data beside the checkout.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark import Dataset, Recipe, Store, Training, finetune, train
from earmark.data.clip import Clip
from earmark.training.finetuning.conduct import FineTuning, _Work
from earmark.training.finetuning.processes import Processes
from machine import describe, run, shared_data, write
from rivals import random_wav2vec2

DRAWS, CLIPS_A_CLASS, TESTED = 20, 2, 300  # for the safeguard
DIGITS, SOUNDS = "FSDD, speakers left out", "ESC-10, official folds"
SETTINGS = {  # switched off; the settings of decisions 0007 and 0013 no longer exist
    "as it is": "",
    "no roll and no noise": "roll=0,noise_db=0",
}
ALONE = {
    "no roll": "roll=0",
    "no noise": "noise_db=0",
    "no speed": "speed=0",
    "no gain": "gain_db=0",
    "no dropout of features": "dropout=0",
    "no layer-wise decay": "decay=1",
}
SEEDS = 3
PAIRS = (
    ("george", "theo"),
    ("jackson", "nicolas"),
    ("lucas", "yweweler"),
)  # test speakers, by seed


class Told:
    """Print the progress from time to time."""

    last = 0.0

    def advance(self, run: str, figures: Mapping[str, float]) -> None:
        if time.monotonic() - self.last > 60:
            self.last = time.monotonic()
            shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
            print(f"    {run}: {shown}", file=sys.stderr)


def digits() -> Dataset:
    return Dataset.read(shared_data("fsdd") / "meta.csv", group="speaker")


def sounds() -> Dataset:
    return Dataset.read(shared_data("esc10") / "meta.csv")


def row_of(done: FineTuning, what: str, backbone: str, seed: int, seconds: float) -> dict[str, Any]:
    verdict, estimate = done.verdict, done.training.classifier.estimate
    low, high = verdict["ci95"]
    row = {
        "what": what,
        "backbone": backbone,
        "how": verdict["how"],
        "seed": seed,
        "frozen": round(verdict["frozen"], 4),
        "fine_tuned": round(verdict["fine_tuned"], 4),
        "difference": round(verdict["difference"], 4),
        "difference_low": round(low, 4),
        "difference_high": round(high, 4),
        "use": verdict["use"],
        "accuracy_of_what_is_used": round(estimate.accuracy, 4),
        "low": round(estimate.interval[0], 4),
        "high": round(estimate.interval[1], 4),
        "folds_fine_tuned": sum(fold["use"] != "frozen" for fold in verdict["folds"]),
        "epochs": " ".join(str(fold["epochs"]) for fold in verdict["folds"]),
        "minutes": round(seconds / 60, 1),
    }
    print(row, flush=True)
    return row


def measure(
    dataset: Dataset, what: str, backbone: str, seed: int = 0, how: str = "full", recipe: str = ""
) -> dict[str, Any]:
    """Fine-tune with one backbone, and return its row."""
    began = time.perf_counter()
    with Store() as store:
        done = finetune(
            dataset,
            how,
            recipe=Recipe().changed(recipe),
            observer=Told(),
            backbone=backbone,
            seed=seed,
            store=store,
            compare=False,
        )
    done.checkpoints.forget()
    return row_of(done, what, backbone, seed, time.perf_counter() - began)


def digits_mn04() -> None:
    write("finetune_digits_mn04", [measure(digits(), DIGITS, "efficientat-mn04")])


def digits_speech() -> None:
    """Tune only the last six layers, briefly: the whole network would take hours."""
    row = measure(digits(), DIGITS, "speech-embedding", how="last:6", recipe="epochs=6")
    write("finetune_digits_speech", [row])


def sounds_speech() -> None:
    recipe = "epochs=8,patience=1"
    row = measure(sounds(), SOUNDS, "speech-embedding", how="last:6", recipe=recipe)
    write("finetune_sounds_speech", [row])


def sounds_mn04() -> None:
    recipe = "epochs=12,patience=1"
    rows = [measure(sounds(), SOUNDS, "efficientat-mn04", seed, recipe=recipe) for seed in range(3)]
    write("finetune_sounds_mn04", rows)


def scratch() -> None:
    """Train a small wav2vec2 with random weights on digits, with only its last layer as input."""
    with tempfile.TemporaryDirectory() as folder:
        small_wav2vec2(Path(folder))
        name = f"hf:{folder}"
        began = time.perf_counter()
        done = finetune(
            digits_of_two(every=1),
            recipe=Recipe().changed("epochs=24,rate=0.02,dropout=0.1,patience=0"),
            observer=Told(),
            backbone=name,
            layers="last",
            compare=False,
        )
        done.checkpoints.forget()
        row = row_of(
            done, "two speakers tested", "small random wav2vec2", 0, time.perf_counter() - began
        )
    write("finetune_scratch", [row])


def small_wav2vec2(folder: Path) -> None:
    """Write a checkpoint of 4 blocks of 128 units with random weights of transformers."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        conv_dim=(64,) * 7,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=4,
    )
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def safeguard() -> None:
    """Fine-tune on two clips per class, many times, and score on other clips of the set.

    The saved classifier is never worse than the frozen one on the tested clips, because these have
    a veto. So the decision of the rehearsals alone is scored.
    """
    dataset, rows = digits(), []
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        label = np.array([clip.label for clip in dataset.clips])
        taught = np.concatenate(
            [
                rng.choice(np.flatnonzero(label == one), CLIPS_A_CLASS, replace=False)
                for one in np.unique(label)
            ]
        )
        tested = rng.choice(np.setdiff1d(np.arange(len(label)), taught), TESTED, replace=False)
        clips = [replace(dataset.clips[k], split="train", group=None) for k in taught]
        clips += [replace(dataset.clips[k], split="test", group=None) for k in tested]
        few = replace(dataset, clips=tuple(clips))
        rows.append(measure(few, f"draw {draw}", "speech-embedding", draw))
    worst = min(row["difference"] for row in rows)
    print(f"worst of {DRAWS} draws: {100 * worst:+.1f} points against frozen, by rehearsals alone")
    write("finetune_safeguard", rows)


def settings_digits() -> None:
    """Use half of the digits and test two speakers, at the learning rate for all digits."""
    recipe, settings = "epochs=10,rate=0.03", SETTINGS | ALONE

    def data(seed: int) -> Dataset:
        return drawn_digits(digits(), seed)

    ablation("digits", data, "efficientat-mn04", recipe, settings=settings)


def settings_sounds() -> None:
    """Train on three folds of ESC-10 and test on two, which change with the seed."""
    ablation("sounds", sounds_of_folds, "speech-embedding", "epochs=10", how="last:6")


def ablation(
    name: str,
    data: Callable[[int], Dataset],
    backbone: str,
    recipe: str,
    how: str = "full",
    settings: Mapping[str, str] = SETTINGS,
) -> None:
    """Switch settings off and score the tuned network, without rehearsal or choice of epochs.

    The seed decides the clips, the split, the order and all random numbers. Each seed is used for
    all settings.
    """
    rows = []
    for seed in range(SEEDS):
        with Store() as store:
            options = {"backbone": backbone, "seed": seed, "store": store, "compare": False}
            frozen = train(data(seed), **options)
        for setting, change in settings.items():
            changed = Recipe().changed(f"{recipe},{change}")
            row = {"setting": setting, "what": name, "backbone": backbone, "seed": seed}
            rows.append(row | tuned_directly(frozen, how, changed, seed))
            print(rows[-1], flush=True)
            write(f"finetune_settings_{name}", rows)


def tuned_directly(frozen: Training, how: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Tune on all clips except the tested ones; return accuracy and loss before and after.

    Both are calibrated on the tested clips.
    """
    began = time.perf_counter()
    work = _Work(frozen, how, recipe, seed=seed, processes=Processes(), observer=Told())
    work.setup.checkpoints.forget()
    plan = frozen.solution.plans[0]
    curve = work._run("directly", plan.choice, plan.rows, plan.test).go().curve
    work.setup.checkpoints.forget()
    halfway = next(row for row in curve[1:] if "accuracy" in row)
    return {
        "learned": len(plan.rows),
        "tested": len(plan.test),
        "frozen": round(curve[0]["accuracy"], 4),
        "halfway": round(halfway["accuracy"], 4),
        "fine_tuned": round(curve[-1]["accuracy"], 4),
        "frozen_loss": round(curve[0]["validation"], 4),
        "halfway_loss": round(halfway["validation"], 4),
        "fine_tuned_loss": round(curve[-1]["validation"], 4),
        "minutes": round((time.perf_counter() - began) / 60, 2),
    }


def drawn_digits(dataset: Dataset, seed: int) -> Dataset:
    """Return half of the clips of each speaker and digit; two speakers are the test split."""
    rng, pair = np.random.default_rng(seed), PAIRS[seed % len(PAIRS)]
    kept: dict[tuple[str | None, str | None], list[Clip]] = {}
    for clip in dataset.clips:
        kept.setdefault((clip.group, clip.label), []).append(clip)
    halves = [[some[k] for k in rng.permutation(len(some))[::2]] for some in kept.values()]
    clips = [
        replace(clip, split="test" if clip.group in pair else "train")
        for half in halves
        for clip in half
    ]
    return replace(dataset, clips=tuple(clips))


def sounds_of_folds(seed: int) -> Dataset:
    dataset, tested = sounds(), [str(1 + (2 * seed + k) % 5) for k in range(2)]
    clips = [
        replace(clip, split="test" if clip.fold in tested else "train", group=clip.fold)
        for clip in dataset.clips
    ]
    return replace(dataset, clips=tuple(replace(clip, fold=None) for clip in clips))


def two_speakers() -> None:
    """Fine-tune once, on four speakers, and score on two others."""
    dataset = digits_of_two(every=1)
    write("finetune_two_speakers", [measure(dataset, "two speakers tested", "efficientat-mn04")])


def digits_of_two(every: int = 2) -> Dataset:
    """Return every n-th clip; two speakers are the test split."""
    dataset = digits()
    clips = [
        replace(clip, split="test" if clip.group in ("george", "theo") else "train")
        for clip in dataset.clips[::every]
    ]
    return replace(dataset, clips=tuple(clips))


ENGINE = """
import sys, time
import numpy as np
from earmark import Dataset, Recipe, train
from earmark.training.finetuning.conduct import _Work
from earmark.training.finetuning.processes import Processes

name, how, recipe, data = sys.argv[1:]
dataset = Dataset.read(data)
frozen = train(dataset, backbone=name, layers="last", head="linear", folds=2, compare=False)
recipe = Recipe().changed(recipe)
work = _Work(frozen, how, recipe, seed=0, processes=Processes(), observer=None)
run = work._run("steps", frozen.solution.chosen, np.arange(len(work.clips)))
batch, seconds = np.arange(8), []
with work.setup.processes.side_by_side() as together:
    for step in range(2):
        began = time.perf_counter()
        run._one_step(batch, 0.5, together)
        seconds.append(time.perf_counter() - began)
print(40 / min(seconds))
"""


def engine() -> None:
    """Time steps over 8 clips of 5 s: seconds of audio per second, and memory of the process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        for k, clip in enumerate(sounds().clips[::10]):
            at = data / str(clip.label) / f"{k}{clip.path.suffix}"
            at.parent.mkdir(parents=True, exist_ok=True)
            at.symlink_to(clip.path)
        base = f"hf:{random_wav2vec2(Path(folder) / 'base')}"
        for name, how, recipe in (
            (base, "full", ""),
            (base, "full", "checkpointing=1"),
            (base, "full", "checkpointing=1,accumulate=4"),
            (base, "lora", "checkpointing=1"),
            (base, "last:4", ""),
            ("efficientat-mn04", "full", ""),
            ("speech-embedding", "full", ""),
            ("speech-embedding", "last:6", ""),
        ):
            done = run([sys.executable, "-c", ENGINE, name, how, recipe, str(data)], {})
            row = {
                "backbone": "wav2vec2-base, random weights" if name == base else name,
                "how": how,
                "recipe": recipe,
                "times_real_time": round(float(done.output.split()[-1]), 1),
                "peak_mb": round(done.megabytes),
            }
            print(row, flush=True)
            rows.append(row)
    write("finetune_engine", rows)


MEASURES = {
    "digits_mn04": digits_mn04,
    "two_speakers": two_speakers,
    "digits_speech": digits_speech,
    "sounds_speech": sounds_speech,
    "sounds_mn04": sounds_mn04,
    "scratch": scratch,
    "safeguard": safeguard,
    "settings_digits": settings_digits,
    "settings_sounds": settings_sounds,
    "engine": engine,
}


def main() -> None:
    """Measure what is named, or all."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    print(describe())
    for name in sys.argv[1:] or MEASURES:
        MEASURES[name]()


if __name__ == "__main__":
    main()
