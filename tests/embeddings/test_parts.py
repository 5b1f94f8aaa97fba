"""Parts: the same bytes by any way, resumed after a kill, and no damaged file is used."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.audio.options import AudioOptions
from earmark.backbones import load_backbone
from earmark.data.blocks import blocks_of
from earmark.data.clip import Clip
from earmark.data.parts import read_table
from earmark.embeddings import embed_work, pipeline, shares
from earmark.embeddings.embedding import embed
from earmark.embeddings.part import PartSettings, divide
from earmark.embeddings.part_files import check_part
from earmark.embeddings.part_folder import UNFINISHED_S, PartFolder
from earmark.embeddings.shares import ALL, Share
from earmark.embeddings.store import Store
from earmark.errors import EarmarkError, EarmarkWarning
from made_parts import make_parts

pq = pytest.importorskip("pyarrow.parquet")
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """30 clips of several lengths."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(1)
    for k in range(30):
        samples = 0.1 * rng.normal(size=int(RATE_HZ * rng.uniform(0.2, 1.5)))
        soundfile.write(folder / f"{k:02d}.wav", samples, RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("logmel")


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(shares, "PART_CLIPS", 8)
    monkeypatch.setattr(pipeline, "SHARD_S", 3.0)


def clips_of(folder: Path) -> list[Clip]:
    return [
        Clip(path, "odd" if k % 2 else "even", group=str(k))
        for k, path in enumerate(sorted(folder.glob("*.wav")))
    ]


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("part-*.parquet")}


def matrix_of(out: Path, layers: list[str]) -> np.ndarray:
    """The rows of all parts that have embeddings, (N, E)."""
    blocks = []
    for path in sorted(out.glob("part-*.parquet")):
        table = pq.read_table(path)
        rows = [np.array(table[f"layer_{name}"].drop_null().to_pylist()) for name in layers]
        blocks.append(np.concatenate(rows, 1))
    return np.concatenate(blocks)


def test_one_run_shares_threads_and_the_store_give_the_same_bytes(recordings, tmp_path):
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    backbone, clips = load_backbone("speech-embedding"), clips_of(recordings)
    done = make_parts(tmp_path / "one", clips, backbone, recordings, threads=1)
    assert done.computed == 4 and [part.clips for part in done.summaries] == [8, 8, 8, 6]
    for number in (2, 1):
        share = Share(number, 2)
        own = make_parts(tmp_path / "two", clips, backbone, recordings, share, threads=2)
        assert [part.part for part in own.summaries] == [number - 1, number + 1]
    one = content(tmp_path / "one")
    assert len(one) == 4 and content(tmp_path / "two") == one
    assert make_parts(tmp_path / "two", clips, backbone, recordings).computed == 0
    tables = [(tmp_path / name / "parts.csv").read_bytes() for name in ("one", "two")]
    assert tables[0] == tables[1]
    with Store(tmp_path / "s.sqlite") as store:
        whole = embed(clips, backbone, store).matrix
    layers = [layer.name for layer in backbone.info.layers]
    assert matrix_of(tmp_path / "one", layers).astype(np.float16).tobytes() == whole.tobytes()


def test_a_part_does_not_depend_on_copies_in_other_parts(
    recordings, backbone, tmp_path, monkeypatch
):
    shards: list[list[str]] = []
    compute = pipeline.compute_shard

    def noted(network, shard):
        shards.append([piece.request.clip.name for piece in shard if hasattr(piece, "windows")])
        return compute(network, shard)

    monkeypatch.setattr(pipeline, "compute_shard", noted)
    clips = clips_of(recordings)
    copies = [*clips[:8], replace(clips[3], label="copy"), *clips[9:24], *clips[4:8]]
    make_parts(tmp_path / "all", copies, backbone, recordings, threads=1)
    together, shards[:] = list(shards), []
    for number in (1, 2, 3, 4):
        make_parts(tmp_path / "alone", copies, backbone, recordings, Share(number, 4), threads=1)
    assert shards == together  # equal bytes could be luck: few numbers depend on the shard
    assert content(tmp_path / "alone") == content(tmp_path / "all")


