"""Matrices that are not in memory: the same rows as arrays, and what a store does meanwhile."""

import errno
import os
import sqlite3
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_files import RATE, encode, noise
from earmark import backbones
from earmark.data.clip import Clip
from earmark.embeddings import cutting, rows
from earmark.embeddings.embedding import embed
from earmark.embeddings.files import write_embeddings
from earmark.embeddings.hashes import number_equal, sound_of
from earmark.embeddings.rows import STORED, GrowingRows, StoredRows
from earmark.embeddings.stages import Embedded
from earmark.embeddings.store import Record, Store, delete_store
from earmark.errors import EarmarkError, StoreDamageError, StoreError

COUNT, WIDTH = 300, 24
RNG = np.random.default_rng(0)
VECTORS = list(RNG.normal(size=(COUNT, WIDTH)).astype(np.float16))
VECTORS[150] = VECTORS[150].astype(np.float32) + np.float32(1e6)
VECTORS[170] = VECTORS[17]


def embedded(row: int, is_stored: bool = True) -> Embedded:
    key = (17 if row == 170 else row).to_bytes(16, "big")
    return Embedded(Clip(Path(f"{row}.wav")), key, VECTORS[row], 1.0, is_stored=is_stored)


def grown(store: Store | None, most_bytes: int | None) -> np.ndarray | StoredRows:
    """Return the matrix of all vectors; a store has those whose number is no multiple of 7."""
    matrix = GrowingRows(WIDTH, store, most_bytes)
    for row in range(COUNT):
        result = embedded(row, is_stored=store is not None and row % 7 != 0)
        if store is not None and result.is_stored:
            store.put("x", [(result.key, Record(result.vector, 1.0))])
        matrix.append(result)
    return matrix.matrix()


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    return grown(None, None)


@pytest.fixture(scope="module", params=["store", "no store", "crossed half-way", "on disk"])
def stored(request, tmp_path_factory) -> StoredRows:
    folder = tmp_path_factory.mktemp("store")
    most_bytes = WIDTH * 2 * COUNT // 2 if request.param == "crossed half-way" else 0
    with pytest.MonkeyPatch.context() as patch, Store(folder / "s.sqlite") as store:
        if request.param == "on disk":
            patch.setattr(rows, "SPOOLED_BYTES", 64)
        matrix = grown(None if request.param == "no store" else store, most_bytes)
        assert isinstance(matrix, StoredRows)
        yield matrix


numbers = st.lists(st.integers(-COUNT, COUNT - 1), max_size=400).map(lambda x: np.array(x, int))
masks = st.lists(st.booleans(), min_size=COUNT, max_size=COUNT).map(np.array)


@settings(max_examples=60)
@given(index=st.one_of(st.slices(COUNT), numbers, masks), then=st.slices(COUNT))
def test_rows_are_those_of_the_array(stored, array, index, then):
    np.testing.assert_array_equal(stored[index], array[index])
    np.testing.assert_array_equal(stored.only(index)[then], array[index][then])
    assert stored[index].dtype == stored.only(index).dtype == np.float32


def test_it_looks_like_the_array_and_is_never_taken_as_a_whole(stored, array):
    assert (stored.shape, stored.dtype, stored.nbytes) == (array.shape, array.dtype, array.nbytes)
    assert len(stored) == COUNT and repr(stored) == f"StoredRows(({COUNT}, {WIDTH}), float32)"
    assert np.array_equal(np.concatenate(list(rows.blocks(stored, 77))), array)
    with pytest.raises(TypeError, match=r"take some, such as rows\[first:last\]"):
        np.asarray(stored)
    with pytest.raises(TypeError, match="give a slice, numbers or a mask"):
        stored[3]
    for wrong in ([COUNT], np.ones(COUNT - 1, bool)):
        with pytest.raises(IndexError):
            stored[wrong]


def test_no_more_than_what_is_asked_for_is_in_memory(tmp_path):
    width, count = 4_800, 1_000
    with Store(tmp_path / "s.sqlite") as store:
        matrix = GrowingRows(width, store, 0)
        vector = np.ones(width, np.float16)
        for row in range(count):
            key = row.to_bytes(16, "big")
            store.put("x", [(key, Record(vector, 1.0))])
            matrix.append(Embedded(Clip(Path("a.wav")), key, vector, 1.0, is_stored=True))
        stored = matrix.matrix()
        tracemalloc.start()
        block = stored[200:400]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 * block.nbytes < stored.nbytes


