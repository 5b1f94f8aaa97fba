"""Runs of fine-tuning: cut into parts or killed they end the same, and what fails is said."""

import copy
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from earmark import backbones
from earmark.backbones import tuned_weights
from earmark.errors import DataError, EarmarkWarning
from earmark.system.cache import finetuning_folder
from earmark.training.finetuning.checkpoints import Checkpoints
from earmark.training.finetuning.context import Tuned
from earmark.training.finetuning.parameters import NotTunedError, states
from earmark.training.finetuning.run import Run
from tuning import RECIPE, distance, ended, of_short_windows, run_of, speech_embedding, write_clips

pytest.importorskip("accelerate", reason="the extra earmark[finetune] is not installed")

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of two lengths: of three windows and of two."""
    return write_clips(tmp_path_factory.mktemp("clips"), 10, (0.9, 0.6))


@pytest.fixture(scope="module")
def network():
    return speech_embedding("conv2", "conv4")


def weights_of(done: Tuned) -> np.ndarray:
    return np.concatenate([value.ravel() for value in done.weights[0].values()])


def moved(done: Tuned, network) -> np.ndarray:
    """By how much each weight was changed."""
    held = dict(network.named_parameters())
    before = [held[name].detach().numpy().ravel() for name in done.weights[0]]
    return weights_of(done) - np.concatenate(before)


@pytest.mark.slow
def test_in_three_parts_a_batch_teaches_the_same(clips, network):
    """Of clips with several windows too."""
    recipe = RECIPE.changed("batch=6")
    whole = moved(ended(run_of(clips, network, recipe=recipe)), network)
    parts = moved(ended(run_of(clips, network, recipe=recipe.changed("accumulate=3"))), network)
    assert np.abs(whole).max() > 1e-3
    assert distance(parts, whole) <= 1e-2  # Adam makes much of slopes that are nearly nothing


@pytest.mark.parametrize(
    "name", [pytest.param("wav2vec2-group", marks=pytest.mark.slow), "whisper", "ast"]
)
def test_what_is_computed_twice_is_not_kept_and_teaches_the_same(clips, folders, name):
    network = backbones.load_backbone(f"hf:{folders / name}", engine="torch")
    network.restrict_to_layers(["block2"])
    of_short_windows(network)
    kept = []

    def count(x: torch.Tensor) -> torch.Tensor:
        kept[-1] += x.numel()
        return x

    found = []
    for again in (0, 1):
        kept.append(0)
        run = run_of(clips, network, recipe=RECIPE.changed(f"checkpointing={again}"))
        with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
            run._slope(run._parts(np.arange(4))[0], 4)  # hooks are of this thread alone
        found.append(moved(run.go(), network))
    assert kept[1] < 0.7 * kept[0]
    assert np.abs(found[0]).max() > 1e-4 and distance(found[1], found[0]) <= 1e-3


class Stop:
    """An observer that ends a run in its ``step``-th step, as a signal would."""

    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, run: str, figures: dict[str, float]) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def stopped(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        run.go()


def same(one: Tuned, other: Tuned) -> bool:
    """Whether weights, head, logits and curve are equal, but for the seconds."""
    pairs = [
        *((value, other.weights[0][name]) for name, value in one.weights[0].items()),
        *((value, other.head.tensors[name]) for name, value in one.head.tensors.items()),
        (one.first, other.first),
        (one.best, other.best),
    ]
    rows = [[r | {"seconds": 0, "loss": str(r.get("loss"))} for r in t.curve] for t in (one, other)]
    return rows[0] == rows[1] and all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("how", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_stopped_at_any_step_it_goes_on_as_if_nothing_had_been(
    clips,
    network,
    how,
    folders,
    monkeypatch,
):
    monkeypatch.setattr("earmark.training.finetuning.run.SAVED_EVERY_S", 0.0)
    if how == "lora":
        network = backbones.load_backbone(f"hf:{folders / 'hubert-layer'}", engine="torch")
        network.restrict_to_layers(["block3"])
        of_short_windows(network)
    whole = ended(run_of(clips, network, how, judged=4))
    assert len(whole.curve) == 3
    for step in (1, 2, 4):  # before anything is kept, within an epoch, in the last step
        stopped(run_of(clips, network, how, judged=4, observer=Stop(step)))
        torch.rand(1)
        assert same(ended(run_of(clips, network, how, judged=4)), whole)
    stopped(run_of(clips, network, how, judged=4, observer=Stop(2)))
    stopped(run_of(clips, network, how, judged=4, observer=Stop(2)))
    assert same(ended(run_of(clips, network, how, judged=4)), whole)


def test_a_checkpoint_that_is_cut_short_is_ignored(clips, network):
    whole = ended(run_of(clips, network, judged=4))
    stopped(run_of(clips, network, judged=4, observer=Stop(3)))
    (file,) = (finetuning_folder() / "test").iterdir()
    content = file.read_bytes()
    for part in (b"", content[:7], content[:300], content[:-1]):
        file.write_bytes(part)
        with pytest.warns(EarmarkWarning, match=r"the checkpoint 'run' in .* is damaged"):
            assert Checkpoints("test").load("run") is None
    file.with_suffix(".part").write_bytes(content[:50])  # killed while it wrote
    with pytest.warns(EarmarkWarning, match="is damaged, so its run starts anew"):
        assert same(ended(run_of(clips, network, judged=4)), whole)


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from earmark.data.clip import Clip
from earmark.training.finetuning import run
import tuning

class Wait:
    left = 3
    def advance(self, *_):
        self.left -= 1
        if not self.left:
            print("now", flush=True)
            time.sleep(60)

run.SAVED_EVERY_S = 0.0
clips = [Clip(path, "") for path in sorted(Path(sys.argv[2]).glob("*.wav"))]
network = tuning.speech_embedding("conv2", "conv4")
tuning.run_of(clips, network, judged=4, observer=Wait()).go()
"""


