"""Review: planted errors are found, decisions go round, nothing is overwritten."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import earmark
from command_line import earmark as ended
from earmark.apps.cli.app import app
from earmark.backbones import registry
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import DataError, EarmarkError, ModelError
from earmark.labelling import corrections
from earmark.labelling.reviewing import of_model, review
from shared_data import shared_data


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """A manifest of 48 tones of three classes and four groups, two of them wrongly labelled."""
    folder = tmp_path_factory.mktemp("review")
    rng = np.random.default_rng(0)
    rows = [("path", "label", "site")]
    for k in range(48):
        label, hz = (("low", 240), ("middle", 700), ("high", 1_800))[k % 3]
        t = np.arange(6_000) / 16_000
        x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.01 * (k // 3)) * t)
        soundfile.write(folder / f"{k}.wav", x + 0.01 * rng.normal(size=len(t)), 16_000)
        label = {7: "high", 20: "low"}.get(k, label)  # truly middle and high
        rows.append((f"{k}.wav", label, f"s{k // 3 % 4}"))
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "clips.csv"


def command(*arguments, expect=0):
    """Run a command in this process; a mistake is the text of the error it raises."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    if expect == 2:
        assert isinstance(done.exception, EarmarkError), done.exception
        return str(done.exception)
    assert done.exit_code == expect, done.exception
    return done.stdout


def test_planted_errors_come_first_with_their_true_class_and_foreign_neighbours(recordings):
    data = Dataset.read(recordings, group="site")
    first, second, third = review(data, backbone="logmel", top=3).suspects
    assert {first.clip.path.name, second.clip.path.name} == {"7.wav", "20.wav"}
    truth = {"7.wav": "middle", "20.wav": "high"}
    for suspect in (first, second):
        true = truth[suspect.clip.path.name]
        assert suspect.suggested == true and suspect.doubt > 0.8 > third.doubt
        assert f"as {true!r}" in suspect.reason and "nearest neighbours" in suspect.reason
        assert len(suspect.neighbours) == 5
        assert all(near.clip.group != suspect.clip.group for near in suspect.neighbours)
        assert sum(near.clip.label == true for near in suspect.neighbours) >= 4


def test_what_a_group_alone_sounds_like_is_no_error(tones_of_one_voice):
    """One group says 'a' in a way that no other does: only its planted error is suspicious."""
    listed = review(tones_of_one_voice, backbone="logmel", top=1).suspects
    assert listed[0].clip.path.name == "odd_b_0.wav"


@pytest.fixture
def tones_of_one_voice(tmp_path):
    rng = np.random.default_rng(1)
    pitch = {"a": 240, "b": 1_800}
    clips = []
    for group in ("g1", "g2", "g3", "odd"):
        for label, hz in pitch.items():
            for k in range(8):
                true = {"a": 1_700, "b": 3_000}[label] if group == "odd" else hz
                if (group, label, k) == ("odd", "b", 0):
                    true = 240  # an 'a' of any other voice
                t = np.arange(6_000) / 16_000
                x = 0.3 * np.sin(2 * np.pi * true * (1 + 0.01 * k) * t)
                path = tmp_path / f"{group}_{label}_{k}.wav"
                soundfile.write(path, x + 0.01 * rng.normal(size=len(t)), 16_000)
                clips.append(Clip(path, label, group=group))
    return Dataset(tuple(clips), "tones")


def test_several_classes_a_clip(tmp_path):
    rng = np.random.default_rng(0)
    clips = []
    for k in range(60):
        names = [("a",), ("b",), ("a", "b")][k % 3]
        t = np.arange(6_000) / 16_000
        x = sum(0.2 * np.sin(2 * np.pi * {"a": 300, "b": 2_000}[n] * t) for n in names)
        soundfile.write(tmp_path / f"{k}.wav", x + 0.01 * rng.normal(size=len(t)), 16_000)
        label = {2: "a", 3: "a;b"}.get(k, ";".join(names))  # 'b' is missing; 'b' is not there
        clips.append(Clip(tmp_path / f"{k}.wav", label))
    data = Dataset(tuple(clips), "several", separator=";")
    found = {s.clip.path.name: s for s in review(data, backbone="logmel", top=2).suspects}
    assert found["2.wav"].suggested == "a;b" and "'b' is not in the label" in found["2.wav"].reason
    assert (
        found["3.wav"].suggested == "a"
        and "'b' is in the label, but scored" in found["3.wav"].reason
    )


