"""The archive: windows of recordings, what changes from run to run, and what a reader sees."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from command_line import earmark
from earmark import audio
from earmark.backbones import load_backbone
from earmark.embeddings import indexing
from earmark.embeddings.archive import Archive
from earmark.embeddings.archive_file import ArchiveError
from earmark.embeddings.archive_writer import ArchiveWriter
from earmark.embeddings.sliding import SlidingWindows
from earmark.embeddings.store import as_stored
from earmark.errors import DataError

pytest.importorskip("pyarrow")
RATE_HZ = 16_000
NOBODY = 65_534


def write(path: Path, seconds: float, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    x = 0.1 * np.random.default_rng(seed).normal(size=int(seconds * RATE_HZ))
    soundfile.write(path, x, RATE_HZ)


@pytest.fixture
def nights(tmp_path) -> Path:
    """Four recordings: one is shorter than a window, and one is long."""
    for number, (name, seconds) in enumerate(
        (("a/1.wav", 0.3), ("a/2.wav", 3.0), ("b/1.wav", 40.0), ("b/2.wav", 2.2))
    ):
        write(tmp_path / "nights" / name, seconds, number)
    return tmp_path / "nights"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(indexing, "PART_WINDOWS", 16)


def index(folder: Path, archive: Path, *options: object, expect: int = 0) -> dict:
    done = earmark(
        "index", folder, "-o", archive, "--backbone", "logmel", "--json", *options, expect=expect
    )
    return json.loads(done.stdout)


def files_of(archive: Path) -> dict[str, bytes]:
    """The parts and vectors of an archive."""
    paths = [path for path in archive.rglob("*") if path.suffix in (".parquet", ".f16")]
    return {str(path.relative_to(archive)): path.read_bytes() for path in paths}


def rows_of(archive: Path) -> dict[str, np.ndarray]:
    """The embeddings of each recording that has windows, by path, in order."""
    with Archive(archive) as opened:
        windows = opened.windows()
        rows = windows.table[:]
        own = {}
        for content, recordings in windows.recordings.items():
            mine = np.flatnonzero(windows.contents == content)
            mine = mine[np.argsort(windows.numbers[mine])]
            if len(mine):
                assert windows.numbers[mine].tolist() == list(range(len(mine)))
                own |= {recording.path: rows[mine] for recording in recordings}
        return own


def test_windows_are_those_that_slide_over_a_recording(nights, tmp_path):
    done = index(nights, tmp_path / "archive")
    assert (done["window_s"], done["hop_s"], done["new"], done["computed"]) == (1.0, 0.5, 4, 4)
    own = rows_of(tmp_path / "archive")
    backbone = load_backbone("logmel")
    for path in ("a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav"):
        sliding = SlidingWindows(backbone, 1.0, 0.5)
        pieces = [*sliding.cut(audio.load(nights / path, RATE_HZ)), *sliding.finish()]
        rows = np.concatenate([sliding.merge(sliding.compute(piece)) for piece in pieces])
        assert np.array_equal(own[path], np.stack([as_stored(row) for row in rows]))
    assert {path: len(rows) for path, rows in own.items()} == {
        "a/1.wav": 1, "a/2.wav": 5, "b/1.wav": 79, "b/2.wav": 4,
    }  # fmt: skip
    assert sum(map(len, own.values())) == done["windows"]


def test_a_table_reads_rows_and_layers_of_windows(nights, tmp_path):
    index(nights, tmp_path / "archive")
    with Archive(tmp_path / "archive") as archive:
        windows = archive.windows()
        table, network = windows.table, windows.network
        assert (network.backbone, table.shape) == ("logmel", (89, sum(network.layers.values())))
        some = np.array([80, 3, 3, 17])
        assert np.array_equal(table[some], table[:][some])
        name = list(network.layers)[-1]
        last = np.concatenate(list(table.blocks([name])))
        assert np.array_equal(last, table[:][:, -network.layers[name] :])
        content = windows.contents[-1]
        assert windows.span(content, 2, 3) == (1.0, 2.2)  # ends with the recording


def test_only_what_is_new_or_changed_is_computed(nights, tmp_path):
    archive = tmp_path / "archive"
    index(nights, archive)
    before = rows_of(archive)
    assert index(nights, archive)["computed"] == 0
    write(nights / "a/3.wav", 1.7, 9)
    write(nights / "a/2.wav", 3.0, 10)
    (nights / "b/1.wav").rename(nights / "b/moved.wav")
    (nights / "b/2.wav").unlink()
    shutil.copy(nights / "a/1.wav", nights / "a/copy.wav")
    done = index(nights, archive)
    names = ("new", "changed", "renamed", "gone", "same", "computed")
    assert [done[name] for name in names] == [2, 1, 1, 1, 1, 2]
    after = rows_of(archive)
    assert np.array_equal(after["b/moved.wav"], before["b/1.wav"]) and "b/1.wav" not in after
    assert np.array_equal(after["a/copy.wav"], before["a/1.wav"])
    assert not np.array_equal(after["a/2.wav"], before["a/2.wav"]) and len(after["a/3.wav"]) == 3
    assert np.array_equal(after["b/2.wav"], before["b/2.wav"])  # gone, but still to be found
    with Archive(archive) as opened:
        windows = opened.windows()
        assert set(windows.contents.tolist()) <= set(windows.recordings)  # none of the old a/2.wav
        gone = [recording.path for recording in opened.recordings() if recording.is_gone]
        assert gone == ["b/2.wav"]
    write(nights / "b/2.wav", 2.2, 3)  # it is back
    done = index(nights, archive)
    assert (done["computed"], done["same"]) == (0, 6)


def test_a_stopped_run_ends_with_the_same_bytes(nights, tmp_path, monkeypatch):
    index(nights, tmp_path / "whole")
    add_part, added = ArchiveWriter.add_part, []

    def stop(self, network, part, *rest):
        if len(added) % 3 == 2:
            added.append(None)
            raise KeyboardInterrupt
        added.append(part)
        add_part(self, network, part, *rest)

    monkeypatch.setattr(ArchiveWriter, "add_part", stop)
    for _ in range(2):
        earmark("index", nights, "-o", tmp_path / "stopped", "--backbone", "logmel", expect=130)
        with Archive(tmp_path / "stopped") as opened:  # it can be searched meanwhile
            windows = opened.windows()
            files = [(part.file, part.clips) for part in windows.table.parts]
            assert files and all(windows.vectors.is_there(*file) for file in files)
    index(nights, tmp_path / "stopped")
    kept = [part.part for part in added if part]
    assert sorted(kept) == list(range(6)) and len(added) == 8
    parts = {k: v for k, v in files_of(tmp_path / "whole").items() if k.endswith(".parquet")}
    again = {k: v for k, v in files_of(tmp_path / "stopped").items() if k.endswith(".parquet")}
    assert again == parts
    assert list(rows_of(tmp_path / "stopped")) == list(rows_of(tmp_path / "whole"))


@pytest.mark.slow
def test_a_killed_process_loses_at_most_a_part(nights, tmp_path):
    for number in range(12):
        write(nights / f"c/{number}.wav", 120.0, 40 + number)
    index(nights, tmp_path / "whole")
    code = (
        "import sys; from earmark.embeddings import indexing; indexing.PART_WINDOWS = 16\n"
        "from earmark.apps.cli import main\n"
        "sys.argv = ['earmark', 'index', *sys.argv[1:], '--backbone', 'logmel']; main()"
    )
    archive = tmp_path / "killed"
    for stop in (3, 30, 90):
        process = subprocess.Popen([sys.executable, "-c", code, nights, "-o", archive])
        while process.poll() is None and len(list(archive.rglob("part-*.parquet"))) < stop:
            time.sleep(0.01)
        process.kill()
        process.wait()
        files = len(list(archive.rglob("part-*.parquet")))
        with Archive(archive) as opened:
            windows = opened.windows()
            assert len(windows.table[:]) == len(windows)
            assert len(windows.table.parts) >= files - 1
    index(nights, archive)
    parts = [
        {k: v for k, v in files_of(tmp_path / name).items() if k.endswith(".parquet")}
        for name in ("whole", "killed")
    ]
    assert parts[0] == parts[1]


def test_names_that_are_not_utf8_are_kept(tmp_path):
    name = os.fsdecode(b"nights/\xe9.wav")
    write(tmp_path / "nights/plain.wav", 1.0, 1)
    try:
        (tmp_path / "nights/plain.wav").rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    index(tmp_path / "nights", tmp_path / "archive")
    assert index(tmp_path / "nights", tmp_path / "archive")["computed"] == 0
    with Archive(tmp_path / "archive") as opened:
        (recording,) = opened.recordings()
        assert recording.place == str(tmp_path / name)
    (tmp_path / name).unlink()
    write(tmp_path / "nights/a.wav", 1.0, 2)
    assert index(tmp_path / "nights", tmp_path / "archive")["gone"] == 1


def test_a_damaged_part_is_named_and_computed_again(nights, tmp_path):
    archive = tmp_path / "archive"
    index(nights, archive)
    before = rows_of(archive)
    part = sorted(archive.rglob("part-000002-*.parquet"))[0]
    content, status = bytearray(part.read_bytes()), part.stat()
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
    with Archive(archive) as opened, pytest.raises(DataError, match="--thorough"):
        opened.windows().table[:]
    assert index(nights, archive)["damaged"] == []  # size and time are as before
    done = index(nights, archive, "--thorough")
    assert done["damaged"] == [str(part)] and done["computed"] == 1
    after = rows_of(archive)
    assert all(np.array_equal(after[path], rows) for path, rows in before.items())
    sorted(archive.rglob("part-000000-*.parquet"))[0].unlink()
    assert len(index(nights, archive)["damaged"]) == 1
    after = rows_of(archive)
    assert all(np.array_equal(after[path], rows) for path, rows in before.items())


def test_recordings_that_cannot_be_read_are_listed_until_they_change(nights, tmp_path):
    (nights / "a/0.wav").write_bytes(b"no audio")
    archive = tmp_path / "archive"
    done = index(nights, archive, expect=1)
    assert [row["path"] for row in done["skipped"]] == [str(nights / "a/0.wav")]
    done = index(nights, archive, "--allow-skips")
    assert len(done["skipped"]) == 1 and done["computed"] == 0
    write(nights / "a/0.wav", 1.0, 7)
    done = index(nights, archive)
    assert done["skipped"] == [] and (done["changed"], done["computed"]) == (1, 1)


def test_a_recording_that_is_unreadable_for_a_while_keeps_its_windows(nights, tmp_path):
    archive, path, away = tmp_path / "archive", nights / "b/1.wav", tmp_path / "away.wav"
    manifest = nights / "list.csv"
    manifest.write_text("path\na/2.wav\nb/1.wav\n")
    assert index(manifest, archive)["computed"] == 2
    path.rename(away)
    path.mkdir()  # a folder cannot be read as a recording
    for _ in range(2):
        done = index(manifest, archive, expect=1)
        assert [row["path"] for row in done["skipped"]] == [str(path)]
        assert len(rows_of(archive)["b/1.wav"]) == 79
    path.rmdir()
    away.rename(path)
    done = index(manifest, archive)
    assert (done["skipped"], done["computed"]) == ([], 0)


def test_a_recording_that_changes_while_it_is_read_is_listed(nights, tmp_path, monkeypatch):
    archive, path = tmp_path / "archive", nights / "b/1.wav"
    merge, calls = SlidingWindows.merge, []

    def grow(self, stats):
        calls.append(stats)
        if len(calls) == 5:
            write(path, 41.0, 2)
        return merge(self, stats)

    monkeypatch.setattr(SlidingWindows, "merge", grow)
    done = index(nights, archive, expect=1)
    assert [row["path"] for row in done["skipped"]] == [str(path)]
    assert "changed while it was read" in done["skipped"][0]["reason"]
    assert "b/1.wav" not in rows_of(archive)
    done = index(nights, archive)
    assert (done["skipped"], done["changed"], done["computed"]) == ([], 1, 1)
    assert len(rows_of(archive)["b/1.wav"]) == 81


def test_a_second_network_and_data_set_stand_beside_the_first(nights, tmp_path):
    archive, other = tmp_path / "archive", tmp_path / "other"
    shutil.copytree(nights / "a", other)
    write(other / "9.wav", 1.0, 20)
    index(nights, archive)
    assert index(other, archive)["computed"] == 1  # the others have the same content
    index(nights, archive, "--window", 2, "--hop", 1)
    with Archive(archive) as opened:
        first, second = opened.networks
        assert (first.window_s, second.window_s) == (1.0, 2.0)
        assert len(opened.windows(first)) == 90 and len(opened.windows()) < 60
        assert opened.network("logmel") == second
        assert {recording.dataset for recording in opened.recordings()} == {"nights", "other"}
        with pytest.raises(ArchiveError, match="no windows of yamnet; it has logmel"):
            opened.network("yamnet")


def test_columns_of_tables_and_manifests(nights, tmp_path):
    table = tmp_path / "sites.csv"
    table.write_text("path,site,date\na/1.wav,north,2024-05-01\nb/1.wav,south,\n")
    index(nights, tmp_path / "archive", "--table", table)
    with Archive(tmp_path / "archive") as opened:
        columns = {r.path: dict(r.columns) for r in opened.recordings()}
    assert columns["a/1.wav"] == {"site": "north", "date": "2024-05-01"}
    assert columns["b/1.wav"] == {"site": "south"} and columns["b/2.wav"] == {}
    manifest = nights / "list.csv"
    manifest.write_text("path,label\nb/2.wav,owl\na/2.wav,fox\nb/2.wav,owl\n")
    done = index(manifest, tmp_path / "archive")
    assert (done["recordings"], done["computed"]) == (2, 0)
    table.write_text("path,site\nx.wav,north\n")
    done = earmark("index", nights, "-o", tmp_path / "archive", "--table", table, expect=2)
    assert "no path of" in done.stderr


def test_a_reader_keeps_its_state_while_the_archive_grows(nights, tmp_path):
    archive = tmp_path / "archive"
    index(nights, archive)
    with Archive(archive) as opened:
        windows = opened.windows()
        write(nights / "c.wav", 30.0, 30)
        index(nights, archive)
        assert windows.table[:].shape[0] == len(windows) == 89
        query = windows.vectors.of_embeddings(windows.table[5:6])[0]
        assert windows.similarities(query).argmax() == 5
        assert len(opened.windows()) > 89


def test_only_one_process_writes(nights, tmp_path):
    (tmp_path / "archive").mkdir()
    with FileLock(tmp_path / "archive" / ".lock"):
        done = earmark(
            "index", nights, "-o", tmp_path / "archive", "--backbone", "logmel", expect=2
        )
    assert "another `earmark index` is writing" in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user")
def test_a_place_that_cannot_be_written_can_be_read(nights):
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "archive"
        index(nights, archive)
        for path in (Path(place), archive, *archive.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(PermissionError):
                (archive / "new").touch()
            assert len(rows_of(archive)) == 4
            with pytest.raises(ArchiveError, match="cannot be written: Permission denied"):
                ArchiveWriter(archive).__enter__()
        finally:
            os.seteuid(0)


def test_archives_inside_the_folder_are_left_out(nights):
    for name in ("one", "two"):
        done = index(nights, nights / name)
        assert (done["recordings"], done["skipped"]) == (4, [])


def test_what_is_no_archive_is_refused(nights, tmp_path):
    with pytest.raises(ArchiveError, match="is not an archive"):
        Archive(nights)
    done = earmark("index", nights, "-o", nights / "a", "--backbone", "logmel", expect=2)
    assert "has files but no archive.sqlite" in done.stderr
    archive = tmp_path / "archive"
    index(nights, archive)
    (archive / "archive.sqlite").write_bytes(b"something else" * 100)
    for suffix in ("-wal", "-shm"):
        (archive / f"archive.sqlite{suffix}").unlink(missing_ok=True)
    with pytest.raises(ArchiveError, match="cannot be read"):
        Archive(archive)
    (archive / "archive.sqlite").unlink()
    with sqlite3.connect(archive / "archive.sqlite") as db:
        db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(ArchiveError, match="was not written by earmark"):
        Archive(archive)
    done = earmark("index", tmp_path / "none", "-o", archive, "--backbone", "logmel", expect=2)
    assert "none does not exist" in done.stderr
    for options in (("--window", 0), ("--hop", 2), ("--window", 1e6)):
        earmark("index", nights, "-o", tmp_path / "x", "--backbone", "logmel", *options, expect=2)
    assert not (tmp_path / "x").exists()
