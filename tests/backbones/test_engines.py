"""Every engine gives what PyTorch gives in float32, on every backbone, within the stated error."""

import importlib.util
import json
import warnings

import numpy as np
import pytest
import torch

from checkpoints import NAMES as CHECKPOINTS
from earmark import backbones
from earmark.backbones import choices, engines
from earmark.backbones.base import Backbone
from earmark.backbones.engines import EngineWarning, OpenVINO, set_engine
from earmark.backbones.networks import huggingface
from earmark.classifier.classifier import Classifier
from earmark.embeddings.computing import run
from earmark.embeddings.store import Store
from earmark.errors import BackboneError
from earmark.training.training import train
from networks import cut, embedding, seconds, sound, with_random_weights

LARGE = ("wav2vec2-base", "wav2vec2-base-960h")  # their build is among the small checkpoints
RECORDED = (  # of the small checkpoints, one of every family and of either normalisation
    "wav2vec2-group",
    "hubert-layer",
    "wavlm-layer",
    "data2vec",
    "unispeech-sat-group",
    "whisper",
    "ast",
)
OWN = [name for name in backbones.list_backbones() if name not in (*LARGE, "logmel")]
EXACT, FAST = 1e-4, 0.999  # relative difference, cosine: as docs/engines.md promises


@pytest.fixture(params=[*OWN, *CHECKPOINTS])
def build(request):
    """A function that builds one backbone anew: its own weights where they are, else random."""
    name = request.param

    def built(precision="exact", engine="torch") -> Backbone:
        if name in CHECKPOINTS:
            folder = request.getfixturevalue("folders") / name
            return backbones.load_backbone(f"hf:{folder}", precision, engine)
        try:
            return backbones.load_backbone(name, precision, engine)
        except BackboneError:
            return set_engine(with_random_weights(name), precision, engine)

    return built


def need_openvino() -> None:
    if importlib.util.find_spec("openvino") is None:  # imported, it would report its use
        pytest.skip("the extra earmark[fast] is not installed")


def lengths(backbone) -> list[np.ndarray]:
    """Clips of two lengths: a model recorded for one of them must not have it built in."""
    longest = backbone.info.window / backbone.info.rate_hz
    return [sound(seconds(backbone, s), k) for k, s in enumerate((min(1.3, longest), 0.61))]


def hear(backbone, x) -> np.ndarray:
    return embedding(backbone, run(backbone, *cut(backbone, x), 4))


def cosine(a, b) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize(
    ("build", "engine"),
    [
        *((name, "torch") for name in (*OWN, *CHECKPOINTS)),
        *((name, "openvino") for name in (*OWN, RECORDED[0]) if name != "vggish"),
        *(
            pytest.param(name, "openvino", marks=pytest.mark.slow)
            for name in ("vggish", *RECORDED[1:])
        ),
    ],
    indirect=["build"],
)
def test_engines_keep_to_the_stated_error(build, engine):
    if engine == "openvino":
        need_openvino()
    reference = build()
    exact, fast = build("exact", engine), build("fast", engine)
    assert exact.fingerprint == reference.fingerprint
    assert (fast.fingerprint == reference.fingerprint) != fast.half_is_close
    for x in lengths(reference):
        wanted = hear(reference, x)
        error = np.linalg.norm(hear(exact, x) - wanted) / np.linalg.norm(wanted)
        assert error <= EXACT
        assert cosine(hear(fast, x), wanted) >= FAST


def test_every_family_is_recorded(folders):
    """Else: give a family that is new a small checkpoint, and name it in RECORDED."""
    backbones.info(f"hf:{folders / RECORDED[0]}")  # which imports all families
    settings = [json.loads((folders / name / "config.json").read_text()) for name in RECORDED]
    assert {s["model_type"] for s in settings} == set(huggingface._kinds)