@pytest.mark.slow
def test_killed_it_goes_on_in_another_process(clips, network):
    whole = ended(run_of(clips, network, judged=4))
    command = [sys.executable, "-c", KILLED, str(HELPERS), str(clips[0].path.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    found = Checkpoints("test").load("run")
    assert found is not None and found[0]["epoch"] == 1 and found[0]["step"] == 0
    assert same(ended(run_of(clips, network, judged=4)), whole)


TOGETHER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from earmark.data.clip import Clip
from earmark.training.finetuning import run
import tuning

clips = [Clip(path, "") for path in sorted(Path(sys.argv[2]).glob("*.wav"))]
losses = iter((3, 1, 2, 4))
run.validation_loss = lambda *_: next(losses)
processes = tuning.Processes()
assert processes.count == 2
network = tuning.speech_embedding("conv2", "conv4")
recipe = tuning.RECIPE.changed("batch=6")
done = tuning.run_of(clips, network, recipe=recipe, judged=4, processes=processes).go()
assert done.epochs == 1 and done.best is not None and not (done.best == done.first).all()
held = {name: np.ascontiguousarray(value) for name, value in done.weights[0].items()}
save_file(held, sys.argv[3] + str(processes.rank))
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does(clips, network, tmp_path, monkeypatch):
    losses = iter((3, 1, 2, 4))
    monkeypatch.setattr("earmark.training.finetuning.run.validation_loss", lambda *_: next(losses))
    recipe = RECIPE.changed("batch=6")
    alone = ended(run_of(clips, network, recipe=recipe, judged=4))
    assert alone.epochs == 1 and np.abs(moved(alone, network)).max() > 1e-3
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    launched = subprocess.run(
        [*launch, str(script), str(HELPERS), str(clips[0].path.parent), str(tmp_path / "rank")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert launched.returncode == 0, launched.stderr[-2000:]
    first, second = (safetensors.numpy.load_file(f"{tmp_path}/rank{k}") for k in (0, 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert weights_of(alone).size == sum(value.size for value in first.values())
    for name, value in alone.weights[0].items():
        assert distance(first[name], value) <= 1e-4


def test_a_full_disk_is_said_once_and_training_goes_on(clips, network, monkeypatch):
    whole = ended(run_of(clips, network, judged=4))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    monkeypatch.setattr("earmark.training.finetuning.run.SAVED_EVERY_S", 0.0)
    with pytest.warns(EarmarkWarning, match="checkpoints cannot be written to ") as given:
        assert same(ended(run_of(clips, network, judged=4)), whole)
    assert len([w for w in given if issubclass(w.category, EarmarkWarning)]) == 1
    assert "(No space left on device); training continues without" in str(given[0].message)


def with_bad_slopes(monkeypatch, bad) -> None:
    """Let those steps have no finite slope for which ``bad(epoch, step)``."""
    slope = Run._slope

    def found(self, *given):
        loss, slopes = slope(self, *given)
        if bad(self.state.epoch, self.state.step):
            slopes[0] = torch.full_like(slopes[0], float("nan"))
        return loss, slopes

    monkeypatch.setattr(Run, "_slope", found)


def test_a_step_without_a_finite_slope_is_skipped(clips, network, monkeypatch):
    with_bad_slopes(monkeypatch, lambda epoch, step: (epoch, step) == (0, 1))
    run = run_of(clips, network, judged=4)
    done = ended(run)
    assert np.isfinite(weights_of(done)).all() and not done.warnings and run.state.bad == 0
    assert len(done.curve) == 3 and run.optimiser.state()["step.0"] == 3


@pytest.mark.parametrize("epochs", [4, 7])
def test_many_bad_steps_in_a_row_end_a_run_with_the_best_so_far(
    clips, network, monkeypatch, epochs
):
    monkeypatch.setattr("earmark.training.finetuning.run.MOST_BAD", 6)  # of two steps an epoch
    recipe = RECIPE.changed(f"epochs={epochs},patience=0")
    with_bad_slopes(monkeypatch, lambda epoch, step: epoch > 0)
    monkeypatch.setattr("earmark.training.finetuning.run.validation_loss", lambda *_: -next(loss))
    loss = iter(range(1, 100))  # so that each epoch is the best so far
    run = run_of(clips, network, recipe=recipe, judged=4)
    done = ended(run)
    assert done.warnings == (
        "run was stopped in epoch 4, because weights or gradients diverged; a lower rate may"
        " help (--recipe rate=...).",
    )
    assert len(done.curve) == 5
    assert np.isfinite(weights_of(done)).all() and np.abs(moved(done, network)).max() > 0


def test_a_run_that_is_not_judged_and_ends_early_gives_nothing(clips, network, monkeypatch):
    monkeypatch.setattr("earmark.training.finetuning.run.MOST_BAD", 3)
    with_bad_slopes(monkeypatch, lambda *_: True)
    for _ in range(2):  # again from its checkpoint
        with pytest.raises(NotTunedError, match=r"run was stopped in epoch \d, because weights"):
            run_of(clips, network).go()


@pytest.mark.parametrize("is_finite", [True, False])
def test_where_no_head_can_be_solved_a_run_ends(clips, network, monkeypatch, is_finite):
    run, heard = run_of(clips, network, judged=4), Run._features

    def grown(self: Run, rows: np.ndarray) -> np.ndarray:
        return heard(self, rows) * np.float32(1 if is_finite or not self.state.epoch else np.nan)

    def singular(*_: object) -> None:
        raise torch.linalg.LinAlgError("not positive-definite")

    monkeypatch.setattr(Run, "_features", grown)
    if is_finite:
        run.start = run.start._replace(solve=singular)
    done = ended(run)
    assert done.epochs == 0 and np.abs(moved(done, network)).max() == 0
    assert "weights or gradients diverged" in done.warnings[0]


@pytest.mark.parametrize(("losses", "kept"), [((1, 2, 3), 0), ((3, 1, 2), 1), ((3, 2, 1), 2)])
def test_the_epoch_that_answers_best_is_kept(clips, network, monkeypatch, losses, kept):
    given, weights = iter(losses), []

    def judged(*_: object) -> float:
        weights.append(torch.cat([p.detach().flatten() for p in run.parameters[head:]]).numpy())
        return next(given)

    monkeypatch.setattr("earmark.training.finetuning.run.validation_loss", judged)
    run = run_of(clips, network, judged=4)
    head = len(run.model.head)  # which is trained along, and comes first
    done = ended(run)
    assert done.epochs == kept and len(done.curve) == 3
    assert np.array_equal(weights_of(done), weights[kept])
    assert (np.abs(moved(done, network)).max() > 0) == (kept > 0)


def test_a_vanished_clip_is_left_out_of_batches_and_said(clips, network, tmp_path):
    moved_clips = write_clips(tmp_path, 6)
    run = run_of(moved_clips, network)
    run.setup.sounds.cache.clear()
    moved_clips[2].path.unlink()
    parts = run._parts(np.arange(6))
    assert sum(len(part.targets) for part in parts) == 5
    assert list(run.setup.sounds.lost) == [2]
    assert "02.wav" in run.setup.sounds.lost[2] or "no such file" in run.setup.sounds.lost[2]


@pytest.mark.parametrize("how", ["full", "last:1", "lora"])
def test_what_was_tuned_makes_the_network_anew(clips, network, how, folders):
    """Put on a network as it is published, the difference gives the one the run ended with."""
    if how == "lora":
        network = backbones.load_backbone(f"hf:{folders / 'wav2vec2-group'}", engine="torch")
        network.restrict_to_layers(["block2"])
        of_short_windows(network)
    before = copy.deepcopy(network)
    run = run_of(clips, network, how)
    done = ended(run)
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), before.parameters(), strict=True)
    )
    fresh = copy.deepcopy(network)
    tuned_weights.apply_tuned_weights(fresh, done.weights[0])
    assert fresh.fingerprint != network.fingerprint
    windows, valid = 0.1 * torch.randn(3, 8_000), torch.tensor([8_000, 8_000, 5_000])
    windows = torch.nn.functional.pad(windows, (network.info.context,) * 2)
    run.networks[0].engine = run.networks[0].compute
    with torch.no_grad():
        published, wanted, found = (n(windows, valid) for n in (network, run.networks[0], fresh))
    for layer in found:
        if how == "lora":
            assert distance(found[layer].mean, wanted[layer].mean.numpy()) <= 1e-5
        else:
            assert torch.equal(found[layer].mean, wanted[layer].mean)
    assert distance(published[layer].mean, found[layer].mean.numpy()) > 1e-3
    named = states(run.networks[0], run.depths[0])
    assert set(named) == set(done.weights[0])


def test_a_clip_that_vanished_ends_the_run_until_it_is_back(tmp_path, network):
    own = write_clips(tmp_path, 8)
    whole = ended(run_of(own, network, judged=4))

    class Vanish:
        steps = 0

        def advance(self, *_: object) -> None:
            self.steps += 1
            if self.steps == 2:  # in the second epoch
                own[1].path.rename(tmp_path / "away")

    vanish = Vanish()
    with pytest.raises(DataError, match=r"01\.wav could be read before fine-tuning, but cannot"):
        ended(run_of(own, network, judged=4, observer=vanish))
    (tmp_path / "away").rename(own[1].path)
    assert same(ended(run_of(own, network, judged=4)), whole)
