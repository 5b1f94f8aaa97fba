"""docs/reference/json.md has every key that a command prints with --json, and no other."""

import csv
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import noisy_tones
from command_line import earmark
from earmark.data import example
from hub import running_hub, use_hub

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
SWAPPED = ("--threshold", "0.01")  # to have false events, too
CONFUSED = {f"confusions[].{key}" for key in ("label", "answered", "count")}  # if there are any
WEIGHTS = Path(os.environ["EARMARK_WEIGHTS"])
EXPORTED = "train odd --backbone logmel --no-compare --allow-skips -o exported.earmark"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| (.+) \|$", re.M)
KINDS = {
    "text": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "object": dict,
    "null": type(None),
}


INDEXED = "index odd -o archive --backbone logmel --table sites.csv --allow-skips"


def described(command: str) -> dict[str, tuple[str, bool]]:
    """Return the type of each key in the table of a command, and whether it may be missing."""
    sections = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    (text,) = [
        t for title, t in zip(sections[1::2], sections[2::2], strict=True) if title == command
    ]
    return {key: (kind, "*sometimes*" in meaning) for key, kind, meaning in ROW.findall(text)}


def with_events(command: str) -> dict[str, tuple[str, bool]]:
    events = {f"events.{key}": value for key, value in described("The figures of events").items()}
    return described(command) | events


def with_estimate(command: str, prefix: str) -> dict[str, tuple[str, bool]]:
    estimate = {f"{prefix}{key}": value for key, value in described("The estimate").items()}
    return described(command) | estimate