def test_a_run_that_is_stopped_goes_on_with_the_missing_parts(recordings, backbone, tmp_path):
    class Stop:
        def __init__(self) -> None:
            self.clips = 0

        def stage(self, name: str, steps: int) -> None: ...

        def advance(self, seconds: float = 0.0) -> None:
            self.clips += 1
            if self.clips == 20:
                raise KeyboardInterrupt

    clips = clips_of(recordings)
    make_parts(tmp_path / "whole", clips, backbone, recordings)
    with pytest.raises(KeyboardInterrupt):
        make_parts(tmp_path / "stopped", clips, backbone, recordings, progress=Stop())
    assert len(content(tmp_path / "stopped")) == 2
    assert make_parts(tmp_path / "stopped", clips, backbone, recordings).computed == 2
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_damaged_files_are_computed_again_and_end_with_the_same_bytes(
    recordings, backbone, tmp_path
):
    clips, out = clips_of(recordings), tmp_path / "out"
    make_parts(out, clips, backbone, recordings)
    whole = content(out)
    first, second, third, fourth = sorted(out.glob("part-*.parquet"))
    for has_table in (True, False):
        first.write_bytes(whole[first.name][:-100])
        flipped = bytearray(whole[second.name])
        flipped[len(flipped) // 3] ^= 16
        second.write_bytes(flipped)
        shutil.copy(fourth, third)
        if not has_table:
            (out / "parts.csv").unlink()
        with pytest.warns(EarmarkWarning) as caught:
            assert make_parts(out, clips, backbone, recordings).computed == 3
        told = [str(warning.message) for warning in caught]
        assert [name in text for name, text in zip(sorted(whole), told, strict=False)] == [True] * 3
        words = ["its digest is not"] * 3 if has_table else ["is cut", "is damaged", "another fing"]
        assert [word in text for word, text in zip(words, told, strict=True)] == [True] * 3
        assert content(out) == whole


def test_only_parts_whose_rows_changed_are_computed(recordings, backbone, tmp_path):
    clips, out = clips_of(recordings), tmp_path / "out"
    make_parts(out, clips, backbone, recordings)
    clips[10] = replace(clips[10], label="other")
    clips.append(Clip(recordings / "00.wav", "more", 0.0, 0.1))
    done = make_parts(out, clips, backbone, recordings)
    assert done.computed == 2
    folder = PartFolder(out, PartSettings.of(backbone, AudioOptions()))
    assert len(folder.others(done.summaries)) == 2
    moved = shutil.copytree(recordings, tmp_path / "moved")
    elsewhere = [replace(clip, path=moved / clip.path.name) for clip in clips]
    assert make_parts(out, elsewhere, backbone, moved).computed == 0


def test_other_settings_and_other_folders_are_refused(recordings, backbone, tmp_path):
    clips, out = clips_of(recordings), tmp_path / "out"
    make_parts(out, clips, backbone, recordings)
    with pytest.raises(EarmarkError, match="parts with audio .*this run has"):
        make_parts(out, clips, backbone, recordings, options=AudioOptions(channel=1))
    other = load_backbone("logmel", version=1)
    with pytest.raises(EarmarkError, match="parts with fingerprint 'logmel/.*name another folder"):
        make_parts(out, clips, other, recordings)
    with pytest.raises(EarmarkError, match=r"has files but no parts\.json"):
        make_parts(recordings, clips, backbone, recordings)
    (out / "parts.json").write_text("{")
    with pytest.raises(EarmarkError, match=r"parts\.json cannot be used"):
        make_parts(out, clips, backbone, recordings)


def test_a_damaged_table_is_written_again(recordings, backbone, tmp_path):
    clips, out = clips_of(recordings), tmp_path / "out"
    make_parts(out, clips, backbone, recordings)
    table = (out / "parts.csv").read_text()
    for damage in (table[:-60], table.replace("seconds", "hours", 1), "\0\n"):
        (out / "parts.csv").write_text(damage)
        with pytest.warns(EarmarkWarning, match="is not a table of parts .* checked again"):
            assert make_parts(out, clips, backbone, recordings).computed == 0
        assert (out / "parts.csv").read_text() == table


def test_unfinished_files_are_deleted_when_they_are_old(recordings, backbone, tmp_path):
    clips, out = clips_of(recordings), tmp_path / "out"
    make_parts(out, clips[:8], backbone, recordings)
    (whole,) = content(out)
    old, young = (out / f".{whole[:32]}.{name}.part" for name in ("old", "young"))
    for file, age_s in ((old, 2 * UNFINISHED_S), (young, UNFINISHED_S / 2)):
        file.write_bytes(b"half")
        os.utime(file, (time.time() - age_s,) * 2)
    make_parts(out, clips[:8], backbone, recordings)
    assert not old.exists() and young.exists() and list(content(out)) == [whole]


def test_failures_and_warnings_have_rows(recordings, backbone, tmp_path):
    bad, cut = tmp_path / "bad.wav", tmp_path / "cut.wav"
    bad.write_bytes(b"no audio")
    cut.write_bytes((recordings / "00.wav").read_bytes()[:4_000])
    clips = [*clips_of(recordings)[:2], Clip(bad), Clip(cut), Clip(tmp_path / "none.wav", start=1)]
    (summary,) = make_parts(tmp_path / "out", clips, backbone, recordings).summaries
    assert (summary.clips, summary.failures, summary.warnings) == (5, 2, 1)
    path = tmp_path / "out" / summary.file
    table = pq.read_table(path).to_pydict()
    assert table["path"][:2] == ["00.wav", "01.wav"] and table["path"][2] == str(bad)
    assert [text is not None for text in table["error"]] == [False, False, True, False, True]
    assert [row is None for row in table["layer_logmel"]] == [False, False, True, False, True]
    assert table["label"] == ["even", "odd", None, None, None] and table["start"][4] == 1
    assert table["warning"][3] and len(table["key"][0]) == 16 and len(table["version"][0]) == 32
    shared = PartSettings.of(backbone, AudioOptions())
    (part,) = divide(blocks_of(clips, shares.PART_CLIPS, ALL), shared, recordings)
    assert check_part(path, part) == summary == read_table(tmp_path / "out" / "parts.csv")[0]


def test_numbers_too_large_for_float16_keep_their_values(
    recordings, backbone, tmp_path, monkeypatch
):
    stream = embed_work.embed_stream

    def loud(*arguments, **settings):
        for result in stream(*arguments, **settings):
            yield replace(result, vector=result.vector.astype(np.float32) + 1e5)

    monkeypatch.setattr(embed_work, "embed_stream", loud)
    clips = clips_of(recordings)[:3]
    make_parts(tmp_path / "out", clips, backbone, recordings)
    expected = embed(clips, backbone).matrix.astype(np.float32) + 1e5
    assert np.array_equal(matrix_of(tmp_path / "out", ["logmel"]), expected)


def test_shares_are_read_as_they_are_written():
    assert str(Share.parse("2/10")) == "2/10" and [n for n in range(9) if n in Share(2, 4)] == [
        1,
        5,
    ]
    for text in ("0/2", "3/2", "1", "1/0", "-1/2", "1/2/3", "a/b", "1 / 2"):
        with pytest.raises(EarmarkError, match="Give I/N, with I from 1 to N"):
            Share.parse(text)


@pytest.mark.slow
def test_a_killed_command_goes_on_and_two_commands_share_a_folder(recordings, tmp_path):
    rng = np.random.default_rng(2)
    data = tmp_path / "data" / "noise"
    data.mkdir(parents=True)
    for k in range(4_000):
        soundfile.write(data / f"{k}.wav", 0.1 * rng.normal(size=2_000), RATE_HZ)
    command = [sys.executable, "-m", "earmark", "embed", str(data.parent), "--backbone", "logmel"]
    subprocess.run([*command, "-o", str(tmp_path / "whole")], check=True)
    out, kills = tmp_path / "out", 0
    for count in (1, 2, 3):
        process = subprocess.Popen([*command, "-o", str(out)])
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(out.glob("part-*.parquet"))) >= count:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.001)
        process.wait()
    assert kills >= 2
    both = [subprocess.Popen([*command, "-o", str(out)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert content(out) == content(tmp_path / "whole")