def lost(store: Path, statement: str) -> None:
    with sqlite3.connect(store) as db:
        db.execute(statement)
    db.close()


@pytest.fixture
def matrix(tmp_path) -> StoredRows:
    with Store(tmp_path / "s.sqlite") as store:
        yield grown(store, 0)
        store.damaged.clear()


def test_rows_that_another_process_removed_are_counted(matrix, array, tmp_path):
    with Store(tmp_path / "s.sqlite") as other:
        other.prune(50 * WIDTH * 2)
    np.testing.assert_array_equal(matrix[290:], array[290:])
    wanted = r"has lost 171 of 200 embeddings.*cache prune.*Run the same command again, which"
    with pytest.raises(StoreError, match=wanted) as error:
        matrix[:200]
    assert not isinstance(error.value, StoreDamageError)


def test_a_damaged_row_is_no_answer(matrix, array, tmp_path):
    lost(tmp_path / "s.sqlite", "UPDATE embedding SET vector = zeroblob(48) WHERE id = 3")
    np.testing.assert_array_equal(matrix[4:], array[4:])
    with pytest.raises(StoreDamageError, match="has lost 1 of 4 embeddings.*1 are damaged.*again"):
        matrix[:4]


def test_a_deleted_store_goes_on_as_it_is_open(array):
    with Store() as store:
        matrix = grown(store, 0)
        delete_store()
        np.testing.assert_array_equal(matrix[:], array)


def test_a_truncated_store_is_refused(matrix, array, tmp_path):
    with Store(tmp_path / "s.sqlite") as other:
        other._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "s.sqlite").open("r+b") as file:
        file.truncate(4 * 4096)
    with pytest.raises(StoreDamageError, match="is damaged: .*. Delete it with `earmark cache cle"):
        matrix[::-1]


