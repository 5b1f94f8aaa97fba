"""Recordings inside Parquet files, here and elsewhere."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark import audio
from earmark.audio import copying, parquet_rows
from earmark.audio.decoder import Refusal
from earmark.audio.uri import UriSource
from earmark.backbones import load_backbone
from earmark.data.blocks import ClipBlocks
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import AudioError, DataError
from earmark.system.recent import Recent
from made_parts import make_parts
from object_store import BUCKET, open_store

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
RATE_HZ, COUNT = 16_000, 23
NAMES = dict.fromkeys(("path", "label", "start", "end", "group", "fold", "split"))


@pytest.fixture(scope="module")
def store():
    with open_store() as store:
        yield store


@pytest.fixture
def files(store, tmp_path, monkeypatch) -> list[Path]:
    """Recordings in files, and in ``x.parquet`` here and elsewhere, in groups of 10 rows."""
    monkeypatch.setattr(parquet_rows, "_files", Recent(parquet_rows.KEPT))
    monkeypatch.setattr(parquet_rows, "_statuses", Recent(parquet_rows.KEPT))
    rng, paths = np.random.default_rng(3), []
    for number in range(COUNT):
        paths.append(tmp_path / f"{number:02}.wav")
        x = 0.1 * rng.standard_normal(RATE_HZ // 4 + number)
        soundfile.write(paths[-1], x, RATE_HZ)
    rows = [
        {"audio": {"bytes": path.read_bytes(), "path": path.name}, "label": "ab"[k % 2]}
        for k, path in enumerate(paths)
    ]
    write(tmp_path / "x.parquet", rows)
    store.put("x.parquet", (tmp_path / "x.parquet").read_bytes())
    store.requests.clear()
    return paths


def write(path: Path, rows: list[dict], **settings) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10, **settings)


def place(store, files, where: str) -> str:
    if where == "here":
        return str(files[0].parent / "x.parquet")
    return store.uri("x.parquet", where)


@pytest.mark.parametrize("where", ["here", "s3", "http"])
@pytest.mark.parametrize("short_bytes", [100, 1 << 21])
def test_rows_are_the_files(store, files, where, short_bytes, monkeypatch):
    for module in (copying, parquet_rows):
        monkeypatch.setattr(module, "SHORT_BYTES", short_bytes)
    for number in (0, 1, 9, 10, 22, 3, 2):
        source = UriSource(f"{place(store, files, where)}::{number}")
        np.testing.assert_array_equal(audio.read(source).samples, audio.read(files[number]).samples)
        part = audio.read(source, None, 0.1, 0.2).samples
        np.testing.assert_array_equal(part, audio.read(files[number], None, 0.1, 0.2).samples)


def test_rows_in_order_are_read_once_by_ranges_whatever_thread_is_first(store, files, monkeypatch):
    monkeypatch.setattr(parquet_rows, "READ_BYTES", 20_000)
    size = (files[0].parent / "x.parquet").stat().st_size
    uri = store.uri("x.parquet")

    def content(number: int) -> bytes:
        return parquet_rows.fetch_row(UriSource(f"{uri}::{number}")).content

    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(content, range(COUNT)))
    assert contents == [path.read_bytes() for path in files]
    assert [method for method, *_ in store.requests].count("HEAD") == 1
    ranges = [r.removeprefix("bytes=").split("-") for m, _, r in store.requests if m == "GET"]
    lengths = [int(last) - int(first) + 1 for first, last in ranges]
    assert sum(lengths) < size + 2 * 65_536  # and the end of the file


def test_few_rows_are_in_memory(store, files, monkeypatch):
    monkeypatch.setattr(parquet_rows, "BEHIND", 4)
    source = UriSource(store.uri("x.parquet"))
    file = parquet_rows._file(source, source.status)
    for number in range(COUNT):
        assert file.read(number) == files[number].read_bytes()
        assert len(file._kept) <= 4
        assert file._kept_bytes == sum(len(content) for content in file._kept.values())
    monkeypatch.setattr(parquet_rows, "KEPT_BYTES", 10_000)
    assert file.read(12) == files[12].read_bytes() and len(file._kept) == 1


@pytest.mark.parametrize("where", ["here", "s3"])
def test_embeddings_are_those_of_the_files_and_a_second_run_reads_no_row(
    store, files, tmp_path, where
):
    uris = [f"{place(store, files, where)}::{number}" for number in range(COUNT)]
    local, matrices = earmark.embed([Clip(path) for path in files], "logmel"), []
    for _ in range(2):
        store.bodies()
        with earmark.Store(tmp_path / "s.sqlite") as cache:
            done = earmark.embed([Clip(uri) for uri in uris], "logmel", cache)
        matrices.append(done.matrix)
        bodies = store.bodies()
    assert not bodies
    for matrix in matrices:
        np.testing.assert_array_equal(matrix, local.matrix)


def test_a_file_that_changes_is_not_half_old(store, files, monkeypatch):
    uri = store.uri("x.parquet")
    monkeypatch.setattr(parquet_rows, "READ_BYTES", 1_000)
    monkeypatch.setattr(parquet_rows, "STATUS_S", -1.0)  # it is asked for each time
    audio.read(UriSource(f"{uri}::0"))
    status = UriSource(uri).status
    changed = files[0].parent / "other.parquet"
    write(changed, [{"audio": {"bytes": files[5].read_bytes(), "path": "a"}}] * 30)
    store.put("x.parquet", changed.read_bytes())
    with pytest.raises(Refusal, match="changed while it was read"):
        parquet_rows.fetch_row(UriSource(f"{uri}::15"), status)
    new = audio.read(UriSource(f"{uri}::29")).samples
    np.testing.assert_array_equal(new, audio.read(files[5]).samples)


@pytest.mark.parametrize(
    ("rows", "row", "reason"),
    [
        ([{"audio": {"bytes": b"x", "path": "a"}}], 1, "is not in the file, which has 1 rows"),
        ([{"audio": {"bytes": None, "path": "a"}}, {"audio": {"bytes": b"x", "path": "a"}}], 0,
         "has no bytes in its row"),
        ([{"sound": b"x", "picture": b"y"}], 0, "2 columns of bytes; name the one with recordings"),
        ([{"label": "a"}], 0, "0 columns of bytes"),
    ],
)  # fmt: skip
def test_what_is_no_recording(tmp_path, rows, row, reason):
    write(tmp_path / "y.parquet", rows)
    with pytest.raises(AudioError, match=reason):
        audio.read(UriSource(f"{tmp_path / 'y.parquet'}::{row}"))


def test_what_is_no_parquet_file(store, tmp_path):
    (tmp_path / "y.parquet").write_bytes(b"PAR1" + bytes(1_000) + b"PAR1")
    store.put("y.parquet", (tmp_path / "y.parquet").read_bytes())
    for where in (tmp_path / "y.parquet", store.uri("y.parquet")):
        with pytest.raises(AudioError, match="its file is no whole Parquet file"):
            audio.read(UriSource(f"{where}::0"))
    with pytest.raises(AudioError, match="cannot be opened: No such file or directory"):
        audio.read(UriSource(f"{tmp_path / 'none.parquet'}::0"))
    with pytest.raises(AudioError, match=r"does not exist there \(404\)"):
        audio.read(UriSource(f"{store.uri('none.parquet')}::0"))


def test_a_column_of_plain_bytes_and_large_groups(files, tmp_path, monkeypatch):
    write(tmp_path / "y.parquet", [{"sound": path.read_bytes(), "n": 1} for path in files])
    source = UriSource(f"{tmp_path / 'y.parquet'}::11")
    np.testing.assert_array_equal(audio.read(source).samples, audio.read(files[11]).samples)
    monkeypatch.setattr(parquet_rows, "MOST_GROUP_BYTES", 1_000)
    with pytest.raises(AudioError, match="write the file with smaller groups"):
        audio.read(UriSource(f"{tmp_path / 'y.parquet'}::22"))


def test_a_manifest_names_rows_here_and_with_permission_elsewhere(store, files, tmp_path):
    here = tmp_path / "m.csv"
    here.write_text("path,label\nx.parquet::3,a\nnone.parquet::1,b\nx.parquet::4,b\n")
    clips = Dataset.read(here).clips
    assert clips[0].place == str(tmp_path / "x.parquet::3") and not clips[0].is_remote
    result = earmark.embed(clips, "logmel")
    assert len(result.clips) == 2 and len(result.failures) == 1
    there = tmp_path / "n.csv"
    rows = [f"s3://{BUCKET}/x.parquet::{k},{label}" for k, label in ((3, "a"), (4, "b"))]
    there.write_text("\n".join(["path,label", *rows]))
    with pytest.raises(DataError, match="2 of 2 rows name recordings elsewhere"):
        Dataset.read(there)
    clips = Dataset.read(there, allow_remote=True).clips
    np.testing.assert_array_equal(earmark.embed(clips, "logmel").matrix, result.matrix)
    here.write_text("path,label\nnone.parquet::3,a\n")
    with pytest.raises(DataError, match="names a recording that does not exist"):
        Dataset.read(here)


def test_a_parquet_file_of_recordings_becomes_parts_without_a_copy(files, tmp_path):
    blocks = ClipBlocks.read(tmp_path / "x.parquet", 10, columns=NAMES)
    assert blocks.n_clips == COUNT
    clips = [clip for _, block in blocks.blocks(range(9)) for clip in block]
    assert [clip.place for clip in clips] == [f"{tmp_path}/x.parquet::{k}" for k in range(COUNT)]
    assert [clip.label for clip in clips] == ["ab"[k % 2] for k in range(COUNT)]
    rows = [int(clip.place.rpartition("::")[2]) for clip in blocks.survey(6).sample]
    assert rows == [*range(rows[0], rows[0] + 6)]  # a run, since a file is read from its start
    network = load_backbone("logmel")
    own = make_parts(tmp_path / "own", clips, network, tmp_path).summaries
    theirs = make_parts(tmp_path / "theirs", [Clip(p) for p in files], network, tmp_path).summaries
    for one, other in zip(own, theirs, strict=True):
        tables = [pq.read_table(tmp_path / "own" / one.file)]
        tables.append(pq.read_table(tmp_path / "theirs" / other.file))
        for name in ("key", "version", "seconds", "layer_logmel"):
            assert tables[0][name].equals(tables[1][name])
    assert tables[0]["path"][0].as_py() == "x.parquet::0"
    assert not list(Path(os.environ["EARMARK_CACHE"]).rglob("*.wav"))


def test_recordings_that_are_not_all_in_the_file_are_copied_as_before(files, tmp_path):
    audio_cells = [{"bytes": files[0].read_bytes(), "path": "a.wav"}]
    audio_cells.append({"bytes": None, "path": str(files[1])})
    write(tmp_path / "y.parquet", [{"audio": cell} for cell in audio_cells])
    blocks = ClipBlocks.read(tmp_path / "y.parquet", 10, columns=NAMES)
    ((_, clips),) = blocks.blocks(range(9))
    assert clips[1].path == files[1] and clips[0].path.suffix == ".wav"