# Decisions


@pytest.fixture
def table(tmp_path):
    """Six clips, and a function that writes decisions about some of them and applies these."""
    clips = []
    for k in range(6):
        (tmp_path / f"{k}.wav").write_bytes(b"")
        clips.append(Clip(tmp_path / f"{k}.wav", "ab"[k % 2], group=f"g{k}"))
    clips[5] = replace(clips[5], start=0.5, end=1.25)
    data = Dataset(tuple(clips), str(tmp_path / "clips.csv"))

    def apply(*rows, dataset=data):
        lines = ["path,start,end,label,suggested,evidence,decision", *rows]
        (tmp_path / "decisions.csv").write_text("\n".join(lines) + "\n")
        return corrections.apply(dataset, tmp_path / "decisions.csv")

    return data, apply


def test_decisions_do_what_they_say(table):
    _, apply = table
    corrected, counts = apply(
        "0.wav,,,a,b,0.9,relabel",
        "1.wav,,,b,a,0.9,keep",
        "2.wav,,,a,,0.5,b",
        "3.wav,,,b,a,0.4,drop",
        "5.wav,0.5,1.25,b,a,0.3,relabel",
        "4.wav,,,a,b,0.3,",
    )
    assert [clip.label for clip in corrected] == ["b", "b", "b", "a", "a"]
    assert [clip.path.name for clip in corrected] == [f"{k}.wav" for k in (0, 1, 2, 4, 5)]
    assert counts == {"relabelled": 3, "dropped": 1, "kept": 2}
    assert [clip.group for clip in corrected] == ["g0", "g1", "g2", "g4", "g5"]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (["0.wav,,,a,b,1,relable"], r"'relable' is unknown. Did you mean 'relabel'\? Give keep"),
        (["9.wav,,,a,b,1,drop"], r"row 2: .* has no clip '9.wav'"),
        (["5.wav,,,b,a,1,drop"], r"row 2: .* has no clip '5.wav'"),
        (["0.wav,,,b,a,1,drop"], r"row 2: '0.wav' is labelled 'a' in .* and 'b' here"),
        (["0.wav,,,a,,1,relabel"], r"row 2: 'relabel' needs a suggestion"),
        (["0.wav,,,a,b,1,drop", "0.wav,,,a,b,1,b"], r"rows 2, 3: .* contradict"),
        (["0.wav,x,,a,b,1,drop"], r"row 2: .* Give seconds"),
        ([f"{k}.wav,,,{'ab'[k % 2]},,1,drop" for k in range(5)] + ["5.wav,0.5,1.25,b,,1,drop"],
         r"drops every clip"),
    ],
)  # fmt: skip
def test_decisions_that_cannot_be_meant_are_refused(table, rows, text):
    with pytest.raises(DataError, match=text):
        table[1](*rows)


def test_decisions_about_several_classes_of_one_clip_add_up(table):
    data, apply = table
    several = replace(data, separator=";", clips=tuple(
        replace(clip, label=label)
        for clip, label in zip(data, ["a;b", "b", "a", "c", "b;c", "a"], strict=True)
    ))  # fmt: skip
    rows = ("0.wav,,,a;b,b,1,relabel", "0.wav,,,a;b,a;b;c,1,relabel", "4.wav,,,b;c,,1,a;c")
    corrected, _ = apply(*rows, dataset=several)
    assert [clip.label for clip in corrected][:5] == ["b;c", "b", "a", "c", "a;c"]
    with pytest.raises(DataError, match="leave .* without a class"):
        apply("0.wav,,,a;b,b,1,relabel", "0.wav,,,a;b,a,1,relabel", dataset=several)