def test_a_closed_store_is_said(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        matrix = grown(store, 0)
    with pytest.raises(StoreError, match="closed database. Use it while it is open"):
        matrix[1:3]


@pytest.mark.parametrize("most_bytes", [0, WIDTH * 2 * 200])
def test_a_store_that_fails_meanwhile_costs_no_more_than_it_must(most_bytes, array, tmp_path):
    """In time, rows in memory go into a file; too late, the run ends before it computes more."""
    matrix = GrowingRows(WIDTH, store := Store(tmp_path / "s.sqlite"), most_bytes)
    for row in range(100):
        store.put("x", [(embedded(row).key, Record(VECTORS[row], 1.0))])
        matrix.append(embedded(row))
    store._db.execute("ALTER TABLE embedding RENAME COLUMN vector TO vectos")
    with pytest.raises(StoreDamageError):
        store.get([b"k"])
    if most_bytes == 0:
        with pytest.raises(StoreDamageError, match="only there. Delete it with `earmark cache cl"):
            matrix.append(embedded(100, is_stored=False))
    else:
        for row in range(100, COUNT):
            matrix.append(embedded(row, is_stored=False))
        np.testing.assert_array_equal(matrix.matrix()[:], array)
    store.close()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    class Full:
        def __init__(self, *_: object, **__: object) -> None: ...
        def seek(self, _: int) -> None: ...
        def close(self) -> None: ...
        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    with pytest.raises(EarmarkError, match=r"cannot write into the folder .* folder in TMPDIR"):
        GrowingRows(WIDTH, None, 0).append(embedded(0))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """19 clips: two are cut short, two sound the same, and one that is not there."""
    folder = tmp_path_factory.mktemp("clips")
    for k in range(19):
        content = encode(noise(RATE // 5, seed=k % 18), "WAV")
        if k in (3, 11):
            content = encode(noise(RATE, seed=k), "FLAC")[:20_000]
        (folder / f"{k:02}.wav").write_bytes(content)
    return [Clip(path) for path in sorted(folder.iterdir())] + [Clip(folder / "none.wav")]


@pytest.mark.parametrize("most_bytes", [0, 1_000])
def test_embed_gives_the_same_beyond_any_memory(clips, tmp_path, most_bytes):
    network, whole = backbones.load_backbone("logmel"), embed(clips, "logmel")
    assert isinstance(whole.matrix, np.ndarray) and whole.sounds.dtype == np.int64
    groups = np.unique(whole.matrix, axis=0, return_inverse=True)[1].ravel()
    assert whole.sounds.tolist() == number_equal(groups).tolist() == [*range(18), 0]
    for _ in range(2):  # computed, then stored
        with Store(tmp_path / "s.sqlite") as store:
            some = embed(clips, network, store, most_bytes=most_bytes)
            assert isinstance(some.matrix, StoredRows)
            np.testing.assert_array_equal(some.matrix[:], whole.matrix)
            assert np.flatnonzero(some.matrix._places != STORED).tolist() == [3, 11]
            np.testing.assert_array_equal(some.features(["logmel"]), whole.features(["logmel"]))
            assert list(some.contents) == list(whole.contents)
            assert (some.sounds == whole.sounds).all() and some.warnings == whole.warnings
            chosen = set(clips[2:5] + clips[17:])
            for part in (some.only(chosen), whole.only(chosen)):
                np.testing.assert_array_equal(part.matrix[:], whole.matrix[[2, 3, 4, 17, 18]])
                assert part.sounds.tolist() == [0, 1, 2, 3, 4]
                assert part.contents[3] == whole.contents[17]
                assert (
                    part.clip_seconds[0] == whole.clip_seconds[2] and part.seconds < whole.seconds
                )
            assert some.only(set(clips)) is some
            write_embeddings(tmp_path / "some.npz", some, "all")
    write_embeddings(tmp_path / "whole.npz", whole, "all")
    assert (tmp_path / "some.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert isinstance(embed(clips, network, most_bytes=1 << 20).matrix, np.ndarray)


def test_equal_rows_are_one_sound_whatever_their_type():
    zeros = np.array([0.0, -0.0, 1.0], np.float16)
    assert sound_of(zeros) == sound_of(np.abs(zeros)) == sound_of(zeros.astype(np.float32))
    wide = np.array([-0.0, 1e6, 0.1], np.float32)
    assert sound_of(wide) == sound_of(np.abs(wide)) != sound_of(zeros)
    assert len({sound_of(vector) for vector in VECTORS}) == COUNT - 1


@pytest.fixture
def recording(tmp_path) -> Path:
    """A WAV file that nobody changed for an hour."""
    path = tmp_path / "a.wav"
    path.write_bytes(encode(noise(RATE // 5), "WAV"))
    os.utime(path, (an_hour_ago := time.time() - 3_600, an_hour_ago))
    return path


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The names of recordings, each time that one is read and hashed."""
    names: list[str] = []
    known = cutting._hash
    monkeypatch.setattr(
        cutting,
        "_hash",
        lambda clip, *rest: (names.append(clip.path.name), known(clip, *rest))[1],
    )
    return names


def test_a_run_reads_a_recording_once_unless_it_changes(recording, hashed, tmp_path):
    logmel, speech = (backbones.load_backbone(name) for name in ("logmel", "speech-embedding"))
    clips = [Clip(recording), Clip(recording, start=0.05)]
    with Store(tmp_path / "s.sqlite") as store:
        for network in (logmel, speech):
            embed(clips, network, store, threads=1)
        hashed.clear()
        for network in (logmel, speech):
            assert embed(clips, network, store, threads=1).computed == 0
        assert hashed == []
        status = recording.stat()
        recording.write_bytes(encode(noise(RATE // 5, seed=1), "WAV"))
        os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert recording.stat().st_size == status.st_size  # only its other time tells
        changed = embed(clips, logmel, store, threads=1)
        assert changed.computed == 2
    with Store(tmp_path / "s.sqlite") as store:  # another run knows nothing
        hashed.clear()
        assert embed(clips, logmel, store, threads=1).computed == 0
        assert hashed == ["a.wav"]  # for both clips


def test_a_recording_that_was_just_written_is_not_remembered(recording, hashed, tmp_path):
    recording.touch()
    with Store(tmp_path / "s.sqlite") as store:
        for _ in range(2):
            embed([Clip(recording)], "logmel", store)
    assert hashed == ["a.wav", "a.wav"]


def test_what_is_computed_is_what_was_hashed(recording, tmp_path, monkeypatch):
    """A known recording is exchanged after its key was looked up: that key must not get its row."""
    logmel, speech = (backbones.load_backbone(name) for name in ("logmel", "speech-embedding"))
    clip, other = Clip(recording), encode(noise(RATE // 5, seed=1), "WAV")
    with Store(tmp_path / "s.sqlite") as store:
        embed([clip], logmel, store)
        get = store.get

        def exchanged(keys: list[bytes], width: int) -> dict[bytes, Record]:
            recording.write_bytes(other)
            return get(keys, width)

        monkeypatch.setattr(store, "get", exchanged)
        (failure,) = embed([clip], speech, store).failures
        assert failure.reason == "changed while it was read; run the same command again."
        monkeypatch.undo()
        assert embed([clip], speech, store).computed == 1
