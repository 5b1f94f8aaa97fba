"""The engine and the store: resume after a kill, two processes at once, a full disk, twins."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import backbones
from earmark.backbones import load_backbone
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.embeddings import files
from earmark.embeddings.embedding import embed, embed_to_file
from earmark.embeddings.rows import StoredRows
from earmark.embeddings.store import Record, Store, as_stored, delete_store
from earmark.errors import StoreError

EMBED = """
import sys
from pathlib import Path
from earmark.backbones import load_backbone
from earmark.data.clip import Clip
from earmark.embeddings.embedding import embed
from earmark.embeddings.store import Store

clips = [Clip(path) for path in sorted(Path(sys.argv[1]).glob("*.wav"))]
with Store(Path(sys.argv[2])) as store:
    print("ready", flush=True)
    print(embed(clips, load_backbone("speech-embedding"), store).computed)
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """60 clips of 0.3 to 9 s, so that several shards and widths occur."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(1)
    for k in range(60):
        samples = int(rng.uniform(0.3, 9) * 8_000)
        soundfile.write(folder / f"{k:02d}.wav", rng.normal(0, 0.1, samples), 8_000)
    return folder


def clips_of(folder: Path) -> list[Clip]:
    return [Clip(path) for path in sorted(folder.glob("*.wav"))]


def start(recordings: Path, store: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", EMBED, str(recordings), str(store)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(recordings: Path, store: Path) -> None:
    """What `start` does, in this process."""
    with Store(store) as opened:
        embed(clips_of(recordings), backbones.load_backbone("speech-embedding"), opened)


def content(store: Path) -> list[tuple]:
    with sqlite3.connect(store) as db:
        return db.execute("SELECT key, seconds, vector FROM embedding ORDER BY key").fetchall()


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_bytes(recordings, tmp_path):
    whole, killed = tmp_path / "whole.sqlite", tmp_path / "killed.sqlite"
    finish(recordings, whole)
    held = 0
    for _ in range(2):
        process = start(recordings, killed)
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            now = len(content(killed)) if killed.exists() else 0
            if now > held:  # kill as soon as one more shard is in
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.wait(60)
        assert len(content(killed)) >= held
        held = len(content(killed))
    assert held > 0
    finish(recordings, killed)
    assert content(killed) == content(whole)
    assert len(content(whole)) == 60


def test_a_new_store_is_opened_by_several_at_once(tmp_path):
    """SQLite itself does not wait while another one switches to a write-ahead log."""
    together = threading.Barrier(4)

    def open_stores(_: int) -> None:
        for number in range(20):
            together.wait(60)
            Store(tmp_path / f"{number}.sqlite").close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_stores, range(4)))


@pytest.mark.slow
def test_two_processes_share_a_store(recordings, tmp_path):
    path = tmp_path / "shared.sqlite"
    both = [start(recordings, path) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert len(content(path)) == 60
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_second_run_computes_nothing_and_gives_the_same(recordings, tmp_path):
    backbone, clips = backbones.load_backbone("logmel"), clips_of(recordings)
    with Store(tmp_path / "s.sqlite") as store:
        first, second = embed(clips, backbone, store), embed(clips, backbone, store)
    assert (first.computed, second.computed) == (60, 0)
    assert np.array_equal(first.matrix, second.matrix)
    assert first.seconds == pytest.approx(second.seconds)


def test_order_and_failures_are_kept(recordings, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF nothing")
    clips = clips_of(recordings)[:5]
    clips.insert(2, Clip(broken))
    result = embed(clips, backbones.load_backbone("logmel"))
    assert [c.path for c in result.clips] == [c.path for c in clips if c.path != broken]
    assert [f.path for f in result.failures] == [str(broken)]
    assert "broken" not in result.failures[0].reason and result.failures[0].reason


def test_changed_audio_weights_or_stretch_miss(recordings, tmp_path):
    source = tmp_path / "a.wav"
    source.write_bytes((recordings / "00.wav").read_bytes())
    logmel, speech = backbones.load_backbone("logmel"), backbones.load_backbone("speech-embedding")
    with Store(tmp_path / "s.sqlite") as store:
        assert embed([Clip(source)], logmel, store).computed == 1
        assert embed([Clip(source)], speech, store).computed == 1
        assert embed([Clip(source, start=0.0, end=0.1)], logmel, store).computed == 1
        source.write_bytes((recordings / "01.wav").read_bytes())
        assert embed([Clip(source)], logmel, store).computed == 1
        moved = source.rename(tmp_path / "b.wav")
        assert embed([Clip(moved)], logmel, store).computed == 0


def test_copies_are_computed_once(recordings):
    clip = clips_of(recordings)[0]
    result = embed([clip, clip, clip], backbones.load_backbone("logmel"))
    assert result.computed == 1 and len(result.matrix) == 3
    assert (result.matrix[0] == result.matrix[2]).all()


def test_number_of_threads_changes_nothing(recordings):
    backbone, clips = backbones.load_backbone("speech-embedding"), clips_of(recordings)[:12]
    one, three = (embed(clips, backbone, threads=n).matrix for n in (1, 3))
    assert np.array_equal(one, three)


def test_thread_setting_is_left_as_it_was(recordings):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        embed(clips_of(recordings)[:3], backbones.load_backbone("logmel"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_long_clip_is_the_sum_of_its_windows(tmp_path):
    """25 s: three windows of logmel, against one spectrogram over everything."""
    import torch

    x = np.random.default_rng(0).normal(0, 0.1, 25 * 16_000).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", x, 16_000, subtype="FLOAT")
    backbone = backbones.load_backbone("logmel")
    heard = embed([Clip(tmp_path / "long.wav")], backbone).matrix[0].astype(float)
    frames = backbone.front_end(torch.from_numpy(np.pad(x, 200))[None])[0, : 25 * 100].numpy()
    np.testing.assert_allclose(heard, np.concatenate([frames.mean(0), frames.std(0)]), rtol=2e-3)


def test_a_full_disk_is_one_sentence_and_loses_nothing(recordings, tmp_path):
    path = tmp_path / "s.sqlite"
    backbone, clips = backbones.load_backbone("speech-embedding"), clips_of(recordings)
    with Store(path) as store:
        embed(clips[:10], backbone, store)
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages + 4}")
        with pytest.raises(StoreError, match=r"full. Free some space and run the same command"):
            embed(clips, backbone, store)
    assert len(content(path)) == 10
    with Store(path) as store:
        assert embed(clips, backbone, store).computed == 50


def test_a_damaged_store_is_one_sentence(tmp_path):
    (tmp_path / "s.sqlite").write_bytes(b"not a database" * 500)
    with pytest.raises(StoreError, match="damaged.*earmark cache clear"):
        Store(tmp_path / "s.sqlite")


def test_a_newer_store_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "s.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="newer earmark.*schema 99"):
        Store(tmp_path / "s.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="EARMARK_CACHE"):
        Store(tmp_path / "sub" / "s.sqlite")


def test_a_store_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="EARMARK_CACHE"):
        Store(tmp_path / "file" / "s.sqlite")


def test_prune_keeps_the_newest(tmp_path):
    records = [(bytes([k]) * 16, Record(np.zeros(100, np.float16), 1.0)) for k in range(10)]
    with Store(tmp_path / "s.sqlite") as store:
        store.put("x", records)
        assert store.prune(max_bytes=600) == 7
        assert sorted(store.get([key for key, _ in records])) == [key for key, _ in records[7:]]
        assert store.summary() == [("x", 3, 600)]


def test_wide_values_are_kept_in_float32():
    assert as_stored(np.array([1.0, 2.0])).dtype == np.float16
    wide = as_stored(np.array([1.0, 1e6]))
    assert wide.dtype == np.float32 and wide[1] == 1e6


def test_delete_store_removes_all_its_files():
    with Store() as store:
        store.put("x", [(b"k" * 16, Record(np.zeros(3, np.float16), 1.0))])
    path = delete_store()
    assert not list(path.parent.glob("embeddings*"))


def test_rows_are_written_from_disk_as_from_memory(tones, tmp_path, monkeypatch):
    """Byte for byte, and as NumPy writes them; the matrix itself is in no array."""
    monkeypatch.setattr(files, "ROWS", 5)
    clips = Dataset.read(tones).clips
    network = load_backbone("logmel")
    whole = embed(clips, network)
    spooled = embed_to_file(tmp_path / "new" / "disk.npz", clips, network)
    files.write_embeddings(tmp_path / "memory.npz", whole, "all")
    assert isinstance(spooled.matrix, StoredRows)
    assert (spooled.clips, spooled.seconds) == (clips, whole.seconds)
    content = (tmp_path / "new" / "disk.npz").read_bytes()
    assert content == (tmp_path / "memory.npz").read_bytes()
    with np.load(tmp_path / "memory.npz") as archive:
        np.savez(tmp_path / "numpy.npz", **archive)
        assert np.array_equal(archive["logmel"], whole.features(["logmel"]))
        assert archive["label"].tolist() == [clip.label for clip in clips]
    assert content == (tmp_path / "numpy.npz").read_bytes()
    none = embed_to_file(tmp_path / "none.npz", [Clip(tmp_path / "no.wav")], network)
    assert len(none.failures) == 1 and not (tmp_path / "none.npz").exists()
