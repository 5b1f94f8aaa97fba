"""A plan: its sample, its lengths, its sizes, and what it does not read or write."""

import functools
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from earmark.audio.options import AS_IT_IS
from earmark.backbones import load_backbone
from earmark.data.blocks import ClipBlocks
from earmark.data.clip import Clip
from earmark.data.rows import RowReader
from earmark.data.survey import Survey, choose_rows
from earmark.embeddings import effort, plan
from earmark.embeddings.effort import Effort, measure
from earmark.embeddings.plan import make_plan
from earmark.embeddings.stages import CutClip, Failure
from earmark.errors import DataError
from made_parts import make_parts

pytest.importorskip("pyarrow")

RATE_HZ = 16_000
NAMES = dict.fromkeys(("path", "label", "start", "end", "group", "fold", "split"))


@pytest.fixture
def recordings(tmp_path) -> Path:
    """Forty recordings of 0.5 to 1.5 s in two folders."""
    rng = np.random.default_rng(1)
    for number in range(40):
        path = tmp_path / "data" / "ab"[number % 2] / f"{number:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = rng.integers(RATE_HZ // 2, 3 * RATE_HZ // 2)
        soundfile.write(path, 0.1 * rng.standard_normal(length), RATE_HZ)
    return tmp_path / "data"


@pytest.fixture
def clock(monkeypatch):
    """Seconds of a core that pass only in the network: a hundredth of those of its audio."""
    now, compute = [0.0], effort.compute_shard

    def computed(backbone, shard):
        now[0] += sum(piece.seconds for piece in shard if isinstance(piece, CutClip)) / 100
        return compute(backbone, shard)

    times = SimpleNamespace(process_time=lambda: now[0], perf_counter=lambda: now[0])
    monkeypatch.setattr(effort, "time", times)
    monkeypatch.setattr(plan, "time", times)
    monkeypatch.setattr(effort, "compute_shard", computed)
    return now


def plan_of(data: Path, most: int = 200, **settings):
    survey = ClipBlocks.read(data, 1_024, columns=NAMES).survey(most)
    root = data if data.is_dir() else data.parent
    return make_plan(survey, load_backbone("logmel"), root, **settings)


def test_a_sample_of_all_clips_is_exact_and_the_size_is_that_of_a_part(recordings, tmp_path, clock):
    made = plan_of(recordings)
    clips = ClipBlocks.read(recordings, 1_024, columns=NAMES)
    (_, block), *_ = clips.blocks(range(1))
    (part,) = make_parts(tmp_path / "parts", block, load_backbone("logmel"), recordings).summaries
    assert (made.n_clips, made.n_parts, made.sample, made.failures) == (40, 1, 40, 0)
    assert made.seconds.low == made.seconds.high == pytest.approx(part.seconds, abs=1e-9)
    assert made.work.bytes == pytest.approx(part.bytes, rel=0.02)
    assert made.work.core_s.value == pytest.approx(part.seconds / 100)
    assert made.wall_s(4) == pytest.approx(part.seconds / 400)


def test_the_interval_of_a_sample_has_the_length_of_all(recordings, clock):
    whole, some = plan_of(recordings).seconds.value, plan_of(recordings, 15)
    assert some.sample == 15 and some.n_clips == 40
    assert some.seconds.low < whole < some.seconds.high < 1.5 * whole
    assert some.work.core_s.value == pytest.approx(some.seconds.value / 100)


def test_stretches_are_exact_and_only_the_sample_becomes_clips(recordings, monkeypatch, clock):
    rows = [f"{'ab'[k % 2]}/{k % 40:02}.wav,0,{0.25 + k % 2 / 8}" for k in range(3_000)]
    (recordings / "meta.csv").write_text("\n".join(["path,start,end", *rows]) + "\n")
    made, clip = [], RowReader.clip
    monkeypatch.setattr(RowReader, "clip", lambda *row: (made.append(row), clip(*row))[1])
    blocks = ClipBlocks.read(recordings / "meta.csv", 64, columns=NAMES)
    made.clear()
    survey = blocks.survey(30)
    assert len(made) == len(survey.sample) == 30
    assert blocks.survey(30) == survey != blocks.survey(30, seed=1)
    assert (survey.n_clips, survey.n_timed) == (3_000, 3_000)
    assert survey.timed_s == pytest.approx(3_000 * 0.3125)
    seconds = make_plan(survey, load_backbone("logmel"), recordings).seconds
    assert seconds.value == seconds.low == seconds.high == survey.timed_s


