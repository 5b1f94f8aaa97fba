"""`doctor --fix`: what can be mended is mended and listed, and is not found again."""

import csv
import json
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from command_line import earmark as run
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor import inspect, tables
from earmark.data.doctor.fixing import CORRECTED, fix
from earmark.data.splits import make_scheme
from earmark.errors import DataError
from planted import RATE_HZ, sound

MENDED = {
    *("unreadable", "empty", "silent", "label conflict", "leak", "copies", "similar labels"),
    *("near label conflict", "near leak", "near copies"),
}


def softer(x: np.ndarray) -> np.ndarray:
    """A near copy: trimmed, softer and filtered."""
    return 0.4 * np.convolve(x[3_000:], [0.6, 0.4], "same")


@pytest.fixture
def folder(tmp_path):
    """Twelve clips of two classes, and ten that something is wrong with."""
    root = tmp_path / "in" / "sounds"
    for label in ("hiss", "chirp"):
        for k in range(6):
            put(root / label / f"{k}.wav", sound(label, k))
    put(root / "hiss" / "near.wav", softer(sound("hiss", 0)))
    put(root / "chirp" / "near.wav", softer(sound("hiss", 1)))  # of another class
    put(root / "chirp" / "copy.wav", sound("chirp", 0))
    put(root / "hiss" / "same.wav", sound("chirp", 1))  # of another class
    put(root / "hiss" / "silent.wav", np.zeros(RATE_HZ))
    (root / "hiss" / "empty.wav").write_bytes(b"")
    (root / "hiss" / "text.wav").write_text("no sound at all, but some text")
    for label, k in (("Hiss", 20), ("HISS_", 21), ("Chirp", 22)):
        put(root / label / "x.wav", sound(label.lower().strip("_"), k))
    return root


def put(path: Path, x: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, RATE_HZ)


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_mended_and_listed(folder):
    """Every kind at once; paths hold where the manifest is, and nothing is found again."""
    before = {path: path.read_bytes() for path in folder.rglob("*.wav")}
    home = folder.parent.parent
    out = home / "out" / "clean.csv"
    (home / "out").mkdir()
    done = run("doctor", folder, "--fix", "-o", out, "--json")
    fixed = json.loads(done.stdout)["fixed"]
    changes = Counter((c["done"], c["kind"]) for c in fixed["changes"])
    assert changes == {
        ("left out", "unreadable"): 1,
        ("left out", "empty"): 1,
        ("left out", "silent"): 1,
        ("left out", "copies"): 1,
        ("left out", "label conflict"): 1,
        ("left out", "near label conflict"): 1,
        ("renamed", "similar labels"): 3,
        ("grouped", "near copies"): 1,
    }
    assert not MENDED & {finding["kind"] for finding in fixed["left"]}
    rows = rows_of(out)
    left = {(Path(row["path"]).name, row["label"]) for row in rows}
    assert len(rows) == fixed["clips"] == 22 - 1 - 1 - 1 - 1 - 2 - 2 == 14
    gone = {"silent.wav", "empty.wav", "text.wav", "same.wav"}
    assert not gone & {name for name, _ in left} and {row["label"] for row in rows} == {
        "hiss",
        "chirp",
    }
    assert all((out.parent / row["path"]).is_file() for row in rows)
    group = {row["path"]: row["group"] for row in rows}
    assert group["../in/sounds/hiss/0.wav"] == group["../in/sounds/hiss/near.wav"]
    assert len(set(group.values())) == len(rows) - 1
    again = json.loads(run("doctor", out, "--json").stdout)
    assert not MENDED & {finding["kind"] for finding in again["findings"]}
    assert before == {path: path.read_bytes() for path in folder.rglob("*.wav")}
    clips = Dataset.read(out).clips  # what is one sound is tested in one fold
    scheme = make_scheme(clips, np.arange(len(clips)))
    fold = {clip.path.name: n for clip, n in zip(clips, scheme.fold.tolist(), strict=True)}
    assert "whole groups" in scheme.description and fold["near.wav"] == fold_of(clips, scheme)


