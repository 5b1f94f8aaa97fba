"""What the store does with damage: a wrong row misses, and never is an answer."""

import sqlite3
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import backbones
from earmark.data.clip import Clip
from earmark.embeddings import comparisons, pipeline, shares
from earmark.embeddings.comparisons import Comparisons
from earmark.embeddings.embedding import embed
from earmark.embeddings.files import write_embeddings
from earmark.embeddings.store import Record, Store
from earmark.errors import EarmarkWarning, StoreError

OLD = Path(__file__).parents[1] / "fixtures" / "0.1" / "embeddings.sqlite"
RNG = np.random.default_rng(0)
RECORDS = {
    bytes([k]) * 16: Record(
        RNG.normal(size=60 + 97 * (k % 25)).astype(np.float32 if k % 5 == 4 else np.float16),
        float(k),
    )
    for k in range(24)
}


def filled(path: Path) -> Path:
    with Store(path) as store:
        store.put("logmel/1/none/float32", RECORDS.items())
    return path


def edited(path: Path, statement: str, *values: object) -> Path:
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()
    return path


def assert_right(records: dict[bytes, Record]) -> None:
    for key, record in records.items():
        assert record.seconds == RECORDS[key].seconds
        assert record.vector.dtype == RECORDS[key].vector.dtype
        assert record.vector.tobytes() == RECORDS[key].vector.tobytes()


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip a bit, as a disk does; or cut the file, clear a page, write over some bytes."""
    changed, kind = bytearray(content), rng.integers(8)
    at = int(rng.integers(len(changed)))
    if kind == 0:
        return bytes(changed[:at])
    if kind == 1:
        page = at // 4096 * 4096
        changed[page : page + 4096] = bytes(len(changed[page : page + 4096]))
    elif kind == 2:
        noise = rng.bytes(16)
        changed[at : at + 16] = noise[: len(changed) - at]
    else:
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


@pytest.mark.filterwarnings("ignore::earmark.EarmarkWarning")
def test_no_mutant_of_a_store_gives_a_wrong_row_or_a_traceback(tmp_path):
    content = filled(tmp_path / "whole.sqlite").read_bytes()
    rng, path = np.random.default_rng(1), tmp_path / "s.sqlite"
    outcomes = {"same": 0, "missed": 0, "refused": 0}
    for _ in range(300):
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(mutant(content, rng))
        try:
            with Store(path) as s:
                got = s.get(list(RECORDS))
                assert_right(got)
                s.put("logmel/1/none/float32", RECORDS.items())
                again = s.get(list(RECORDS))
                assert_right(again)
            outcomes["same" if len(got) == len(RECORDS) else "missed"] += 1
        except StoreError:
            outcomes["refused"] += 1
    assert outcomes["missed"] > 20, outcomes


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("vector", b""),
        ("vector", b"\0" * 7),
        ("vector", "text"),
        ("vector", 5),
        ("vector", np.full(60, np.nan, np.float16).tobytes()),
        ("vector", np.zeros(61, np.float16).tobytes()),
        ("vector", np.zeros(60, np.float16).tobytes()),
        ("seconds", 2.0),
        ("seconds", "long"),
        ("seconds", -1.0),
        ("seconds", float("inf")),
        ("wide", 1),
        ("wide", 7),
        ("wide", "yes"),
        ("fingerprint", "vggish/1/none/float32"),
        ("fingerprint", 3),
        ("key", b"another key of 16"),
        ("digest", 1),
        ("digest", "text"),
        ("digest", b"\xff"),
    ],
)
def test_a_row_that_is_not_what_was_written_misses_is_said_and_replaced(tmp_path, change, value):
    path, key = filled(tmp_path / "s.sqlite"), b"\0" * 16
    edited(path, f"UPDATE embedding SET {change} = ? WHERE key = ?", value, key)
    store = Store(path)
    assert store.get([key]) == {}
    assert len(store.get(list(RECORDS))) == len(RECORDS) - 1
    store.put("logmel/1/none/float32", [(key, RECORDS[key])])
    assert_right(store.get([key]))
    if change == "key":  # nothing says that there was one
        store.close()
        return
    with pytest.warns(EarmarkWarning, match="1 embedding in the store .* it was not used"):
        store.close()
    with Store(path) as store:  # nothing is left to say
        assert_right(store.get(list(RECORDS)))
        assert len(store.get(list(RECORDS))) == len(RECORDS)


def test_a_vector_that_is_not_finite_is_never_kept(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        for number in (np.nan, np.inf, -np.inf):
            for dtype in (np.float16, np.float32):
                store.put("x", [(b"k" * 16, Record(np.array([1, number], dtype), 1.0))])
        assert store.get([b"k" * 16]) == {}


def test_a_row_of_another_width_than_the_network_misses(tmp_path):
    key = b"\0" * 16
    with Store(filled(tmp_path / "s.sqlite")) as store:
        assert len(store.get([key], 60)) == 1
        assert store.get([key], 61) == {}
        store.damaged.clear()


def old_store(path: Path) -> tuple[Path, list[bytes]]:
    """Return a copy of the store that 0.1 wrote, and its keys."""
    path.write_bytes(OLD.read_bytes())
    with sqlite3.connect(path) as db:
        keys = [key for (key,) in db.execute("SELECT key FROM embedding ORDER BY wide")]
    db.close()
    return path, keys


def unsigned(path: Path) -> int:
    with sqlite3.connect(path) as db:
        (count,) = db.execute("SELECT COUNT(*) FROM embedding WHERE digest IS NULL").fetchone()
    db.close()
    return count


def test_rows_of_0_1_are_kept_and_get_digests_at_their_first_read(tmp_path):
    path, keys = old_store(tmp_path / "s.sqlite")
    with Store(path) as store:
        assert len(store.get(keys[:3])) == 3
    assert unsigned(path) == len(keys) - 3
    with Store(path) as store:
        assert len(store.get(keys)) == len(keys)
    assert unsigned(path) == 0
    edited(path, "UPDATE embedding SET seconds = seconds + 1 WHERE key = ?", keys[5])
    with pytest.warns(EarmarkWarning, match="1 embedding"), Store(path) as store:
        assert set(store.get(keys)) == {*keys} - {keys[5]}


def test_a_row_of_0_1_with_nan_misses(tmp_path):
    path, keys = old_store(tmp_path / "s.sqlite")
    vector = np.full(64, np.nan, np.float16).tobytes()
    edited(path, "UPDATE embedding SET vector = ? WHERE key = ?", vector, keys[0])
    with pytest.warns(EarmarkWarning), Store(path) as store:
        assert store.get(keys[:1]) == {}


def test_two_that_open_a_store_of_0_1_at_a_time_both_may_use_it(tmp_path):
    path, keys = old_store(tmp_path / "s.sqlite")
    with Store(path) as one, Store(path) as two:
        assert len(one.get(keys)) == len(two.get(keys)) == len(keys)
    assert unsigned(path) == 0


def test_a_store_without_a_column_is_refused(tmp_path):
    change = "ALTER TABLE embedding RENAME COLUMN vector TO vectos"
    path = edited(filled(tmp_path / "s.sqlite"), change)
    with pytest.raises(StoreError, match="is damaged.*earmark cache clear"), Store(path) as store:
        store.get(list(RECORDS))


def test_a_store_without_its_table_is_an_empty_one(tmp_path):
    with Store(edited(filled(tmp_path / "s.sqlite"), "DROP TABLE embedding")) as store:
        assert store.get(list(RECORDS)) == {}


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE embedding RENAME COLUMN vector TO vectos",
        "CREATE TRIGGER t AFTER INSERT ON embedding BEGIN SELECT no FROM absent; END",
    ],
    ids=["read", "written"],
)
def test_a_run_goes_on_without_a_store_whose_file_is_damaged(clips, tmp_path, damage):
    network = backbones.load_backbone("logmel")
    expected = embed(clips[:12], network).matrix
    with Store(str(tmp_path / "s.sqlite")) as store:
        embed(clips[:7], network, store)
        store._db.execute(damage)
        with pytest.warns(EarmarkWarning, match="is damaged.* This run goes on without it") as told:
            got = embed(clips[:12], network, store)
    assert len(told) == 1
    np.testing.assert_array_equal(got.matrix, expected)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """30 clips of 0.2 to 2 s."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(3)
    for k in range(30):
        samples = rng.normal(0, 0.1, int(rng.uniform(0.2, 2) * 8_000))
        soundfile.write(folder / f"{k:02d}.wav", samples, 8_000)
    return [Clip(path) for path in sorted(folder.iterdir())]


