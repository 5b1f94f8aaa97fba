"""Search by example: exact, joined into stretches, limited, filtered, and written in every form."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.embeddings import indexing
from earmark.embeddings.archive import Archive
from earmark.embeddings.window_vectors import Centre
from earmark.errors import EarmarkError
from earmark.labelling import searching
from earmark.labelling.conditions import Condition
from earmark.labelling.example import Example
from earmark.labelling.searching import _joined, search

pytest.importorskip("pyarrow")
RATE_HZ = 16_000
PLANTED = {("north/1.wav", 5.0): 800, ("north/2.wav", 12.0): 800, ("south/1.wav", 3.0): 800,
           ("north/1.wav", 14.0): 2_500, ("south/1.wav", 10.0): 2_500}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Noise with tones of 1.5 s at known places, their archive, and an example of each tone."""
    root, rng = tmp_path_factory.mktemp("search"), np.random.default_rng(0)
    for name in ("north/1.wav", "north/2.wav", "south/1.wav"):
        x = 0.02 * rng.normal(size=20 * RATE_HZ)
        for (path, start), hz in PLANTED.items():
            if path == name:
                t = np.arange(int(1.5 * RATE_HZ)) / RATE_HZ
                x[int(start * RATE_HZ) :][: len(t)] += 0.3 * np.sin(2 * np.pi * hz * t)
        (root / "nights" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "nights" / name, x, RATE_HZ)
    for hz in (800, 2_500):
        t = np.arange(RATE_HZ) / RATE_HZ
        x = 0.3 * np.sin(2 * np.pi * hz * t) + 0.02 * rng.normal(size=RATE_HZ)
        soundfile.write(root / f"{hz}.wav", x, RATE_HZ)
    table = "path,site\nnorth/1.wav,north\nnorth/2.wav,north\nsouth/1.wav,south\n"
    (root / "sites.csv").write_text(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "PART_WINDOWS", 16)
        earmark("index", root / "nights", "-o", root / "archive", "--backbone", "logmel",
                "--table", root / "sites.csv")  # fmt: skip
    return root


def found(place: Path, *options: object, like: str = "800.wav") -> list[dict]:
    done = earmark("search", place / "archive", "--like", place / like, "--json", *options)
    return [json.loads(line) for line in done.stdout.splitlines()]


def spots(place: Path, stretches: list[dict]) -> list[tuple[str, int]]:
    """The recordings and the second in the middle of each stretch."""
    return [
        (Path(s["path"]).relative_to(place / "nights").as_posix(), (s["start"] + s["end"]) // 2)
        for s in stretches
    ]


def test_planted_sounds_come_first_each_as_one_stretch(place):
    for hz in (800, 2_500):
        own = {spot for spot, planted in PLANTED.items() if planted == hz}
        best = found(place, "--top", len(own), like=f"{hz}.wav")
        middles = {(path, start) for path, start in own}
        assert {(p, at) for p, at in spots(place, best)} <= {
            (path, start + more) for path, start in middles for more in (0, 1)
        }
        assert len({p for p, _ in spots(place, best)}) == len(own)
        assert all(s["score"] > 0.4 and s["end"] - s["start"] >= 1.0 for s in best)
        assert [s["score"] for s in best] == sorted((s["score"] for s in best), reverse=True)


def test_an_example_may_be_a_short_stretch_of_a_recording(place):
    done = earmark("search", place / "archive", "--like",
                   f"{place / 'nights/north/1.wav'}:5.6-5.9", "--json", "--top", 3)  # fmt: skip
    best = [json.loads(line) for line in done.stdout.splitlines()]
    assert {p for p, _ in spots(place, best)} == {"north/1.wav", "north/2.wav", "south/1.wav"}
    for text, name in (("a:1-2", "a"), ("a:b:0.5-1", "a:b"), ("a:1", "a:1"), ("s3://b/c", None)):
        assert Example.parse(text).place == (name or text)
    with pytest.raises(EarmarkError, match="ends before it starts"):
        Example.parse("a:2-1")


def test_the_search_is_exact(place):
    with Archive(place / "archive") as archive:
        windows = archive.windows()
        files = windows.vectors
        query = files.of_embeddings(windows.table[20:21])[0]
        parts = windows.table.parts
        blocks = [b.copy() for p in parts for b in files.blocks(p.file, p.clips)]
        vectors = np.concatenate(blocks)
        expected = vectors.astype(np.float64) @ query.astype(np.float64)
        assert np.allclose(windows.similarities(query), expected[windows.table.rows], atol=1e-6)
        made = files.of_embeddings(windows.table[:])
        assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-3)
        assert np.allclose(made, vectors[windows.table.rows], atol=1e-3)
        for path in (place / "archive").rglob("*.f16"):  # they are only a shortcut
            path.rename(path.with_suffix(".away"))
        without = windows.similarities(query)
        for path in (place / "archive").rglob("*.away"):
            path.rename(path.with_suffix(".f16"))
        assert np.array_equal(without, windows.similarities(query))