# The command


def test_from_a_model_to_a_corrected_manifest(recordings, tmp_path):
    model, table, fixed = (tmp_path / name for name in ("m", "decisions.csv", "fixed.csv"))
    command("train", recordings, "--group", "site", "--backbone", "logmel", "--no-compare",
            "-o", model)  # fmt: skip
    told = json.loads(command("review", model, "--top", 4, "-o", table, "--json"))
    assert [Path(s["path"]).name for s in told["suspects"][:2]] in (
        ["7.wav", "20.wav"], ["20.wav", "7.wav"],
    )  # fmt: skip
    assert "already exists" in command("review", model, "-o", table, expect=2)
    lines = table.read_text().splitlines()
    assert len(lines) == 5 and all(line.endswith(",") for line in lines[1:])
    table.write_text("\n".join([lines[0], *(f"{row}relabel" for row in lines[1:3]), *lines[3:]]))
    for original in (recordings, table):
        before = original.read_bytes()
        done = command("review", model, "--apply", table, "-o", original, expect=2)
        assert "would be overwritten" in done and original.read_bytes() == before
    out = command("review", model, "--apply", table, "-o", fixed)
    assert re.search(r"48 clips -> .*: 2 relabelled, 0 dropped, 2 kept", out)
    labels = {c.path.name: (c.label, c.group) for c in Dataset.read(fixed)}
    assert labels["7.wav"] == ("middle", "s2") and labels["20.wav"] == ("high", "s2")
    assert len(labels) == 48


def test_a_review_says_that_it_takes_another_version(recordings, tmp_path, monkeypatch):
    info, cls = registry.entry("logmel")
    with monkeypatch.context() as patch:
        patch.setitem(registry._registry, "logmel", (info.at_version(1), cls))
        classifier = earmark.train(recordings, backbone="logmel", head="prototype").classifier
    classifier.save(tmp_path / "m.earmark")
    done = ended("review", str(tmp_path / "m.earmark"))
    assert "was trained with logmel/1/none/float32. This review uses logmel/2/none" in done.stderr


def test_a_model_whose_data_moved_or_was_never_told(recordings, tmp_path):
    model = earmark.train(Dataset.read(recordings), backbone="logmel", compare=False).classifier
    assert model.provenance["source"]["data"] == str(recordings)
    gone = {**model.provenance["source"], "data": str(tmp_path / "gone.csv")}
    for source, error, text in ((gone, DataError, "gone.csv, does not exist"),
                                ({}, ModelError, "does not say what data")):  # fmt: skip
        replace(model, provenance={**model.provenance, "source": source}).save(tmp_path / "m")
        with pytest.raises(error, match=text):
            of_model(tmp_path / "m")


def test_apply_needs_a_place(recordings, tmp_path):
    done = command("review", recordings, "--apply", tmp_path / "no.csv", expect=2)
    assert "--apply needs a manifest" in done
    done = command("review", recordings, "--apply", tmp_path / "no.csv", "-o", tmp_path / "x.csv",
                   expect=2)  # fmt: skip
    assert "does not exist" in done


def test_a_written_table_is_never_overwritten(tmp_path):
    (tmp_path / "d.csv").write_text("mine")
    with pytest.raises(EarmarkError, match="already exists"):
        corrections.write(tmp_path / "d.csv", [])


@pytest.mark.slow
def test_planted_errors_in_real_recordings():
    """Three of 100 labels changed: all are among the first ten."""
    clean = Dataset.read(shared_data("esc10") / "meta.csv", fold="fold")
    clips = [clip for k, clip in enumerate(clean) if k % 4 == 0]
    wrong = {10: "rain", 40: "dog_bark", 77: "rooster"}
    planted = {clips[k].path for k in wrong}
    for k, label in wrong.items():
        assert clips[k].label != label and label in clean.labels
        clips[k] = replace(clips[k], label=label)
    data = replace(clean, clips=tuple(clips))
    listed = review(data, backbone="speech-embedding", top=10).suspects
    assert planted <= {suspect.clip.path for suspect in listed}