def printed(value: Any, names: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key as the page writes it, with a value; ``names`` end in ``.*``."""
    if isinstance(value, list):
        for item in value:
            yield from printed(item, names, f"{prefix}[]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if f"{prefix}.*".lstrip(".") in names:
                yield f"{prefix}.*".lstrip("."), item
            else:
                path = f"{prefix}.{name}".lstrip(".")
                yield path, item
                yield from printed(item, names, path)


def is_of(kind: str, value: Any) -> bool:
    if kind == "any":
        return True
    for word in kind.split(" or "):
        if word.startswith("list"):
            item = word.removeprefix("list").removeprefix(" of ")
            if isinstance(value, list) and (not item or all(is_of(item, x) for x in value)):
                return True
        elif isinstance(value, KINDS[word]) and (word == "boolean" or not isinstance(value, bool)):
            return True
    return False


def check(table: dict[str, tuple[str, bool]], objects: list[Any]) -> set[str]:
    """Compare objects with a table; return the keys that they have."""
    names = {key for key in table if key.endswith(".*")}
    seen = set()
    for value in objects:
        keys = list(printed(value, names))
        for key, item in keys:
            assert key in table, f"{key} is not in {PAGE.name}"
            assert is_of(table[key][0], item), f"{key}: {item!r} is not {table[key][0]}"
        here = {key for key, _ in keys}
        always = {key for key, (_, may_be_missing) in table.items() if not may_be_missing}
        assert always <= here, f"{sorted(always - here)} are missing, but not said to be"
        seen |= here
    return seen


def json_of(*arguments: object, expect: int = 0) -> list[Any]:
    done = earmark(*arguments, "--json", expect=expect)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(value.pop("schema") == 1 for value in objects)
    return objects


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with recordings of several kinds, manifests of them, and a classifier."""
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    root = tmp_path_factory.mktemp("json")
    folder, rng = example().parent, np.random.default_rng(0)
    counts = {"no": 12, "go": 12, "left": 6}
    clips = [(label, k) for label, n in counts.items() for k in range(1, n + 1)]
    lines = [f"{folder}/{label}/g{k:02d}.ogg,{label},{k}" for label, k in clips]
    several = {"no": "a", "go": "b", "left": "a;b"}
    texts = [f"{folder}/{label}/g{k:02d}.ogg,{several[label]},{k}" for label, k in clips]
    head = "path,label,group"
    (root / "words.csv").write_text("\n".join([head, *lines, f"bad.wav,no,{13}"]) + "\n")
    (root / "several.csv").write_text("\n".join([head, *texts]) + "\n")
    (root / "bad.wav").write_bytes(b"no audio")
    x = 0.1 * rng.normal(size=8_000)
    soundfile.write(root / "noise.wav", x, 16_000)
    soundfile.write(root / "silent.wav", 0 * x, 16_000)
    (root / "cut.wav").write_bytes((root / "noise.wav").read_bytes()[:9_000])
    (root / "short.wav").write_bytes((root / "noise.wav").read_bytes()[:-200])
    (root / "sites.csv").write_text("path,site\nodd/high/0.wav,north\nodd/low/0.wav,south\n")
    (root / "stretches.csv").write_text("path,start,end\nnoise.wav,0.1,0.4\n")
    for label in ("high", "low"):
        (root / "odd" / label).mkdir(parents=True)
        for k in range(6):
            soundfile.write(root / "odd" / label / f"{k}.wav", rng.normal(0, 0.1, 8_000), 16_000)
    shutil.copy(root / "bad.wav", root / "odd" / "low" / "bad.wav")
    soundfile.write(root / "odd" / "low" / "clipped.wav", np.clip(5 * x, -0.3, 0.3), 16_000)
    return root


@pytest.fixture(autouse=True)
def _here(place, monkeypatch):
    monkeypatch.chdir(place)


def trained(place: Path, name: str, *arguments: object) -> list[Any]:
    return json_of("train", *arguments, "-o", name, "--allow-skips")


def test_train_and_evaluate(place):
    pytest.importorskip("accelerate")
    speech = ("--backbone", "speech-embedding")
    tuning = ("--layers", "conv2", "--finetune", "last:1", "--recipe", "epochs=1")
    quick = ("--folds", 3, "--no-compare")
    trainings = [
        *trained(place, "words.earmark", "words.csv", *speech, "--unknown", 0.1),
        *trained(
            place, "several.earmark", "several.csv", "--separator", ";", "--backbone", "logmel"
        ),
        *trained(place, "tuned.earmark", "words.csv", *speech, *tuning, *quick),
    ]
    evaluations = [
        *json_of("evaluate", "words.earmark", "words.csv", "--include-known", "--allow-skips"),
        *json_of("evaluate", "several.earmark", "several.csv", "--include-known"),
    ]
    train, evaluate = with_estimate("train", "estimate."), with_estimate("evaluate", "")
    seen, also = check(train, trainings), check(evaluate, evaluations)
    estimated = {
        key.removeprefix("estimate.") for key in seen if key.startswith("estimate.")
    } | also
    assert not set(described("train")) - seen
    assert not set(described("evaluate")) - also
    assert not set(described("The estimate")) - estimated

    recordings = ("noise.wav", "cut.wav", "short.wav", "stretches.csv", "bad.wav", "--allow-skips")
    predictions = json_of("predict", "words.earmark", *recordings, "--coverage", 0.9)
    assert not set(described("predict")) - check(described("predict"), predictions)

    word = shutil.copy(example().parent / "no" / "g01.ogg", "20260501_220000.ogg")
    detections = json_of("detect", "several.earmark", word, *recordings, "--threshold", 0.01)
    assert not set(described("detect")) - check(described("detect"), detections)


def test_stream(place, monkeypatch):
    from earmark.audio.live import Gap, LiveBlock, LiveInput

    def items():
        x = soundfile.read("noise.wav", dtype="float32")[0]
        yield LiveBlock(x, 16_000, 0.0)
        yield Gap(1.0, "a test")
        yield LiveBlock(x, 16_000, 2.0)

    def open_live(*_args, **_settings):
        return LiveInput("test", items(), [], threading.Event())

    trained(place, "odd.earmark", "odd", "--backbone", "logmel", "--no-compare")
    monkeypatch.setattr("earmark.audio.live_sources.open_live", open_live)
    done = earmark("stream", "odd.earmark", "mic", "--threshold", 0.01)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(value.pop("schema") == 1 for value in objects)
    assert not set(described("stream")) - check(described("stream"), objects)


def test_detectors(tmp_path):
    noisy_tones.write_clips(tmp_path / "clips", count=6)
    shutil.copy("bad.wav", tmp_path / "clips" / "high" / "bad.wav")
    noisy_tones.write_annotated(tmp_path / "nights", count=2, others=True)
    shutil.copy("bad.wav", tmp_path / "nights" / "bad.wav")
    (tmp_path / "nights" / "bad.txt").write_text("0.1\t0.4\tlow\n")
    out = tmp_path / "d.earmark"
    quick = ("--detector", "--backbone", "logmel", "--folds", 3, "--allow-skips")
    trainings = json_of("train", tmp_path / "clips", *quick, "-o", out)
    evaluations = [
        *json_of("evaluate", out, tmp_path / "nights", "--events", "--allow-skips"),
        *json_of("evaluate", out, tmp_path / "nights", "--events", "--allow-skips", *SWAPPED),
    ]
    train, evaluate = with_events("train --detector"), with_events("evaluate --events")
    seen, also = check(train, trainings), check(evaluate, evaluations)
    assert not set(described("train --detector")) - seen
    assert not set(described("evaluate --events")) - also
    events = {key for key in seen | also if key.startswith("events.")}
    events = {key.removeprefix("events.") for key in events}
    assert not set(described("The figures of events")) - events - CONFUSED


def test_label(tmp_path):
    noisy_tones.write_annotated(tmp_path / "nights", count=3)
    archive = tmp_path / "archive"
    sites = "path,site\n" + "".join(
        f"{path.name},north\n" for path in sorted((tmp_path / "nights").glob("*.wav"))
    )
    (tmp_path / "sites.csv").write_text(sites)
    table = ("--table", tmp_path / "sites.csv")
    json_of("index", tmp_path / "nights", "-o", archive, "--backbone", "logmel", *table)
    like, objects = ("--like", sorted((tmp_path / "nights").glob("*.wav"))[0]), []
    for number in range(2):
        path = tmp_path / f"{number}.csv"
        label = ("label", archive, "--class", "high", "-o", path)
        objects += json_of(*label, *(() if number else like))
        lines = path.read_text().splitlines()
        for k, line in enumerate(lines[1:], 1):
            cells = line.split(",")
            cells[6] = "yes" if k < 10 else "no"
            lines[k] = ",".join(cells)
        path.write_text("\n".join(lines) + "\n")
        objects += json_of("label", archive, "--apply", path, "--class", "high")
    objects += json_of("label", archive, "--manifest", tmp_path / "clips.csv")
    later = {f"{name}.{key}" for name in ("unseen", "total") for key in ("value", "ci95")}
    assert not set(described("label")) - check(described("label"), objects) - later


def test_tag():
    if not (WEIGHTS / "mn04").is_dir():
        pytest.skip(f"no weights of efficientat-mn04 in {WEIGHTS}; set EARMARK_WEIGHTS")
    objects = json_of("tag", "noise.wav", "stretches.csv", "bad.wav", "--allow-skips")
    assert not set(described("tag")) - check(described("tag"), objects)


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("compare", ["compare words.csv --backbone logmel,speech-embedding --allow-skips"]),
        ("review", ["review words.csv --backbone logmel -o decisions.csv --allow-skips"]),
        ("review --apply", ["review words.csv --apply decisions.csv -o corrected.csv"]),
        ("doctor", ["doctor odd --fix -o clean.csv"]),
        ("export", [EXPORTED, "export exported.earmark -o exported.onnx"]),
        ("embed", ["embed odd --backbone logmel -o odd.npz --allow-skips"]),
        ("embed -o DIR", ["embed odd --backbone logmel -o odd-parts --allow-skips"]),
        ("index", ["index odd -o odd-archive --backbone logmel --allow-skips"]),
        ("search", [INDEXED, "search archive --like noise.wav --top 2"]),
        ("predict -o DIR", [EXPORTED, "predict exported.earmark odd -o predicted --allow-skips"]),
        (
            "detect -o DIR",
            [EXPORTED, "detect exported.earmark odd -o detected --on local --allow-skips"],
        ),
        ("embed --plan", ["embed odd --backbone logmel --plan"]),
        ("data list", ["data list"]),
        ("backbones list", ["backbones list"]),
        ("backbones show", ["backbones show logmel"]),
        ("cache show", ["embed odd --backbone logmel -o odd.npz --allow-skips", "cache show"]),
    ],
)
def test_the_table_of_a_command_is_what_it_prints(command, runs):
    if command == "review --apply" and not Path("decisions.csv").exists():
        earmark(
            "review", "words.csv", "--backbone", "logmel", "-o", "decisions.csv", "--allow-skips"
        )
    for path in ("clean.csv", "corrected.csv", *(["decisions.csv"] if command == "review" else [])):
        Path(path).unlink(missing_ok=True)
    *_, objects = [json_of(*run.split()) for run in runs]
    assert not set(described(command)) - check(described(command), objects)