def test_one_recording_with_all_of_the_nearest_windows_hides_no_other(place, monkeypatch):
    monkeypatch.setattr(searching, "LEAST_CANDIDATES", 1)
    monkeypatch.setattr(searching, "CANDIDATES", 1)
    with Archive(place / "archive") as archive:
        windows = archive.windows()
        query = windows.vectors.of_embeddings(windows.table[20:21])[0]
        best = search(windows, query, top=3, per_recording=1)
        assert len({stretch.recording.place for stretch in best}) == len(best) == 3
        everything = search(windows, query, top=10_000)
    assert sum(stretch.windows for stretch in everything) <= len(windows)


def test_what_is_unlike_is_left_behind(place):
    both = place / "nights/north/1.wav"
    args = ("search", place / "archive", "--json", "--top", 5, "--like", f"{both}:5-6.5",
            "--like", f"{both}:14-15.5")  # fmt: skip
    best = [json.loads(x) for x in earmark(*args).stdout.splitlines()]
    without = [
        json.loads(x) for x in earmark(*args, "--unlike", place / "2500.wav").stdout.splitlines()
    ]

    def tones(stretches):
        return [
            PLANTED.get((p, at)) or PLANTED.get((p, at - 1)) for p, at in spots(place, stretches)
        ]

    assert set(tones(best)) == {800, 2_500}
    assert tones(without)[:3] == [800, 800, 800]


def test_limits_and_conditions(place):
    assert len(found(place, "--top", 4)) == 4
    each = found(place, "--top", 9, "--per-recording", 1)
    assert len(each) == 3 and len({s["path"] for s in each}) == 3
    north = found(place, "--where", "site=north", "--top", 9)
    assert north and {s["columns"]["site"] for s in north} == {"north"}
    assert found(place, "--where", "site=north", "--where", "path=south/*") == []
    assert {s["columns"]["site"] for s in found(place, "--where", "site!=n*")} == {"south"}
    done = earmark("search", place / "archive", "--like", place / "800.wav", "--where", "sites=x",
                   expect=2)  # fmt: skip
    assert "Did you mean 'site'?" in done.stderr
    done = earmark("search", place / "archive", "--like", place / "none.wav", expect=2)
    assert "does not exist" in done.stderr


def test_conditions_compare_numbers_and_texts():
    class Recording:
        path, dataset = "a.wav", "x"
        columns = {"depth": "9", "date": "2024-05-01"}  # noqa: RUF012

    for text, holds in (
        ("depth<10", True), ("depth>=9.0", True), ("depth>9", False), ("date>=2024-05", True),
        ("date<2024-05", False), ("other!=x", True), ("other>1", False), ("path = a.*", True),
    ):  # fmt: skip
        assert Condition.parse(text).holds(Recording) == holds, text
    with pytest.raises(EarmarkError, match="COLUMN=VALUE"):
        Condition.parse("north")


def test_windows_are_joined_best_first():
    # windows of one second every half a second: numbers that differ by 2 touch
    def spans(numbers, scores, top=9, per=9, contents=None):
        own = _joined(contents or [1] * len(numbers), numbers, scores, 2, top, per)
        return [(s.first, s.last) for s in own]

    assert spans([5, 6, 9, 20], [1.0, 0.9, 0.8, 0.7]) == [(5, 6), (9, 9), (20, 20)]
    assert spans([5, 9, 7], [1.0, 0.9, 0.8]) == [(5, 9)]  # the last one closes the gap
    assert spans([5, 6, 30], [1.0, 0.5, 0.4]) == [(5, 5), (30, 30)]  # too low to be part of it
    assert spans([5, 30, 6], [1.0, 0.9, 0.9], top=1) == [(5, 6)]
    assert spans([5, 30, 31], [1.0, 0.9, 0.8], per=1, contents=[1, 1, 2]) == [(5, 5), (31, 31)]


def test_a_centre_standardises_and_needs_some_windows():
    rng = np.random.default_rng(3)
    rows = rng.normal(5, 3, (40, 6)).astype(np.float16)
    centre = Centre.of([rows[:7], rows[7:]], (4, 2))
    assert np.allclose(centre.mean, rows.astype(float).mean(0), atol=1e-3)
    assert np.allclose(centre.deviation, rows.astype(float).std(0), rtol=0.01)
    vectors = centre.vectors(rows)
    ones = (rows[3] - centre.mean) / centre.deviation
    assert np.allclose(vectors[3, :4], ones[:4] / np.linalg.norm(ones[:4]) / 2**0.5, atol=1e-5)
    assert np.allclose(np.linalg.norm(vectors[:, 4:], axis=1), 0.5**0.5)
    assert Centre.of([rows[:3]], (4, 2)).name == Centre.none((4, 2)).name
    kept = Centre.from_content(centre.content, (4, 2), 40)
    assert kept.name == centre.name and Centre.from_content(b"x", (4, 2), 1).windows == 0


