"""Options and warnings of reading, on their way through store, training, classifier, commands."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from audio_files import RATE, encode, noise
from earmark import Classifier, Clip, Dataset, Store, audio, backbones, train
from earmark.apps.cli.app import app
from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.embeddings import computing, pipeline
from earmark.embeddings.embedding import embed
from earmark.embeddings.pipeline import embed_stream
from earmark.errors import ModelError
from earmark.system import files


def write_cut(path: Path, seconds: float = 10.0, seed: int = 0) -> Path:
    """Write a FLAC file of noise that ends half-way."""
    content = encode(noise(round(seconds * RATE), seed=seed), "FLAC")
    path.write_bytes(content[: len(content) // 2])
    return path


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """Two classes that only the second channel tells apart; the first is noise."""
    rng = np.random.default_rng(0)
    for label, hz in (("high", 1_800), ("low", 240)):
        (tmp_path / "stereo" / label).mkdir(parents=True)
        for k in range(6):
            left = rng.normal(0, 0.3, 8_000)
            right = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * np.arange(8_000) / RATE)
            both = np.stack([left, right], axis=1)
            soundfile.write(tmp_path / "stereo" / label / f"{k}.wav", both, RATE)
    return tmp_path / "stereo"


def test_options_are_part_of_the_key(stereo: Path, tmp_path: Path) -> None:
    clips, logmel = [Clip(stereo / "low" / "0.wav")], backbones.load_backbone("logmel")
    seen = []
    with Store(tmp_path / "s.sqlite") as store:
        for options in (
            AudioOptions(),
            AudioOptions(1),
            AudioOptions(2),
            AudioOptions(None, "zero"),
        ):
            first = embed(clips, logmel, store, options=options)
            again = embed(clips, logmel, store, options=options)
            assert (first.computed, again.computed) == (1, 0)
            np.testing.assert_array_equal(first.matrix, again.matrix)
            seen.append(first.matrix)
    mean, left, right, zero = seen
    assert np.array_equal(mean, zero)
    assert not np.array_equal(mean, left)
    assert not np.array_equal(left, right)


def test_a_classifier_listens_as_it_was_taught(stereo: Path, tmp_path: Path) -> None:
    dataset = Dataset.read(stereo, audio=AudioOptions(channel=2))
    classifier = train(dataset, backbone="logmel", head="linear").classifier
    classifier.save(tmp_path / "m.earmark")
    loaded = Classifier.load(tmp_path / "m.earmark")
    assert loaded.audio == AudioOptions(channel=2)
    swapped = tmp_path / "swapped.wav"
    x, _ = soundfile.read(stereo / "low" / "0.wav")
    soundfile.write(swapped, x[:, ::-1], RATE)
    given, other = loaded.predict([stereo / "low" / "0.wav", swapped])
    assert given.label == "low"
    assert given.scores != other.scores


def test_ways_of_reading_that_this_earmark_does_not_know_are_refused(
    stereo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = train(Dataset.read(stereo), backbone="logmel", head="prototype").classifier
    audio = {**classifier.provenance["audio"], "denoise": True}
    newer = replace(classifier, provenance={**classifier.provenance, "audio": audio})
    with monkeypatch.context() as patch:
        patch.setattr("earmark.classifier.saving.check", lambda *_: None)
        newer.save(tmp_path / "newer.earmark")
    with pytest.raises(
        ModelError, match="audio.denoise is an unknown field; known fields: channel"
    ):
        Classifier.load(tmp_path / "newer.earmark")
    older = replace(classifier, provenance={**classifier.provenance})
    del older.provenance["audio"]
    older.save(tmp_path / "older.earmark")
    assert Classifier.load(tmp_path / "older.earmark").audio == AudioOptions()


def test_warnings_come_every_time(tmp_path: Path) -> None:
    (tmp_path / "fine.wav").write_bytes(encode(noise(RATE), "WAV"))
    cut, copy = write_cut(tmp_path / "cut.flac"), write_cut(tmp_path / "copy.flac")
    clips = [Clip(cut), Clip(tmp_path / "fine.wav"), Clip(copy)]
    logmel = backbones.load_backbone("logmel")
    with Store(tmp_path / "s.sqlite") as store:
        first, again = embed(clips, logmel, store), embed(clips, logmel, store)
    assert (first.computed, again.computed) == (2, 1)  # what is damaged is not kept
    for embeddings in (first, again):
        for path, text in zip((cut, copy), embeddings.warnings, strict=True):
            assert text.startswith(f"{path}: cut short or damaged after 4.85 s (")
    np.testing.assert_array_equal(first.matrix, again.matrix)


def test_a_resumed_run_computes_the_same_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SHARD_CLIPS", 4)
    clips = []
    for k in range(24):
        cut, path = write_cut(tmp_path / f"{k:02}.flac", 1.0, k), tmp_path / f"{k:02}.wav"
        alike = len(audio.read(cut).samples)  # windows of equal length could share a batch
        path.write_bytes(encode(noise(alike, seed=k), "WAV"))
        clips.append(Clip(cut if k % 5 == 1 else path))
    batches: list[list[tuple[int, int]]] = []

    def recorded(backbone: Backbone, windows: np.ndarray, *rest: object) -> object:
        batches[-1].append((len(windows), hash(windows.tobytes())))
        return run(backbone, windows, *rest)  # type: ignore[arg-type]

    run = computing.run
    monkeypatch.setattr(computing, "run", recorded)
    logmel = backbones.load_backbone("logmel")
    with Store(tmp_path / "whole.sqlite") as store:
        batches.append([])
        whole = embed(clips, logmel, store, threads=1)
    with Store(tmp_path / "resumed.sqlite") as store:
        batches.append([])
        list(itertools.islice(embed_stream(clips, logmel, store, threads=1), 7))
        batches.append([])
        resumed = embed(clips, logmel, store, threads=1)
    assert set(batches[2]) <= set(batches[0])  # no batch of the second run is new
    assert 0 < resumed.computed < whole.computed
    np.testing.assert_array_equal(whole.matrix, resumed.matrix)


def test_a_recording_is_hashed_once_for_all_its_stretches(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(encode(noise(20 * RATE), "WAV"))
    before = files._sha256.cache_info().misses
    embed(
        [Clip(path, start=k, end=k + 1.0) for k in range(20)],
        backbones.load_backbone("logmel"),
        threads=1,
    )
    assert files._sha256.cache_info().misses == before + 1
    path.write_bytes(encode(noise(20 * RATE, seed=1), "WAV"))
    changed = embed([Clip(path, start=0.0, end=1.0)], backbones.load_backbone("logmel"))
    assert files._sha256.cache_info().misses == before + 2
    assert changed.computed == 1


def test_commands_say_what_is_missing_and_go_on(tones: Path, tmp_path: Path) -> None:
    cut = write_cut(tones / "low" / "cut.flac")
    model = str(tmp_path / "m.earmark")
    command = ["train", str(tones), "-o", model, "--backbone", "logmel", "--head", "linear"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0
    said = "1 recording could be read only in part, or with changes:"
    assert f"{said}\n  {cut}: cut short" in ran.stderr
    assert "cut short" not in ran.stdout
    ran = CliRunner().invoke(app, [*command, "--json"])
    (text,) = (w for w in json.loads(ran.stdout)["warnings"] if "cut short" in w)
    assert text.startswith(f"{cut}: cut short or damaged after 4.85 s")

    ran = CliRunner().invoke(app, ["predict", model, str(cut), "--json"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["warnings"][0].startswith("cut short or damaged after 4.85 s")
    assert ran.stderr.startswith(f"{cut}: cut short or damaged after 4.85 s")

    out = str(tmp_path / "e.npz")
    ran = CliRunner().invoke(app, ["embed", str(tones), "-o", out, "--backbone", "logmel"])
    assert ran.exit_code == 0
    assert f"{cut}: cut short" in ran.stderr


def test_the_channel_can_be_given_on_the_command_line(stereo: Path, tmp_path: Path) -> None:
    model = str(tmp_path / "m.earmark")
    command = ["train", str(stereo), "-o", model, "--backbone", "logmel", "--head", "linear"]
    ran = CliRunner().invoke(app, [*command, "--channel", "2", "--non-finite", "zero"])
    assert ran.exit_code == 0
    assert Classifier.load(model).audio == AudioOptions(2, "zero")
    ran = CliRunner().invoke(app, [*command, "--channel", "3"])
    assert "has no channel 3, only 2; choose one that exists" in str(ran.exception)
