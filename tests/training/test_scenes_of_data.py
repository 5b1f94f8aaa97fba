"""Scenes from clips and from annotated recordings: what is kept, cut, counted and refused."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from earmark.audio.options import AudioOptions
from earmark.backbones import registry
from earmark.backbones.base import LayerStats
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.event import Event, RecordingEvents
from earmark.data.splits import Scheme, make_scheme
from earmark.embeddings.stages import Failure
from earmark.errors import DataError, EarmarkError
from earmark.system.progress import no_step
from earmark.training import backgrounds, mixed_scenes
from earmark.training.annotated_scenes import MOST_PIECE_S, AnnotatedScenes
from earmark.training.backgrounds import divide_background, read_backgrounds
from earmark.training.copies import number_copies
from earmark.training.detector import train_detector
from earmark.training.event_metrics import evaluate_events
from earmark.training.event_verdict import window_estimate
from earmark.training.mixed_scenes import MixedScenes
from earmark.training.scene_windows import SceneWindows
from earmark.training.scenes import Scene

RATE_HZ = 8_000


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(level * rng.standard_normal(round(seconds * RATE_HZ)), np.float32)


def write(path, x):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, RATE_HZ)


def folder_of_clips(root, n=6, labels=("a", "b")):
    for k, label in enumerate(labels):
        for number in range(n):
            write(root / label / f"{number}.wav", noise(0.4, 100 * k + number))
    return root


def mixed(root, background=()) -> MixedScenes:
    dataset = Dataset.read(root)
    scheme = make_scheme(dataset.clips, np.arange(len(dataset)), folds=3)
    return MixedScenes(dataset, scheme, RATE_HZ, background, 0, no_step)


def table(root, rows) -> Dataset:
    """Return the data of rows 'name start end label'; recordings that miss are made, 40 s each."""
    lines = ["path,start,end,label", *(",".join(row.split()) for row in rows)]
    (root / "data.csv").write_text("\n".join(lines))
    for name in {row.split()[0] for row in rows}:
        if not (root / name).exists():
            write(root / name, noise(40, len(name)))
    return Dataset.read(root / "data.csv")


def annotated(dataset, most_s=3600.0) -> AnnotatedScenes:
    scheme = make_scheme(dataset.clips, np.arange(len(dataset)), folds=3)
    return AnnotatedScenes(dataset, scheme, RATE_HZ, None, [], most_s, 0)


def test_sounds_and_quiet_stretches_do_not_keep_whole_clips_in_memory(tmp_path):
    for label in "ab":
        for number in range(3):
            x = np.concatenate([noise(0.3, number), 1e-5 * noise(30), noise(0.1)])
            write(tmp_path / label / f"{number}.wav", x)
    scenes = mixed(tmp_path)
    for fold, sounds in enumerate(scenes.sounds):
        for x in (*(sound.samples for sound in sounds), *scenes.backgrounds[fold]):
            assert x.base is None


def test_quiet_stretches_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(mixed_scenes, "MOST_QUIET_S", 30.0)
    for label in "ab":
        for number in range(9):
            write(
                tmp_path / label / f"{number}.wav", np.concatenate([noise(0.3), np.zeros(80_000)])
            )
    own_s = [sum(map(len, own)) / RATE_HZ for own in mixed(tmp_path).backgrounds]
    assert all(10 <= seconds < 21 for seconds in own_s)


def with_background(root, seconds: float) -> MixedScenes:
    """Scenes of clips a and b, and of 6 clips of background, louder than these."""
    folder_of_clips(root)
    for number in range(6):
        write(root / "none" / f"{number}.wav", noise(seconds, 500 + number, 0.3))
    dataset = Dataset.read(root)
    scheme = make_scheme(dataset.clips, np.arange(len(dataset)), folds=3)
    sounds, own, quiet = divide_background(dataset, scheme, "none")
    assert sounds.labels == ["a", "b"] and [len(clips) for clips in quiet] == [2, 2, 2]
    assert len(own.fold) == len(own.cluster) == len(sounds) == 12
    folds = dict(zip(dataset.clips, scheme.fold.tolist(), strict=True))
    assert [folds[clip] for clip in sounds.clips] == own.fold.tolist()
    for fold, clips in enumerate(quiet):
        assert all(folds[replace(clip, label="none")] == fold for clip in clips)
    return MixedScenes(sounds, own, RATE_HZ, (), 0, no_step, quiet)


def test_clips_of_background_are_laid_under_the_sounds_of_their_fold(tmp_path):
    scenes = with_background(tmp_path / "much", 4.0)
    assert scenes.labels == {"a", "b"} and scenes.has_background
    assert [round(sum(map(len, own)) / RATE_HZ) for own in scenes.backgrounds] == [8, 8, 8]
    assert scenes.notes == [note for note in scenes.notes if "24 s of clips without" in note]
    few = with_background(tmp_path / "few", 1.0)  # made noise fills it up
    assert "3 of 3 folds have less than 5 s" in few.notes[1]
    assert [len(own) for own in few.backgrounds] == [6, 6, 6]


def test_data_of_background_alone_is_refused(tmp_path):
    dataset = Dataset.read(folder_of_clips(tmp_path))
    clips = tuple(replace(clip, label="none") for clip in dataset.clips)
    scheme = make_scheme(dataset.clips, np.arange(len(dataset)), folds=3)
    with pytest.raises(DataError, match="all clips are background"):
        divide_background(replace(dataset, clips=clips), scheme, "none")


def test_many_short_sounds_do_not_make_days_of_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(mixed_scenes, "MOST_SCENES_S", 20.0)
    monkeypatch.setattr(mixed_scenes, "LEAST_S", 1.0)
    scenes = mixed(folder_of_clips(tmp_path, n=30))
    assert 15 < scenes.seconds < 25
    assert "an even share of each class" in scenes.notes[0]
    count = [sum(sound.labels == (label,) for f in scenes.sounds for sound in f) for label in "ab"]
    assert abs(count[0] - count[1]) <= 1


def test_digital_silence_is_no_event(tmp_path):
    folder_of_clips(tmp_path)
    write(tmp_path / "a" / "silent.wav", np.zeros(RATE_HZ))
    scenes = mixed(tmp_path)
    assert [failure.path for failure in scenes.skipped] == [str(tmp_path / "a" / "silent.wav")]
    assert sum(map(len, scenes.sounds)) == 12


def test_a_class_that_cannot_be_read_is_an_error(tmp_path):
    folder_of_clips(tmp_path, labels=("a", "b", "c"))
    for path in (tmp_path / "c").iterdir():
        path.write_bytes(f"no audio {path.name}".encode())
    with pytest.raises(DataError, match=r"no sound of 'c' could be used.*not audio"):
        train_detector(tmp_path, backbone="logmel")


@pytest.mark.parametrize("content", ["broken", "too short"])
def test_annotated_recordings_without_any_event_are_an_error(tmp_path, content):
    for number in range(5):
        if content == "broken":
            (tmp_path / f"{number}.wav").write_bytes(f"no audio {number}".encode())
        else:
            write(tmp_path / f"{number}.wav", noise(2, number))
    rows = [
        f"{n}.wav {at} {at + 1} {label}" for n in range(5) for at, label in ((5, "a"), (8, "b"))
    ]
    with pytest.raises(DataError, match="no sound of 'a', 'b' could be used"):
        train_detector(table(tmp_path, rows), backbone="logmel")


def test_data_that_is_held_out_as_a_whole_is_an_error(tmp_path):
    folder_of_clips(tmp_path)
    rows = [f"{y}/{n}.wav,{y},test" for y in "ab" for n in range(6)]
    (tmp_path / "data.csv").write_text("\n".join(["path,label,split", *rows]))
    with pytest.raises(DataError, match="holds out every clip"):
        train_detector(tmp_path / "data.csv", backbone="logmel")


@pytest.mark.parametrize("memory", [float("nan"), 0.0, -1.0])
def test_impossible_memory_is_refused(tmp_path, memory):
    with pytest.raises(EarmarkError, match="memory is"):
        train_detector(folder_of_clips(tmp_path), backbone="logmel", memory=memory)


def test_background_must_not_hold_the_clips(tmp_path):
    folder_of_clips(tmp_path)
    with pytest.raises(DataError, match="12 recordings of the background"):
        train_detector(tmp_path, backbone="logmel", background=tmp_path)


def test_copies_of_a_clip_are_in_one_fold(tmp_path):
    folder_of_clips(tmp_path)
    for number in range(6):
        shutil.copy(tmp_path / "a" / f"{number}.wav", tmp_path / "a" / f"copy of {number}.wav")
    clips = Dataset.read(tmp_path).clips
    number = dict(zip((clip.place for clip in clips), number_copies(clips), strict=True))
    assert len(set(number.values())) == 12
    for path, own in number.items():
        assert number[path.replace("copy of ", "")] == own
    scheme = make_scheme(clips, number_copies(clips))
    of_number = dict(zip(number_copies(clips).tolist(), scheme.fold.tolist(), strict=True))
    assert [of_number[n] for n in number_copies(clips).tolist()] == scheme.fold.tolist()


def test_copies_count_once_in_training(tmp_path):
    folder_of_clips(tmp_path)
    for number in range(1, 6):
        shutil.copy(tmp_path / "a" / "0.wav", tmp_path / "a" / f"{number}.wav")
    with pytest.raises(DataError, match="class 'a' has 1 different recording"):
        train_detector(tmp_path, backbone="logmel")


def test_long_files_that_differ_in_the_middle_are_no_copies(tmp_path):
    content = np.zeros(2_000_000, np.uint8)
    for name, middle in (("x", 0), ("y", 1), ("z", 1)):
        content[1_000_000] = middle
        (tmp_path / name).write_bytes(content.tobytes())
    x, y, z = number_copies([Clip(tmp_path / name) for name in "xyz"])
    assert x != y == z
    missing = [Clip(tmp_path / name) for name in ("p", "q")]
    assert len(set(number_copies(missing))) == 2


def test_stretches_of_one_recording_have_numbers_of_their_own(tmp_path):
    (tmp_path / "x").write_bytes(b"1234")
    clips = [Clip(tmp_path / "x", start=at, end=at + 1.0) for at in (0.0, 1.0)]
    assert len(set(number_copies(clips))) == 2


def test_an_event_of_many_minutes_is_cut(tmp_path):
    seconds = 2.5 * MOST_PIECE_S
    for name in ("x.wav", "y.wav", "z.wav"):
        write(tmp_path / name, np.zeros(round(seconds * RATE_HZ), np.float32))
    rows = [f"{n}.wav 10 {seconds - 10} a" for n in "xyz"]
    rows += [f"{n}.wav 2 3 b" for n in "xyz"]
    scenes = annotated(table(tmp_path, rows))
    own = [(e, s) for clip, _, e, s in scenes.pieces if clip.path.name == "x.wav"]
    assert max(s for _, s in own) <= MOST_PIECE_S
    assert sum(s for _, s in own) == pytest.approx(seconds)
    assert sum(e.seconds for es, _ in own for e in es if e.label == "a") == seconds - 20
    assert all(0 <= e.start < e.end <= s for es, s in own for e in es)


def test_events_annotated_twice_count_once(tmp_path):
    rows = [f"{n}.wav {at} {at + 1} {y}" for n in "xyz" for at, y in ((5, "a"), (9, "b"))]
    dataset = table(tmp_path, rows)
    clips = (*dataset.clips, *dataset.clips[:3])
    assert len(annotated(dataset).durations) == len(rows)
    assert len(annotated(replace(dataset, clips=clips)).durations) == len(rows)


def test_of_many_hours_a_rare_class_is_kept(tmp_path):
    for name in "xyz":
        write(tmp_path / f"{name}.wav", np.zeros(1_200 * RATE_HZ, np.float32))
    rows = [f"{n}.wav {at} {at + 1} common" for n in "xyz" for at in range(5, 1_190, 20)]
    rows += [f"{n}.wav {at} {at + 1} rare" for n in "xyz" for at in (603,)]
    scenes = annotated(table(tmp_path, rows), most_s=400.0)
    labels = [e.label for _, _, events, _ in scenes.pieces for e in events]
    assert labels.count("rare") == 3
    assert sum(piece[3] for piece in scenes.pieces) < 500


def test_edges_of_overlapping_events_of_a_class_are_no_background():
    network = registry.load_backbone("logmel", "exact", "torch")
    events = (Event(1.0, 2.0, "a"), Event(1.0, 2.0, "a"), Event(1.2, 2.1, "a"))
    scene = Scene("s", 0, noise(4), RATE_HZ, events)
    windows = SceneWindows.of([scene], [network], [0.4], 0.1, no_step)
    has, usable = windows.onehot(0.4, ["a", "b"])
    at_edge = [8, 19]  # 0.8 to 1.2 s, and 1.9 to 2.3 s: half covered
    assert not has[at_edge].any()
    assert not usable[at_edge].any()


def test_background_in_one_piece_is_divided_between_folds(tmp_path):
    write(tmp_path / "x.wav", np.arange(20 * RATE_HZ) / (20 * RATE_HZ))
    skipped = list[Failure]()
    dataset = Dataset.read(folder_of_clips(tmp_path / "clips"))
    own = read_backgrounds([tmp_path / "x.wav"], 3, RATE_HZ, dataset.audio, 0, skipped)
    spans = sorted((piece.min(), piece.max()) for pieces in own for piece in pieces)
    assert len(own) == 3
    assert all(a[1] <= b[0] + 1e-4 for a, b in itertools.pairwise(spans))


def test_embeddings_that_exceed_float16_are_kept():
    network = registry.load_backbone("logmel", "exact", "torch")
    windows = SceneWindows([network], [0.2], 0.1)
    ones = torch.ones(2, 64)
    windows._keep((0, 0.1), [{"logmel": LayerStats(ones[:, 0], 1e5 * ones, ones)}])
    (matrix,) = windows.matrices(0.2)
    assert matrix.max() == pytest.approx(1e5)


def test_copies_of_few_sounds_do_not_make_a_verdict_certain():
    events = tuple(Event(3.0 * k, 3.0 * k + 1, "ab"[k % 2]) for k in range(100))
    scenes = [RecordingEvents(f"scene {k}", 300.0, events) for k in range(20)]
    evaluation, scheme = evaluate_events(scenes, scenes), Scheme("folds", (), None, None)
    onehot = np.eye(2)
    words = {
        n: window_estimate(onehot, Targets.several(onehot), evaluation, scheme, n).verdict
        for n in (29, 30)
    }
    assert words[30]["word"] == "use"
    assert words[29]["word"] == "care"
    assert "only 29 different sounds could be tested" in words[29]["why"]


def test_events_after_the_end_of_a_recording_that_was_cut_short_do_not_count(tmp_path):
    places = ((5, "a"), (9, "b"), (30, "a"))
    dataset = table(tmp_path, [f"{n}.flac {at} {at + 5} {y}" for n in "xyz" for at, y in places])
    path = tmp_path / "x.flac"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 4])  # the header still says 40 s
    scenes = annotated(dataset)
    own = [scene for scene in scenes if "x.flac" in scene.name]
    assert [event.start for scene in own for event in scene.events] == [5.0, 9.0]
    assert all(e.end <= len(s.samples) / RATE_HZ for s in own for e in s.events)
    assert any("x.flac ends 30" in note for note in scenes.notes)


def test_of_background_of_unknown_length_a_piece_is_kept(tmp_path, monkeypatch):
    for name in "xyz":
        write(tmp_path / f"{name}.wav", noise(20))
    header = backgrounds.audio.header_of(tmp_path / "x.wav")
    monkeypatch.setattr(backgrounds, "MOST_S", 9.0)
    monkeypatch.setattr(backgrounds, "PIECE_S", 3.0)
    monkeypatch.setattr(backgrounds.audio, "header_of", lambda _: header._replace(frames=0))
    paths = [tmp_path / f"{name}.wav" for name in "xyz"]
    own = read_backgrounds(paths, 3, RATE_HZ, AudioOptions(), 0, [])
    assert [[len(x) for x in pieces] for pieces in own] == [[3 * RATE_HZ]] * 3


def test_too_few_folds_are_told_with_the_option(tmp_path):
    with pytest.raises(DataError, match="2 folds or groups.*--folds 3"):
        train_detector(folder_of_clips(tmp_path), backbone="logmel", folds=2)


def test_a_layer_that_is_too_slow_for_short_events_is_refused(tmp_path):
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    for k in range(12):
        write(tmp_path / "ab"[k % 2] / f"{k}.wav", noise(0.05, k))
    with pytest.raises(EarmarkError, match="layer 'conv8' has a frame less often than every 0.02"):
        train_detector(tmp_path, backbone="speech-embedding", layers="conv1,conv8")