def fold_of(clips, scheme) -> int:
    """The fold of the clip that near.wav was made of."""
    names = [f"{clip.path.parent.name}/{clip.path.name}" for clip in clips]
    return int(scheme.fold[names.index("hiss/0.wav")])


def test_changes_are_printed_and_files_are_not_overwritten(folder, tmp_path):
    out = tmp_path / "clean.csv"
    text = run("doctor", folder, "--fix", "-o", out, "--quick").stdout
    assert (
        "left out  copies               chirp/copy.wav (chirp): the same sound as chirp/0" in text
    )
    assert "renamed   similar labels       'Hiss' (1) is now 'hiss' (8)" in text
    assert "left out  unreadable           hiss/text.wav: " in text
    assert (
        f"clean.csv: 8 changes, 16 of 22 clips left; train with `earmark train {out} -o M" in text
    )
    held = out.read_bytes()
    for options, says in (
        (["--fix", "-o", out], f"{out} already exists. Name a new file, or delete this one."),
        (["--fix"], "--fix and -o MANIFEST need each other. Give both, or neither."),
        (["-o", tmp_path / "b.csv"], "--fix and -o MANIFEST need each other"),
        (["--fix", "-o", tmp_path / "b.json"], "b.json. Give a name that ends in .csv."),
    ):
        assert says in run("doctor", folder, *options, expect=2).stderr
    assert out.read_bytes() == held and not (tmp_path / "b.csv").exists()


def test_only_chosen_kinds_are_mended(folder):
    """What was not chosen is found as before; all kinds one by one mend what all at once do."""
    examined = inspect(Dataset.read(folder))
    whole, changes = fix(examined), []
    for kind in CORRECTED:
        fixed = fix(examined, [kind])
        assert {change.kind for change in fixed.changes} <= {kind}
        kept = {f.kind for f in examined.findings} & {*CORRECTED} - {kind}
        assert kept <= {f.kind for f in fixed.left} and kind not in {f.kind for f in fixed.left}
        changes += fixed.changes
    assert {(c.done, c.kind) for c in changes} == {(c.done, c.kind) for c in whole.changes}
    silent = [clip.path.name for c in changes if c.kind == "silent" for clip in c.clips]
    assert silent == ["silent.wav"]


def test_only_near_leaks_move_and_only_near_copies_are_grouped(tmp_path):
    rows = []
    for label in ("hiss", "chirp"):
        for k in range(4):
            put(tmp_path / f"{label}{k}.wav", sound(label, k))
            rows.append([f"{label}{k}.wav", label, str(k % 2)])
    put(tmp_path / "in.wav", softer(sound("hiss", 0)))  # in the fold of its original
    put(tmp_path / "across.wav", softer(sound("hiss", 1)))
    rows += [["in.wav", "hiss", "0"], ["across.wav", "hiss", "0"]]
    examined = inspect(Dataset.read(manifest(tmp_path, rows, "path,label,fold")))
    for kind, names in (("near copies", {"hiss0", "in"}), ("near leak", {"hiss1", "across"})):
        fixed = fix(examined, [kind])
        groups = Counter(clip.group for clip in fixed.dataset)
        joined = {clip.path.stem for clip in fixed.dataset if groups[clip.group] > 1}
        assert joined == names and {f.kind for f in fixed.left} & {*MENDED} == (
            {"near copies", "near leak"} - {kind}
        )


def test_only_is_checked(folder, tmp_path):
    out = tmp_path / "clean.csv"
    options = ["doctor", folder, "--quick", "--fix", "-o", out]
    said = run(*options, "--only", "silence", expect=2).stderr
    assert "'silence' cannot be corrected. Did you mean 'silent'? Give unreadable, empty" in said
    said = run("doctor", folder, "--only", "silent", expect=2).stderr
    assert "--only needs --fix. Add it, with -o MANIFEST." in said and not out.exists()
    run(*options, "--only", "silent", "--only", "empty", expect=1)
    assert len(rows_of(out)) == 20