def test_density(place):
    trained(place, "counted.earmark", "odd", "--backbone", "logmel", "--no-compare")
    if not Path("counted").exists():
        indexing = ("--backbone", "logmel", "--table", "sites.csv", "--allow-skips")
        earmark("index", "odd", "-o", "counted", *indexing)
    words = ("density", "counted", "counted.earmark")
    for path in Path().glob("sample.*"):
        path.unlink()
    objects = json_of(*words, "--class", "low", "-o", "sample.csv", "--size", 20)
    assert not set(described("density -o")) - check(described("density -o"), objects)
    rows = list(csv.DictReader(io.StringIO(Path("sample.csv").read_text())))
    with Path("sample.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"decision": ("yes", "no", "")[n % 3]} for n, row in enumerate(rows))
    objects = json_of(*words, "--apply", "sample.csv", "--group", "site")
    assert not set(described("density")) - check(described("density"), objects)


def test_push_and_pull(place, monkeypatch):
    trained(place, "shared.earmark", "odd", "--backbone", "logmel", "--no-compare")
    with running_hub() as hub:
        use_hub(monkeypatch, hub.url)
        for command, words in (("push", "shared.earmark alice/odd"), ("pull", "alice/odd")):
            objects = json_of(command, *words.split())
            assert not set(described(command)) - check(described(command), objects)


def test_every_command_with_json_has_a_table():
    import typer.main

    from earmark.apps.cli.app import app

    titles = set(re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.M))
    commands = typer.main.get_command(app).commands
    for name, command in commands.items():
        for below, leaf in getattr(command, "commands", {"": command}).items():
            if any("--json" in p.opts for p in leaf.params):
                assert f"{name} {below}".strip() in titles