def test_a_sample_is_spread_over_all_rows(recordings):
    survey = ClipBlocks.read(recordings, 8, columns=NAMES).survey(10)
    order = sorted(path.name for path in recordings.rglob("*.wav"))
    clips = ClipBlocks.read(recordings, 8, columns=NAMES).blocks(range(99))
    order = [clip.place for _, block in clips for clip in block]
    rows = [order.index(clip.place) for clip in survey.sample]
    assert sorted(row // 4 for row in rows) == [*range(10)] and rows != sorted(rows)


def test_runs_of_rows_are_spread_and_count_as_one_each(clock):
    for n_rows, most, run in ((1_000, 40, 10), (101, 20, 7), (30, 30, 10), (5, 9, 3)):
        rows = choose_rows(n_rows, most, 0, run)
        assert rows == sorted(set(rows)) and rows[-1] < n_rows
        assert len(rows) == min(n_rows, most // run * run if n_rows > most else n_rows)
    clips = [Clip(Path(f"{k}.wav")) for k in range(40)]
    seconds = [float(1 + k // 10) for k in range(40)]
    alike = Effort(results=[Failure(clip, "") for clip in clips], seconds=seconds)
    single, runs = (
        plan._seconds_of_all(Survey(4_000, 0, 0.0, tuple(clips), run), alike) for run in (1, 10)
    )
    assert single.value == runs.value == 10_000.0
    assert runs.low < single.low and single.high < runs.high


def test_of_a_long_recording_only_the_beginning_is_computed(tmp_path, clock):
    path = tmp_path / "a" / "long.wav"
    path.parent.mkdir()
    x = 0.1 * np.random.default_rng(0).standard_normal(60 * RATE_HZ)
    soundfile.write(path, x, RATE_HZ)
    survey = ClipBlocks.read(tmp_path, 8, columns=NAMES).survey(1)
    took = measure(survey.sample, load_backbone("logmel"), AS_IT_IS, 60.0, long_s=10.0)
    assert clock[0] == pytest.approx(0.1 + 0.1)  # once before, which does not count
    assert took.network_s == pytest.approx(0.6) and took.seconds == [60.0]
    assert took.results[0].clip == survey.sample[0]


def test_no_clip_is_begun_after_the_limit(recordings, clock, monkeypatch):
    monkeypatch.setattr("earmark.embeddings.pipeline.SHARD_CLIPS", 4)
    made = plan_of(recordings, limit_s=0.06)
    assert 4 <= made.sample <= 12 and made.n_clips == 40


def test_recordings_that_cannot_be_read_are_counted_and_some_must_be_readable(recordings, clock):
    paths = sorted(recordings.rglob("*.wav"))
    for path in paths[:10]:
        path.write_bytes(b"no audio")
    made = plan_of(recordings)
    assert (made.failures, made.sample) == (10, 40)
    for path in paths:
        path.write_bytes(b"no audio")
    with pytest.raises(DataError, match="none of 40 recordings of the sample could be read"):
        plan_of(recordings)


def test_other_backbones_are_compared_and_nothing_is_written(recordings, clock):
    def state() -> list:
        cache = Path(os.environ["EARMARK_CACHE"])
        return sorted(str(p) for folder in (recordings, cache) for p in folder.rglob("*"))

    before = state()
    other = functools.partial(load_backbone, "logmel")
    made = plan_of(recordings, others=(other() for _ in range(2)), missing=["vggish"])
    assert len(made.others) == 2 and made.missing == ("vggish",)
    assert made.others[0].core_s.value == pytest.approx(made.work.core_s.value)
    assert made.others[0].bytes == pytest.approx(made.work.bytes, rel=0.02)
    assert state() == before