def test_only_wanted_layers_are_computed(build):
    backbone = build()
    first, last = backbone.info.layers[0].name, backbone.info.layers[-1].name
    windows, valid = cut(backbone, lengths(backbone)[0])
    every = run(backbone, windows, valid, 4)
    seen = []
    body = backbone.body
    backbone.body = lambda x: (seen.append(name) or (name, y) for name, y in body(x))
    backbone.restrict_to_layers([first])
    kept = run(backbone, windows, valid, 4)
    assert list(kept) == [first] and last not in seen
    assert torch.equal(kept[first].mean, every[first].mean)


@pytest.fixture
def small(folders):
    need_openvino()
    return lambda **given: backbones.load_backbone(f"hf:{folders / 'hubert-group'}", **given)


def test_compiled_models_are_kept_on_disk_and_used(small, monkeypatch):
    x = sound(9_000)
    first = small(engine="openvino")
    heard = hear(first, x)
    assert len(list(engines.engines_folder().iterdir())) == 1
    second = small(engine="openvino")
    monkeypatch.setattr(second.engine, "_convert", None)
    assert np.array_equal(hear(second, x), heard)
    other = small(engine="openvino")
    other.restrict_to_layers(["block1"])  # other layers are another model
    hear(other, x)
    assert len(list(engines.engines_folder().iterdir())) == 2


@pytest.mark.slow
def test_a_damaged_model_is_made_anew(small):
    x = sound(9_000)
    wanted = hear(small(engine="openvino"), x)
    (file,) = engines.engines_folder().iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert np.array_equal(hear(small(engine="openvino"), x), wanted)


def test_without_a_folder_for_it_a_model_is_used_all_the_same(small, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "file"))
    assert np.isfinite(hear(small(engine="openvino"), sound(9_000))).all()


