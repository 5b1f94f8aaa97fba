"""Fine-tuned classifiers: made on the command line, kept in one file, refused where damaged."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from command_line import earmark
from earmark import backbones
from earmark.backbones import tuned_weights
from earmark.classifier import file
from earmark.classifier.classifier import Classifier
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.embeddings.store import Store
from earmark.errors import EarmarkError, EarmarkWarning, ModelError
from earmark.system.cache import finetuning_folder
from earmark.training.finetuning import sharing
from earmark.training.finetuning.conduct import finetune
from earmark.training.finetuning.context import Tuned
from earmark.training.finetuning.parameters import NotTunedError
from earmark.training.finetuning.recipe import Recipe
from earmark.training.finetuning.run import Run
from earmark.training.finetuning.tensorboard import Board
from earmark.training.training import train
from tuning import write_classes

pytest.importorskip("accelerate", reason="the extra earmark[finetune] is not installed")

SMALL = {"backbone": "speech-embedding", "layers": "conv2", "head": "linear", "folds": 3}
TRAIN = [f"--{name}={value}" for name, value in SMALL.items()]
RECIPE = "epochs=2,batch=4,patience=0"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_classes(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def something_to_gain(monkeypatch):
    """Tune although the frozen network is right about these few clips."""
    monkeypatch.setattr(
        "earmark.training.finetuning.conduct.is_right_everywhere", lambda frozen: False
    )


@pytest.fixture
def always_better(monkeypatch):
    """Deploy what was fine-tuned, however little eight clips say for it."""
    monkeypatch.setattr("earmark.training.finetuning.conduct.better", lambda *_: True)


@pytest.fixture
def model(data, always_better) -> Classifier:
    done = finetune(data, recipe=Recipe().changed(RECIPE), compare=False, **SMALL)
    assert done.verdict["difference"] >= 0  # the clips are made so that tuning does them no harm
    return done.training.classifier


def test_clips_of_several_classes(data, always_better, tmp_path):
    rows = [f"{path},{path.parent.name}" for path in sorted(data.glob("*/*.wav"))]
    mixed = [row + ";b" if row.endswith("a") and k % 2 else row for k, row in enumerate(rows)]
    (tmp_path / "meta.csv").write_text("\n".join(["path,label", *mixed]))
    several = Dataset.read(tmp_path / "meta.csv", separator=";")
    done = finetune(several, recipe=Recipe().changed(RECIPE), compare=False, **SMALL)
    assert done.verdict["use"] == "fine-tuned" and done.training.classifier.tuned
    found = answers(done.training.classifier, data)
    wanted = [[label in str(clip.label) for label in "ab"] for clip in several.clips]
    assert ((found > 0.5) == wanted).mean() >= 0.75


def answers(model: Classifier, data: Path) -> np.ndarray:
    found = list(model.predict(sorted(data.glob("*/*.wav"))))
    assert all(p.error is None for p in found)
    return np.array([[p.scores[label] for label in model.labels] for p in found])


def test_it_is_kept_in_one_file(model, data, tmp_path):
    assert model.tuned and model.estimate.fine_tuning["use"] == "fine-tuned"
    path, again = tmp_path / "m.earmark", tmp_path / "again.earmark"
    model.save(path)
    loaded = Classifier.load(path)
    loaded.save(again)
    assert path.read_bytes() == again.read_bytes()
    for name, value in model.tuned[0].items():
        assert np.array_equal(loaded.tuned[0][name], value)
    assert np.array_equal(answers(loaded, data), answers(model, data))
    published = answers(replace(model, tuned=()), data)  # what is put on makes a difference
    assert np.abs(published - answers(model, data)).max() > 1e-6


def test_the_store_keeps_networks_apart(model, data):
    clips = [Clip(path) for path in sorted(data.glob("*/*.wav"))]
    with Store() as store:
        frozen = list(replace(model, tuned=()).session(store).predict_iter(clips))
        after = list(model.session(store).predict_iter(clips))
    assert [p.scores for p in after] != [p.scores for p in frozen]
    direct = answers(model, data)
    stored = np.array([[p.scores[label] for label in model.labels] for p in after])
    assert np.allclose(stored, direct, atol=1e-4)


def resaved(path: Path, *, change=lambda header: None, tensors=None) -> Path:
    """Write the file again with another header or other tensors, its digest that of what it has."""
    header, held = file.read_parts(path)
    del header["digest"]
    change(header)
    held |= tensors or {}
    header["digest"] = file.digest_of(header, held)
    text = json.dumps(header, sort_keys=True)
    path.write_bytes(safetensors.numpy.save(held, {"earmark": text}))
    return path


def test_a_frozen_classifier_of_the_second_schema_is_read(model, data, tmp_path):
    frozen = replace(model, tuned=())
    frozen.save(tmp_path / "m.earmark")

    def older(header) -> None:
        header["schema"] = 2

    loaded = Classifier.load(resaved(tmp_path / "m.earmark", change=older))
    assert loaded.tuned == () and np.array_equal(answers(loaded, data), answers(frozen, data))

    def newer(header) -> None:
        header["schema"] = 6

    with pytest.raises(
        ModelError, match=r"has schema 6, and this earmark .* reads 2 and 3 and 4 and 5. Update"
    ):
        Classifier.load(resaved(tmp_path / "m.earmark", change=newer))


def test_a_damaged_or_misfitting_tensor_is_refused(model, data, tmp_path):
    path = tmp_path / "m.earmark"
    model.save(path)
    whole = bytearray(path.read_bytes())
    whole[-len(whole) // 3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ModelError, match=r"changed after it was saved"):
        Classifier.load(path)
    name = next(iter(model.tuned[0]))
    for wrong in ({f"tuned.0.{name}": np.zeros((2, 3), np.float32)}, {"tuned.0.no": np.zeros(2)}):
        model.save(path)
        loaded = Classifier.load(resaved(path, tensors=wrong))
        with pytest.raises(ModelError, match=r"fine-tuned .* does not fit backbone 'speech-embed"):
            loaded.networks()
    for wrong in ("tuned.1.a", "tuned.-1.a", "tuned.x.a", "tuned.a"):
        model.save(path)
        with pytest.raises(ModelError, match=r"belongs to none of its backbones"):
            Classifier.load(resaved(path, tensors={wrong: np.zeros(2, np.float32)}))


def test_low_rank_factors_that_do_not_fit_are_refused(folders):
    name = "model.encoder.layers.0.attention.q_proj.weight"
    fitting = {f"{name}.lora_a": (2, 16), f"{name}.lora_b": (16, 2)}
    for change in (
        {f"{name}.lora_b": (16, 3)},
        {f"{name}.lora_b": (15, 2)},
        {f"{name}.lora_a": (2, 15)},
        {f"{name}.lora_a": None},
        {f"{name}.lora_b": None},
        {f"{name}.lora_b": (16,)},
        {"model.no.lora_b": (16, 2)},
    ):
        network = backbones.load_backbone(f"hf:{folders / 'wav2vec2-group'}", engine="torch")
        shapes = {k: shape for k, shape in (fitting | change).items() if shape is not None}
        with pytest.raises(ModelError, match=r"does not fit backbone 'hf:"):
            tuned_weights.apply_tuned_weights(
                network, {k: np.ones(shape, np.float32) for k, shape in shapes.items()}
            )
    network = backbones.load_backbone(f"hf:{folders / 'wav2vec2-group'}", engine="torch")
    before = dict(network.named_parameters())[name].detach().clone()
    tuned_weights.apply_tuned_weights(
        network, {k: np.ones(shape, np.float32) for k, shape in fitting.items()}
    )
    after = dict(network.named_parameters())[name].detach()
    assert np.allclose((after - before).numpy(), 2, atol=1e-5)


def test_other_processes_get_the_frozen_training_without_embeddings(data):
    training = train(data, compare=False, **SMALL)
    sent = pickle.dumps(sharing.without_embeddings(training))
    assert training.embedded.embeddings[0].matrix.tobytes()[:4_000] not in sent
    dataset = Dataset.read(data)
    places = sharing._places(dataset.clips, training.embedded.clips[2:])
    networks = [backbones.load_backbone("speech-embedding")]
    received = sharing._completed(pickle.loads(sent), dataset, places, networks)
    assert received.embedded.clips == training.embedded.clips[2:]
    assert received.embedded.networks == networks
    assert len(received.solution.plans) == 3 and np.array_equal(
        received.solution.logits, training.solution.logits
    )
    with pytest.raises(EarmarkError, match="the clips changed while they were embedded"):
        sharing._places(dataset.clips[1:], training.embedded.clips)


@pytest.mark.slow
def test_stopped_between_folds_it_ends_with_the_same_classifier(data, always_better, tmp_path):
    class Stop:
        left = 99

        def advance(self, *_: object) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    def classifier_bytes(observer: Stop) -> bytes:
        recipe = Recipe().changed(RECIPE)
        done = finetune(data, recipe=recipe, compare=False, observer=observer, **SMALL)
        kept = {file.stem for file in finetuning_folder().glob("*/*")}
        of_folds = {f"fold {k}, {what}" for k in (1, 2, 3) for what in ("rehearsed", "done")}
        assert kept == {"all clips", *of_folds}  # until the classifier is saved
        done.training.classifier.save(tmp_path / "m.earmark")
        done.checkpoints.forget()
        return (tmp_path / "m.earmark").read_bytes()

    counting = Stop()
    whole = classifier_bytes(counting)
    assert not list(finetuning_folder().glob("*"))
    steps = 99 - counting.left
    for step in (steps // 3, steps - 1):
        stopping = Stop()
        stopping.left = step
        with pytest.raises(KeyboardInterrupt):
            classifier_bytes(stopping)
        assert list(finetuning_folder().glob("*"))
        again = Stop()
        assert classifier_bytes(again) == whole
        assert 99 - again.left <= steps - step + 2  # but the epoch, nothing is done again


def test_on_the_command_line(data, always_better, tmp_path):
    model, board = tmp_path / "m.earmark", tmp_path / "board"
    tune = [*TRAIN, "--no-compare", "--finetune=full", f"--recipe={RECIPE}", "--seed=0"]
    done = earmark("train", data, "-o", model, *tune, f"--tensorboard={board}", "--json")
    estimate = json.loads(done.stdout)["estimate"]
    verdict = estimate["fine_tuning"]
    assert estimate["verdict"]["word"] in ("use", "care", "worthless")
    assert verdict["frozen_headline"] == pytest.approx(verdict["frozen"])
    assert verdict["use"] == "fine-tuned" and verdict["how"] == "full"
    assert verdict["difference"] == pytest.approx(verdict["fine_tuned"] - verdict["frozen"])
    low, high = verdict["ci95"]
    assert low <= verdict["difference"] <= high
    assert verdict["recipe"]["epochs"] == 2 and len(verdict["folds"]) == 3
    assert len(list(board.glob("*/events.out.tfevents.*"))) >= 4  # three folds and all clips
    one = next(data.glob("a/*.wav"))
    predicted = json.loads(earmark("predict", model, one, "--json").stdout)
    assert predicted["label"] in "ab" and sum(predicted["scores"].values()) == pytest.approx(1)
    scored = json.loads(earmark("evaluate", model, data, "--include-known", "--json").stdout)
    assert 0 <= scored["accuracy"] <= 1
    said = earmark("train", data, "-o", model, *tune).stdout
    frozen, tuned = verdict["frozen"], verdict["fine_tuned"]
    shown = f"full: accuracy frozen {frozen:.3f}, fine-tuned {tuned:.3f} (in 3 of"
    assert shown in said and "saved: the fine-tuned network" in said


def test_what_does_not_pay_is_said_and_not_used(data, tmp_path, monkeypatch):
    monkeypatch.setattr("earmark.training.finetuning.conduct.better", lambda *_: False)
    model = tmp_path / "m.earmark"
    tune = [*TRAIN, "--no-compare", "--finetune=last:1", "--recipe=epochs=1,batch=4"]
    said = earmark("train", data, "-o", model, *tune).stdout
    assert "last:1: accuracy frozen " in said and "saved: the frozen network" in said
    assert "fine-tuned in none of 3 folds" in said and "interval" not in said.split("finetune")[1]
    assert Classifier.load(model).tuned == ()


def test_nothing_is_tuned_where_the_frozen_network_is_right(data, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(Run, "go", lambda self: pytest.fail(f"{self.name} was run"))
    tune = [*TRAIN, "--no-compare", "--finetune=last:1"]
    said = earmark("train", data, "-o", tmp_path / "m.earmark", *tune).stdout
    assert "frozen 1.000, not fine-tuned, because the frozen network already class" in said


@pytest.mark.parametrize("which", [pytest.param("all clips", marks=pytest.mark.slow), "fold 2"])
def test_a_run_that_ends_early_leaves_the_frozen_one(data, always_better, monkeypatch, which):
    go = Run.go

    def ended(self: Run) -> Tuned:
        if self.name == which:
            raise NotTunedError(f"{which} was ended.")
        return go(self)

    monkeypatch.setattr(Run, "go", ended)
    done = finetune(data, recipe=Recipe().changed(RECIPE), compare=False, **SMALL)
    used = [fold["use"] for fold in done.verdict["folds"]]
    assert used == ["fine-tuned", "frozen" if which == "fold 2" else "fine-tuned", "fine-tuned"]
    is_tuned = which == "fold 2"  # two of three folds are most of them
    assert bool(done.training.classifier.tuned) == is_tuned
    said = done.training.classifier.estimate.fine_tuning["use"]
    assert said == done.verdict["use"] == ("fine-tuned" if is_tuned else "frozen")
    assert f"{which} was ended." in done.training.warnings


def test_folds_that_read_nothing_to_tune_stay_frozen(data, folders):
    network = {"backbone": f"hf:{folders / 'wav2vec2-group'}", "layers": "features"}
    done = finetune(data, recipe=Recipe().changed(RECIPE), compare=False, **SMALL | network)
    assert done.verdict["use"] == "frozen" and not done.training.classifier.tuned
    said = "has nothing to fine-tune in the layers features. Choose higher layers (--layers)"
    assert sum(said in warning for warning in done.training.warnings) == 3


def test_curves_that_cannot_be_written_are_said_and_stop_nothing(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(EarmarkError, match=r"a cannot be a folder for TensorBoard \("):
        Board(tmp_path / "a", None)
    board = Board(tmp_path / "b", other := Counted())
    figures = {"epoch": 0.5, "loss": 1.0, "validation": 1.0, "clips_per_s": 1.0}
    board.advance("run", figures)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(board.writer, "add_scalar", full)
    with pytest.warns(EarmarkWarning, match="curves cannot be written to") as given:
        board.advance("run", figures)
    board.advance("run", figures)
    board.close()
    assert other.steps == 3
    assert len(given) == 1


class Counted:
    steps = 0

    def advance(self, *_: object) -> None:
        self.steps += 1


@pytest.mark.parametrize(("paid", "use"), [((1, 0, 0), "frozen"), ((1, 1, 0), "fine-tuned")])
@pytest.mark.slow
def test_most_rehearsals_decide(data, monkeypatch, paid, use):
    each = iter(paid)
    monkeypatch.setattr("earmark.training.finetuning.conduct.better", lambda *_: bool(next(each)))
    done = finetune(data, recipe=Recipe().changed(RECIPE), compare=False, **SMALL)
    assert done.verdict["use"] == use and bool(done.training.classifier.tuned) == (use != "frozen")
    assert [fold["use"] != "frozen" for fold in done.verdict["folds"]] == [bool(p) for p in paid]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--finetune=full", "--recipe=epoch=3"], "no setting 'epoch'. Did you mean 'epochs'?"),
        (["--recipe=epochs=3"], "--recipe, --tensorboard and --checkpoints need --finetune. Add"),
        (["--tensorboard=board"], "--checkpoints need --finetune. Add it."),
        (["--checkpoints=states"], "--checkpoints need --finetune. Add it."),
        (["--finetune=full", "--checkpoints=https://a.b/c"], "a URI of s3, gs, az."),
        (["--finetune=full", "--unknown=0.05"], "--finetune changes them. Leave one out."),
        (["--finetune=last:0"], "fine-tuning 'last:0' is unknown. Give 'full', 'lora', or 'last"),
        (["--finetune=lora"], "'speech-embedding' is not a transformer, and 'lora' needs one"),
        (["--finetune=full", "--backbone=logmel"], "'logmel' has nothing to fine-tune"),
    ],
)
def test_what_cannot_be_is_refused(data, tmp_path, options, said):
    model = tmp_path / "m.earmark"
    others = [option for option in TRAIN if option.partition("=")[0] not in " ".join(options)]
    done = earmark("train", data, "-o", model, *others, "--no-compare", *options, expect=2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and not model.exists()