def test_every_form_of_output(place, tmp_path):
    base = ("search", place / "archive", "--like", place / "800.wav", "--top", 3)
    lines = earmark(*base).stdout.splitlines()
    assert len(lines) == 3 and "site=north" in "".join(lines)
    rows = list(csv.DictReader(io.StringIO(earmark(*base, "--csv").stdout)))
    assert [row["site"] for row in rows].count("south") == 1 and rows[0]["is_gone"] == "no"
    done = earmark(*base, "-o", tmp_path / "found.csv", "--tracks", tmp_path / "tracks",
                   "--clips", tmp_path / "clips", "--margin", 0.2, "--name", "tone")  # fmt: skip
    assert list(csv.DictReader((tmp_path / "found.csv").open())) == rows
    assert "3 stretches -> " in done.stderr
    track = (tmp_path / "tracks" / "south" / "1.wav.txt").read_text().split("\t")
    assert track[2].strip() == "tone" and float(track[0]) < 4.5 < float(track[1]) + 1
    assert len(list((tmp_path / "clips" / "tone").iterdir())) == 3
    earmark(*base, "-o", tmp_path / "found.jsonl")
    assert len((tmp_path / "found.jsonl").read_text().splitlines()) == 3
    earmark(*base, "-o", tmp_path / "found.txt", expect=2)
    earmark(*base, "--json", "--csv", expect=2)
    earmark(*base, "--margin", 1, expect=2)


def test_recordings_that_are_gone_are_found_and_said(place, tmp_path):
    (place / "nights/south/1.wav").rename(tmp_path / "1.wav")
    try:
        earmark("index", place / "nights", "-o", place / "archive", "--backbone", "logmel")
        done = earmark("search", place / "archive", "--like", place / "800.wav", "--top", 3,
                       "--clips", tmp_path / "clips")  # fmt: skip
    finally:
        (tmp_path / "1.wav").rename(place / "nights/south/1.wav")
    earmark("index", place / "nights", "-o", place / "archive", "--backbone", "logmel",
            "--table", place / "sites.csv")  # fmt: skip
    assert "(gone)" in done.stdout and "1 stretch in recordings that are gone" in done.stderr
    assert "no clip of" in done.stderr and len(list((tmp_path / "clips/found").iterdir())) == 2


def test_another_version_of_the_network_is_refused_in_a_sentence(place):
    db = sqlite3.connect(place / "archive" / "archive.sqlite", isolation_level=None)
    (settings,) = db.execute("SELECT settings FROM network").fetchone()
    value = json.loads(settings)
    name, version, _, precision = value["fingerprint"].split("/")
    for fingerprint in (f"{name}/{version}/other/{precision}", f"{name}/99/none/{precision}"):
        changed = json.dumps(value | {"fingerprint": fingerprint})
        db.execute("UPDATE network SET settings = ?", [changed])
        done = earmark("search", place / "archive", "--like", place / "800.wav", expect=2)
        assert f"computed with {fingerprint}" in done.stderr and "index` again" in done.stderr
    db.execute("UPDATE network SET settings = ?", [settings])
    db.close()


def test_an_archive_without_windows_finds_nothing(place, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.wav").write_bytes(b"no audio")
    earmark("index", tmp_path / "bad", "-o", tmp_path / "a", "--backbone", "logmel", expect=1)
    done = earmark("search", tmp_path / "a", "--like", place / "800.wav")
    assert done.stdout == "" and "nothing was found" in done.stderr
    with Archive(tmp_path / "a") as archive:
        assert search(archive.windows(), np.zeros(64, np.float32)) == []


@pytest.mark.slow
def test_mistakes_are_told_before_torch_is_imported(place, tmp_path):
    code = (
        "import sys; sys.argv = ['earmark', *sys.argv[1:]]\n"
        "from earmark.apps.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'sklearn', 'scipy', 'rich', 'pandas'} & set(sys.modules)"
    )
    archive, out = place / "archive", tmp_path / "out"
    for words in (
        ("index", tmp_path / "gone", "-o", out),
        ("index", place / "nights", "-o", out, "--hop", "3"),
        ("index", place / "nights", "-o", out, "--table", tmp_path / "gone.csv"),
        ("search", tmp_path, "--like", place / "800.wav"),
        ("search", archive, "--like", "gone.wav"),
        ("search", archive, "--like", place / "800.wav", "--where", "north"),
    ):
        command = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert not out.exists()