def test_a_model_that_computes_something_else_is_put_aside(small, monkeypatch):
    x = sound(9_000)
    wanted = hear(small(engine="torch"), x)
    recorded = engines._Recorded.forward
    monkeypatch.setattr(
        engines._Recorded, "forward", lambda self, x: tuple(2 * y for y in recorded(self, x))
    )
    with pytest.raises(BackboneError, match="differs by 1 of its norm. Use --engine torch"):
        hear(small(engine="openvino"), x)
    monkeypatch.setattr(engines, "LARGE", 0)
    with pytest.warns(
        EngineWarning, match="OpenVINO cannot compute hf:.*; PyTorch computes it instead."
    ):
        assert np.array_equal(hear(small(), x), wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is not tried again
        assert np.array_equal(hear(small(), x), wanted)
    assert not list(engines.engines_folder().glob("*.openvino"))


def test_threads_share_a_model(small):
    from concurrent.futures import ThreadPoolExecutor

    backbone = small(engine="openvino")
    clips = [sound(9_000, seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(lambda x: hear(backbone, x), clips))
    for x, heard in zip(clips, at_once, strict=True):
        assert np.array_equal(heard, hear(backbone, x))


@pytest.fixture
def timed(small, monkeypatch):
    """Stand for the clock: seconds by engine, which a test may change, and all that was timed."""
    monkeypatch.delenv("EARMARK_ENGINE", raising=False)
    monkeypatch.setattr(engines, "LARGE", 0)
    monkeypatch.setattr(engines, "_has_bfloat16", lambda: True)
    seconds = {"torch float32": 2.0, "torch bfloat16": 2.0}
    seconds |= {"openvino float32": 4.0, "openvino bfloat16": 4.0}
    rounds = []

    def measure(passes, number):
        rounds.append(sorted(passes))
        for compute in passes.values():
            compute()
        return {name: seconds[name] for name in passes}

    monkeypatch.setattr(choices, "measure", measure)
    return seconds, rounds


def chosen(backbone) -> str:
    """Compute something, and name the engine that does."""
    hear(backbone, sound(9_000))
    is_openvino = isinstance(backbone.engine, OpenVINO)
    number = backbone.engine.dtype if is_openvino else str(backbone.dtype).removeprefix("torch.")
    return f"{'openvino' if is_openvino else 'torch'} {number}"


def test_auto_times_the_engines_once_and_keeps_the_quickest(small, timed, monkeypatch):
    seconds, rounds = timed
    assert small().engine.known() is None and not rounds  # nothing is timed before it is used
    assert chosen(small()) == "torch float32"
    assert rounds == [["openvino float32", "torch float32"]]
    seconds["openvino float32"] = 0.1  # on another day; the bytes of embeddings stay
    assert chosen(small()) == chosen(small()) == "torch float32" and len(rounds) == 1
    monkeypatch.setattr(choices, "available_cores", lambda: 77)  # another machine
    assert chosen(small()) == "openvino float32"


@pytest.mark.slow
def test_auto_weighs_number_formats_where_fast_results_will_do(small, timed):
    seconds, rounds = timed
    seconds |= {"torch bfloat16": 3.0, "openvino float32": 1.0}
    backbone = small(precision="fast")
    before = backbone.fingerprint
    assert chosen(backbone) == "openvino float32" and backbone.fingerprint == before
    assert before.endswith("/fast")
    assert [len(names) for names in rounds] == [2, 4 if "BF16" in able(backbone) else 3]
    assert backbone.dtype == torch.float32  # what was timed in bfloat16 was a copy


def able(backbone) -> list[str]:
    return backbone.engine.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_what_gains_little_changes_nothing():
    assert choices.quickest({"openvino float32": 1.0, "torch float32": 0.96}).engine[0] == "o"
    assert choices.quickest({"openvino float32": 1.0, "torch float32": 0.94}).engine[0] == "t"


def test_engines_take_turns_and_hopeless_ones_go():
    calls = []
    work = {"slow": 400_000, "quick": 40_000}
    passes = {name: lambda name=name: (calls.append(name), sum(range(work[name]))) for name in work}
    before = torch.get_num_threads()
    assert list(choices.measure(passes, 3)) == ["quick"]
    assert torch.get_num_threads() == before
    cores = choices.available_cores()
    assert calls.count("slow") == 3 * cores and calls.count("quick") == 4 * cores


@pytest.mark.slow
def test_a_damaged_or_foreign_choice_is_timed_anew(small, timed):
    backbone = small()
    key, names = backbone.engine.key, backbone.engine.names
    chosen(backbone)
    (file,) = engines.engines_folder().glob("*.choice.json")
    kept = json.loads(file.read_text())
    changed = (
        {"engine": "torch float16"},
        {"seconds": {"torch float32": -1}},
        {"seconds": {"torch float32": 10**400}},
        {"seconds": 1},
        {"key": {**kept["key"], "torch": "1.0"}},
    )
    damaged = (b"", b"{", b"[]", b"\xff", b"[" * 50_000, b"null", file.read_bytes()[:-9])
    for content in (*(json.dumps({**kept, **c}).encode() for c in changed), *damaged):
        file.write_bytes(content)
        assert choices.load(key, names) is None
    assert chosen(small()) == "torch float32" and len(timed[1]) == 2
    assert choices.load(key, names).engine == "torch float32"


def test_what_was_chosen_is_shown(small, timed, folders, capsys):
    from earmark.apps.cli.backbones import show_backbone

    name = f"hf:{folders / 'hubert-group'}"
    show_backbone(name, as_json=False)
    assert (
        "exact        on a CPU: not chosen yet; the engines are timed at the first use"
        in capsys.readouterr().out
    )
    chosen(small())
    show_backbone(name, as_json=False)
    out = capsys.readouterr().out
    assert (
        "exact        on a CPU: torch float32 (ms on one core per 1 s of audio: openvino float32 "
        in out
    )
    assert "fast         on a CPU: not chosen yet" in out
    show_backbone("logmel", as_json=True)
    told = json.loads(capsys.readouterr().out)["engines"]
    assert told["exact"] == told["fast"] == {"engine": "torch float32", "seconds": {}}


def test_an_engine_that_is_named_is_not_timed(small, timed, monkeypatch):
    assert chosen(small(engine="torch")) == "torch float32"
    monkeypatch.setenv("EARMARK_ENGINE", "openvino")
    assert chosen(small()) == "openvino float32"
    assert backbones.load_backbone("logmel").precision == "float32"  # which it cannot compute
    monkeypatch.setenv("EARMARK_ENGINE", "openvin")
    with pytest.raises(BackboneError, match="EARMARK_ENGINE 'openvin' is unknown. Did you mean"):
        small()
    assert not timed[1]


def test_what_cannot_be_kept_is_not_timed(small, timed, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "file"))
    assert chosen(small()) == "openvino float32" and not timed[1]


def test_threads_wait_for_one_choice(small, timed):
    from concurrent.futures import ThreadPoolExecutor

    backbone, clips = small(), [sound(9_000, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(lambda x: hear(backbone, x), clips))
    assert len(timed[1]) == 1
    for x, vector in zip(clips, heard, strict=True):
        assert np.array_equal(vector, hear(backbone, x))


def test_auto_is_plain_pytorch_for_a_small_network_or_without_openvino(small, monkeypatch):
    assert small().engine.__func__ is Backbone.compute  # too small to be worth the start
    monkeypatch.setattr(engines, "LARGE", 0)
    monkeypatch.setattr(engines, "_installed", lambda: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backbone = small()
    assert backbone.engine.__func__ is Backbone.compute


def test_openvino_reports_to_nobody(small):
    import sys

    small(engine="openvino")
    assert not any(name.startswith("openvino_telemetry") for name in sys.modules)


def test_what_cannot_be_had_is_said(monkeypatch):
    with pytest.raises(BackboneError, match="engine 'openvno' is unknown. Did you mean 'openvino'"):
        backbones.load_backbone("logmel", engine="openvno")
    with pytest.raises(BackboneError, match="precision 'fats' is unknown. Did you mean 'fast'"):
        backbones.load_backbone("logmel", precision="fats")
    monkeypatch.setattr(engines, "_installed", lambda: True)
    with pytest.raises(BackboneError, match="'logmel' can only be computed by PyTorch. Use --eng"):
        backbones.load_backbone("logmel", engine="openvino")
    monkeypatch.setattr(engines, "_installed", lambda: False)
    with pytest.raises(BackboneError, match=r"needs the package openvino.*'.\[fast\]'"):
        backbones.load_backbone("speech-embedding", engine="openvino")


def test_a_classifier_keeps_to_the_precision_of_its_training(tones, folders, tmp_path):
    name = f"hf:{folders / 'wav2vec2-group'}"
    with Store() as store:
        exact = train(tones, backbone=name, head="linear", folds=2, store=store, compare=False)
        fast = train(
            tones,
            backbone=name,
            head="linear",
            folds=2,
            store=store,
            compare=False,
            precision="fast",
        )
        assert [f.rsplit("/", 1)[1] for f, _, _ in store.summary()] == ["fast", "float32"]
    for training, precision in ((exact, "float32"), (fast, "fast")):
        training.classifier.save(tmp_path / "m.earmark")
        loaded = Classifier.load(tmp_path / "m.earmark")
        (network,) = loaded.networks()
        assert network.precision == precision
        (prediction,) = loaded.predict([tones / "low" / "0.wav"])
        assert prediction.error is None


def test_prediction_computes_the_layers_of_the_classifier_only(tones, monkeypatch):
    name = "speech-embedding"
    classifier = train(tones, backbone=name, head="linear", layers="conv2", folds=2).classifier
    computed = []
    compute = Backbone.compute

    def noting(self, x, layers):
        computed.extend(layers)
        return compute(self, x, layers)

    monkeypatch.setattr(Backbone, "compute", noting)
    paths = sorted(tones.glob("*/*.wav"))
    alone = list(classifier.predict(paths))
    assert set(computed) == {"conv2"}
    with Store() as store:  # which keeps all of them
        stored = list(classifier.session(store).predict_iter(paths))
    assert "embedding" in computed
    for a, b in zip(alone, stored, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-4)