def test_damaged_rows_are_computed_again_and_give_what_they_were(clips, tmp_path):
    backbone, path = backbones.load_backbone("logmel"), tmp_path / "s.sqlite"
    with Store(path) as store:
        whole = embed(clips, backbone, store).matrix
    zeros = np.zeros(128, np.float16).tobytes()
    edited(path, "UPDATE embedding SET vector = ? WHERE id % 3 = 0", zeros)
    warned = pytest.warns(EarmarkWarning, match="10 embeddings .* they were not used")
    with warned, Store(path) as store:
        again = embed(clips, backbone, store)
    assert again.computed == 10
    assert np.array_equal(again.matrix, whole)
    with Store(path) as store:
        assert embed(clips, backbone, store).computed == 0


def test_parts_that_are_computed_apart_give_the_bytes_of_the_whole(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(shares, "PART_CLIPS", 8)
    monkeypatch.setattr(pipeline, "SHARD_S", 5.0)
    backbone = backbones.load_backbone("speech-embedding")
    shards = []
    compute = pipeline.compute_shard
    monkeypatch.setattr(
        pipeline,
        "compute_shard",
        lambda b, shard: (shards.append(len(shard)), compute(b, shard))[1],
    )
    whole = embed(clips, backbone, threads=1)
    together, shards[:] = list(shards), []
    parts = [embed(clips[k : k + 8], backbone, threads=1).matrix for k in range(0, 30, 8)]
    assert np.concatenate(parts).tobytes() == whole.matrix.tobytes()
    assert shards == together and len(shards) > 4
    with Store(tmp_path / "s.sqlite") as store:  # also of a run that goes on
        embed(clips[3:13], backbone, store)
        again = embed(clips, backbone, store)
    assert again.computed == 20


def test_a_changed_bit_of_a_written_file_is_noticed(clips, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    embeddings, rng = embed(clips, "logmel"), np.random.default_rng(5)
    for name in ("e.parquet", "e.npz"):
        path = tmp_path / name
        write_embeddings(path, embeddings, "all")
        content, noticed = bytearray(path.read_bytes()), 0
        for at in rng.integers(len(content) // 2, len(content) * 3 // 4, 20):
            content[at] ^= 4
            path.write_bytes(content)
            content[at] ^= 4
            try:
                if name == "e.npz":
                    got = np.load(path)["logmel"]
                else:
                    table = parquet.read_table(path, page_checksum_verification=True)
                    got = np.array(table["logmel"].to_pylist(), np.float32)
            except (OSError, ValueError, zipfile.BadZipFile):
                noticed += 1
                continue
            assert np.array_equal(got, embeddings.features(["logmel"]))
        assert noticed > 10


def test_comparisons_of_clips_are_kept_by_pair_and_a_damaged_file_is_said(tmp_path):
    keys = [bytes([n]) * 16 for n in range(4)]
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        known = Comparisons(store, keys)
        known.put({(0, 1): 0.5, (2, 3): 0.0})
        assert known.get([(1, 0), (0, 2), (2, 3)]) == {(1, 0): 0.5, (2, 3): 0.0}
        assert Comparisons(store, keys[::-1]).get([(0, 1)]) == {(0, 1): 0.0}  # rows 3 and 2
        store._db.execute("ALTER TABLE compared RENAME TO gone")
        with pytest.warns(EarmarkWarning, match="is damaged.*Clips are compared again"):
            assert known.get([(0, 1)]) == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known.put({(0, 1): 0.5})  # closed
        assert known.get([(0, 1)]) == {}


def test_comparisons_by_another_rule_are_not_known(tmp_path, monkeypatch):
    with Store(tmp_path / "s.sqlite") as store:
        known = Comparisons(store, [b"a" * 16, b"b" * 16])
        known.put({(0, 1): 0.5})
        monkeypatch.setattr(comparisons, "VERSION", comparisons.VERSION + 1)
        assert known.get([(0, 1)]) == {}
