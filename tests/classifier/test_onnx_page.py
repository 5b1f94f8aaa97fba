"""The web page in a real browser: files, microphone, refusals, numbers, and no request elsewhere.

The graph is small and made by hand: its scores depend on how loud the sound is.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from browser import LAN, Site, dumped, serving, visiting
from earmark.classifier.onnx import web_runtime
from earmark.classifier.onnx.web import write_web_folder

RATE_HZ, PATIENCE_S = 16_000, 60.0
LABELS = ["loud", "quiet<i>", "neither"]
PAGES = Path(__file__).parents[1] / "fixtures" / "onnx_page"
DESCRIPTION = {
    "schema": 1,
    "kind": "clips",
    "labels": LABELS,
    "rate_hz": RATE_HZ,
    "is_single": True,
    "thresholds": [],
    "unknown_threshold": 0.01,
    "audio": {"channel": None, "full_scale": 1.0},
    "backbones": [{"name": "loudness", "licence": "MIT", "source": "here", "notice": None}],
    "digest": "0123",
    "precision": "float32",
    "earmark": "0.2.0",
    "verdict": "",
}


def graph() -> bytes:
    """Return a graph: the known-score is the sound's RMS, the scores are a softmax of it."""
    onnx = pytest.importorskip("onnx", reason="it writes the graph")
    make, floats = onnx.helper.make_node, onnx.TensorProto.FLOAT
    value, tensor = onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
    body = onnx.helper.make_graph(
        [
            make("Mul", ["waveform", "waveform"], ["square"]),
            make("ReduceMean", ["square"], ["power"], keepdims=0),
            make("Sqrt", ["power"], ["known_score"]),
            make("Mul", ["known_score", "slope"], ["slanted"]),
            make("Add", ["slanted", "offset"], ["logits"]),
            make("Softmax", ["logits"], ["scores"]),
        ],
        "loudness",
        [value("waveform", floats, ["samples"])],
        [value("scores", floats, [3]), value("known_score", floats, [])],
        [
            tensor(np.array([20, -20, 0], np.float32), "slope"),
            tensor(np.array([-2, 2, -5], np.float32), "offset"),
        ],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    return onnx.helper.make_model(body, opset_imports=opset, ir_version=9).SerializeToString()


def write_sounds(folder: Path) -> None:
    folder.mkdir()
    t = np.arange(RATE_HZ) / RATE_HZ
    loud = 0.5 * np.sin(2 * np.pi * 440 * t)
    soundfile.write(folder / "loud.wav", loud, RATE_HZ)
    soundfile.write(folder / "silence.wav", 0 * loud, RATE_HZ)
    soundfile.write(folder / "stereo.wav", np.stack([0 * loud, loud], 1), RATE_HZ)
    soundfile.write(folder / "float.wav", 4 * loud, RATE_HZ, subtype="FLOAT")
    (folder / "text.wav").write_text("not a recording")
    np.random.default_rng(0).normal(0, 0.1, 7_001).astype("<f4").tofile(folder / "noise.f32")
    for_microphone = np.concatenate([np.zeros(2 * RATE_HZ), np.tile(loud, 20)])
    soundfile.write(folder / "microphone.wav", for_microphone, RATE_HZ)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Web folders: a good one, one whose graph was edited, and one of something else."""
    if not web_runtime.is_runtime_at_hand():
        pytest.skip(f"no {web_runtime.ARCHIVE.name} in a folder of EARMARK_WEIGHTS")
    root = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARMARK_CACHE", str(root / "cache"))
        write_web_folder(root / "page", graph(), DESCRIPTION, "MIT\n")
    for name in ("edited", "wrong"):
        shutil.copytree(root / "page", root / name)
    edited = (root / "edited" / "model.onnx").read_bytes().replace(b"loudness", b"Loudness")
    (root / "edited" / "model.onnx").write_bytes(edited)
    (root / "wrong" / "model.json").write_text('{"schema": 2}')
    write_sounds(root / "sounds")
    return {**{p.name: p for p in root.iterdir()}, "visit": PAGES}


@pytest.fixture(scope="module")
def site(folders, tmp_path_factory):
    """The site after a browser has visited all its pages."""
    profiles = tmp_path_factory.mktemp("profiles")
    sound = f"--use-file-for-fake-audio-capture={folders['sounds'] / 'microphone.wav'}%noloop"
    with serving(folders) as site:
        with visiting(f"{site.url}/visit/index.html", profiles / "a", sound, proxy=site):
            site.report("numbers", PATIENCE_S)
        with visiting(f"http://{LAN}/visit/lan.html", profiles / "b", proxy=site):
            site.report("lan", PATIENCE_S)
        yield site


def seen(site: Site, name: str) -> Any:
    report = site.report(name, 0.1)
    assert "error" not in report, report
    return report


def test_files_get_their_answers_and_labels_stay_text(site):
    saw = seen(site, "answersForFiles")
    assert saw["state"] == "ready"
    assert saw["answers"] == ["unknown", "loud"]
    assert saw["problems"] == ["This browser cannot read it as audio. Convert it to WAV."]
    assert saw["notes"] == [
        "It is unlike the training clips. The nearest class is quiet<i> (98 %)."
    ]
    assert saw["names"] == ["text.wav<i>", "silence.wav<i>, 1.0 s", "loud.wav<i>, 1.0 s"]
    assert saw["bars"] == ["loud", "neither", "quiet<i>"]
    assert "loud, quiet<i>, neither; or unknown" in saw["classes"]
    assert not saw["markup"] and not saw["tooWide"]


def test_the_microphone_is_heard(site):
    saw = seen(site, "answersForTheMicrophone")
    assert saw["before"] == "unknown", "two seconds of silence come first"
    assert saw["heard"][-1] == "loud"
    assert saw["button"] == "Stop" and float(saw["level"]) > 0.5


def test_an_edited_graph_and_another_description_are_refused(site):
    saw = seen(site, "refusals")
    state, sentence, is_hidden = saw["edited"]
    assert state == "refused" and is_hidden and "is not the file that was exported" in sentence
    state, sentence, is_hidden = saw["wrong"]
    assert state == "refused" and is_hidden and "does not describe a classifier" in sentence


def test_scores_are_those_of_onnxruntime(site, folders):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folders["page"] / "model.onnx")
    x = np.fromfile(folders["sounds"] / "noise.f32", "<f4")
    scores, _ = session.run(None, {"waveform": x})
    np.testing.assert_allclose(seen(site, "numbers")["scores"], scores, atol=1e-6)


def test_sound_is_read_mixed_and_resampled(site):
    saw = seen(site, "numbers")
    for name in ("loud.wav", "stereo.wav", "float.wav"):  # a channel, and a full scale of 4
        length, peak = saw["files"][name]
        assert length == RATE_HZ and peak == pytest.approx(0.5, abs=1e-3), name
    assert saw["mixed"] == [0.5, 0.5]
    assert saw["length"] == 3_200 and saw["resampled"] < 2e-3
    assert saw["rings"] == [
        [1, 2, 3, 1, 2, 3],
        [2, 3, 4, 1, 2, 3, 4],
        [5, 6, 7, 3, 4, 5, 6, 7],
        [12, 13, 14, 10, 11, 12, 13, 14],
    ]


def test_decisions_are_those_of_predict(site):
    said = seen(site, "numbers")["decisions"]
    assert said == ["a; b", "none of the classes", "b", "unknown"]


def test_an_address_without_https_still_answers_for_files(site):
    saw = seen(site, "lan")
    assert not saw["isSecure"] and saw["state"] == "ready", (
        "the graph's hash was checked all the same"
    )
    assert saw["answers"] == ["loud"]
    assert saw["button"] and "Use https" in saw["problem"][0]
    assert all(seen(site, "numbers")["digests"])


def test_no_request_goes_elsewhere(site):
    assert len(site.asked) > 30
    assert not site.elsewhere()


def test_a_page_opened_as_a_file_says_what_to_do(folders, tmp_path):
    shown = dumped((folders["page"] / "index.html").as_uri(), tmp_path)
    assert 'class="from-file"' in shown and "python -m http.server" in shown