def manifest(folder: Path, rows: list[list[str]], header: str, name: str = "in.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def test_other_columns_groups_and_stretches_stay(tmp_path):
    """Groups are joined with those of the user; rows keep their other cells."""
    rows = []
    for label in ("hiss", "chirp"):
        for k in range(4):
            both = np.concatenate([sound(label, 2 * k), sound(label, 2 * k + 1)])
            put(tmp_path / f"{label}{k}.wav", both)
            for start in (0, 2):
                note = f"note, {label} {k} {start}"
                path = f"{label}{k}.wav"
                rows.append([path, label, str(start), str(start + 2), f"s{k}", note, "old"])
    put(tmp_path / "near.wav", softer(sound("hiss", 3)))  # of the second stretch of hiss1
    rows.append(["near.wav", "hiss", "", "", "s2", "near", "old"])
    table = manifest(tmp_path, rows, "path,what,start,end,speaker,note,label")
    out = tmp_path / "clean.csv"
    run("doctor", table, "--label", "what", "--group", "speaker", "--fix", "-o", out)
    clean = rows_of(out)
    header = ["path", "label", "start", "end", "group", "note", "label (other)"]
    assert list(clean[0]) == header and [r["note"] for r in clean] == [r[5] for r in rows]
    assert {r["label (other)"] for r in clean} == {"old"}
    expected = {"s1": "s1 + s2", "s2": "s1 + s2"}
    assert [r["group"] for r in clean] == [expected.get(r[4], r[4]) for r in rows]
    data = Dataset.read(out)
    assert [(c.start, c.end) for c in data.clips[:2]] == [(0, 2), (2, 4)]
    assert not {"near leak", "near copies"} & {f.kind for f in earmark.doctor(data)}


def test_folds_and_test_splits(tmp_path):
    """Near copies move into one fold; what is tested stays, and what copies it is left out."""
    for label in ("hiss", "chirp"):
        for k in range(4):
            put(tmp_path / f"{label}{k}.wav", sound(label, k))
    put(tmp_path / "near.wav", softer(sound("hiss", 0)))
    put(tmp_path / "nearer.wav", 0.5 * sound("hiss", 0))
    put(tmp_path / "copy.wav", sound("chirp", 0))
    names = [f"{label}{k}" for k in range(4) for label in ("hiss", "chirp")]
    own = [[f"{name}.wav", name[:-1], str(n % 4 // 2)] for n, name in enumerate(names)]
    extra = [["near.wav", "hiss", "1"], ["nearer.wav", "hiss", "1"], ["copy.wav", "chirp", "1"]]
    data = Dataset.read(manifest(tmp_path, own + extra, "path,label,fold"))
    fixed = fix(inspect(data))
    fold = {clip.path.stem: clip.fold for clip in fixed.dataset}
    assert fold["hiss0"] == fold["near"] == fold["nearer"] == "1" and "copy" not in fold
    moved = [c for c in fixed.changes if c.done == "moved"]
    assert [clip.path.stem for c in moved for clip in c.clips] == ["hiss0"]
    assert not MENDED & {f.kind for f in earmark.doctor(fixed.dataset)}

    held = {"near": "Validation", "copy": "dev", "hiss3": "test"}
    table = [[*row[:2], held.get(row[0][:-4], "training")] for row in own + extra]
    data = Dataset.read(manifest(tmp_path, table, "path,label,split", "split.csv"))
    fixed = fix(inspect(data))
    left = {clip.path.stem for clip in fixed.dataset}
    assert {"near", "copy", "hiss3"} <= left and not {"hiss0", "nearer", "chirp0"} & left
    assert not MENDED & {f.kind for f in earmark.doctor(fixed.dataset)}


def test_several_classes_a_clip(tmp_path):
    labels = ["Dog;rain", "dog;rain", "dog", "rain;dog ", "rain", "DOG;dog", "rain", "rain"]
    clips = [[f"{k}.wav", label] for k, label in enumerate(labels)]
    for k in range(len(labels)):
        put(tmp_path / f"{k}.wav", sound("hiss", k % 7))  # the last is a copy of the first
    clips[0][1], clips[7][1] = "dog;rain", "Rain;Dog"
    table = manifest(tmp_path, clips, "path,label")
    fixed = fix(inspect(Dataset.read(table, separator=";")))
    assert [clip.label for clip in fixed.dataset] == [
        *("dog;rain", "dog;rain", "dog", "rain;dog", "rain", "dog", "rain"),
    ]
    assert any(change.kind == "copies" for change in fixed.changes)


def test_a_class_of_silence_stays(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(5):
        put(tmp_path / "silence" / f"{k}.wav", 1e-5 * rng.normal(size=RATE_HZ))
        put(tmp_path / "hiss" / f"{k}.wav", sound("hiss", k))
    examined = inspect(Dataset.read(tmp_path))
    assert [(f.severity, f.kind) for f in examined.findings] == [("note", "class of silence")]
    assert fix(examined).changes == ()
    for k in range(5):
        put(tmp_path / "hiss" / f"{k}.wav", 1e-5 * rng.normal(size=RATE_HZ))
    examined = inspect(Dataset.read(tmp_path))
    assert [(f.severity, f.kind) for f in examined.findings] == [("warning", "silent")]
    with pytest.raises(DataError, match="only 0 clips of 0 classes would be left"):
        fix(examined)


def test_nothing_is_written_where_one_class_is_left(tmp_path):
    for k in range(5):
        put(tmp_path / "in" / "a" / f"{k}.wav", sound("hiss", k))
        put(tmp_path / "in" / "b" / f"{k}.wav", sound("hiss", k if k < 4 else 9))
    (tmp_path / "in" / "b" / "4.wav").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"of 10 clips, only 1 clip of 1 class would be left. Correct the"
    ):
        fix(inspect(Dataset.read(tmp_path / "in"), near=False))
    out = tmp_path / "clean.csv"
    run("doctor", tmp_path / "in", "--fix", "-o", out, "--quick", expect=2)
    assert not out.exists()


@pytest.mark.parametrize(
    ("names", "merged"),
    [
        (["Dog", "dog", "dog"], {"dog"}),
        (["guinea pig", "guinea-pig", "Guinea_Pig", "guinea_pig", "guinea_pig"], {"guinea_pig"}),
        ([unicodedata.normalize("NFD", "café"), "café"], {"café"}),
        ([*[unicodedata.normalize("NFD", "é")] * 3, "É"], {"é"}),
        (["-5 dB", "5 dB"], {"-5 dB", "5 dB"}),
        (["snr -5", "snr 5"], {"snr -5", "snr 5"}),
        (["1_0", "10"], {"1_0", "10"}),
        (["dog-1", "dog 1", "dog 1"], {"dog 1"}),
        (["-", "_"], {"-", "_"}),
        (["house", "mouse"], {"house", "mouse"}),
    ],
)
def test_spellings(names, merged):
    """The commonest wins, in composed letters; other words stay."""
    plain = tables.spellings_of(sorted(set(names)))
    assert len(plain) == len(merged)
    clips = tuple(Clip(Path(f"/no/{k}.wav"), name) for k, name in enumerate([*names, "zebra"]))
    dataset = Dataset(clips, "made here")
    from earmark.data.doctor.fixing import _Repair

    repair = _Repair(dataset)
    repair.merge_spellings()
    assert {clip.label for clip in repair.clips.values()} == {*merged, "zebra"}
    assert sum(len(change.clips) for change in repair.changes) == sum(
        name not in merged for name in names
    )
