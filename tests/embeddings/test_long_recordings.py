"""A long clip is computed section by section, and gives what it gives as a whole."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from earmark import backbones
from earmark.data.clip import Clip
from earmark.embeddings import cutting, pipeline, sections
from earmark.embeddings.embedding import embed
from earmark.embeddings.pipeline import embed_stream
from earmark.errors import BackboneError
from networks import with_random_weights

NAMES = ["logmel", "speech-embedding", "yamnet", "hf:"]  # hf: normalises the whole clip


@pytest.fixture(params=NAMES)
def backbone(request):
    if request.param == "hf:":
        folder = request.getfixturevalue("folders") / "wav2vec2-group"
        return backbones.load_backbone(f"hf:{folder}")
    try:
        return backbones.load_backbone(request.param)
    except BackboneError:
        return with_random_weights(request.param)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """97.3 s at 44.1 kHz, louder and higher from second to second, not without an offset."""
    rng = np.random.default_rng(0)
    t = np.arange(int(97.3 * 44_100)) / 44_100
    x = 0.05 + 0.004 * t * np.sin(2 * np.pi * (200 + 10 * t) * t) + rng.normal(0, 0.01, len(t))
    path = tmp_path_factory.mktemp("long") / "a.flac"
    soundfile.write(path, x, 44_100)
    return path


@pytest.fixture
def in_sections(monkeypatch):
    """Take anything for long that is longer than 40 s, and sections of 20 s."""

    def use(length_s: float = 40.0) -> None:
        monkeypatch.setattr(sections, "LONG_BYTES", 0)
        monkeypatch.setattr(sections, "LONG_S", length_s)
        monkeypatch.setattr(sections, "SECTION_S", 20.0)

    return use


def difference(a, b) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize(("start", "end"), [(None, None), (3.2501, 90.017)])
def test_sections_are_the_whole(backbone, recording, in_sections, start, end, monkeypatch):
    clip = Clip(recording, start=start, end=end)
    in_sections(math.inf)
    whole = embed([clip], backbone)
    in_sections()
    monkeypatch.setattr(cutting, "_cut_whole", None)  # nothing may fall back on it
    parts = embed([clip], backbone)
    assert parts.seconds == pytest.approx(whole.seconds, abs=1e-9)
    assert not parts.failures and parts.computed == 1
    assert difference(parts.matrix, whole.matrix) < 3e-4  # float16 rounding


def test_sections_of_mp3_are_the_whole(in_sections, tmp_path, monkeypatch):
    """Longer than two minutes, at a variable bit rate, so that a place in it has to be searched."""
    t = np.arange(125 * 16_000) / 16_000
    x = 0.004 * t * np.sin(2 * np.pi * (200 + 10 * t) * t)
    path, backbone = tmp_path / "a.mp3", backbones.load_backbone("logmel")
    x += np.random.default_rng(0).normal(0, 0.01, len(t))
    soundfile.write(path, x, 16_000, bitrate_mode="VARIABLE", compression_level=0.5)
    in_sections(math.inf)
    whole = embed([Clip(path)], backbone)
    in_sections(120.0)
    monkeypatch.setattr(cutting, "_cut_whole", None)
    parts = embed([Clip(path)], backbone)
    assert not parts.failures and parts.seconds == pytest.approx(whole.seconds, abs=1e-9)
    assert difference(parts.matrix, whole.matrix) < 3e-4  # float16 rounding


def test_long_and_short_clips_keep_their_order_and_twins(recording, in_sections, tmp_path):
    in_sections()
    copy = tmp_path / "copy.flac"
    copy.write_bytes(recording.read_bytes())
    soundfile.write(tmp_path / "short.wav", np.full(4_000, 0.1), 8_000)
    clips = [Clip(p) for p in (tmp_path / "short.wav", recording, copy, tmp_path / "none.wav")]
    result = embed(clips, backbones.load_backbone("logmel"))
    assert list(result.clips) == clips[:3] and result.computed == 2
    assert np.array_equal(result.matrix[1], result.matrix[2])
    assert result.seconds == pytest.approx(0.5 + 2 * 97.3, abs=1e-3)


def test_what_is_shorter_than_its_header_is_read_as_a_whole(recording, in_sections, monkeypatch):
    """Sections are planned for 97 s; the file, exchanged meanwhile, has 50."""
    in_sections()
    backbone = backbones.load_backbone("logmel")
    monkeypatch.setattr(sections, "clip_seconds", lambda *_: 97.3)
    samples, rate_hz = soundfile.read(recording)
    half = recording.with_name("half.flac")
    soundfile.write(half, samples[: 50 * rate_hz], rate_hz)
    (in_sections_only,) = embed_stream([Clip(half)], backbone)
    monkeypatch.setattr(sections, "clip_seconds", lambda *_: 0.0)
    (as_a_whole,) = embed_stream([Clip(half)], backbone)
    assert in_sections_only.seconds == as_a_whole.seconds == 50
    assert np.array_equal(in_sections_only.vector, as_a_whole.vector)


def test_damage_is_told_as_of_a_whole_clip(recording, in_sections, tmp_path):
    in_sections()
    content = recording.read_bytes()
    cut = tmp_path / "cut.flac"
    cut.write_bytes(content[: len(content) * 2 // 3])
    (result,) = embed_stream([Clip(cut)], backbones.load_backbone("logmel"))
    assert "cut short or damaged after" in result.warnings[0]


def test_no_more_than_some_sections_are_held(recording, in_sections, monkeypatch):
    """However long a clip is, only so many sections are decoded ahead of the network."""
    in_sections()
    monkeypatch.setattr(sections, "SECTION_S", 0.5)
    monkeypatch.setattr("earmark.embeddings.pipeline.LOOKAHEAD", 4)
    held, most = 0, 0

    def counting(step, change, *args):
        nonlocal held, most
        held += change
        most = max(most, held)
        return step(*args)

    monkeypatch.setattr(pipeline, "cut", functools.partial(counting, cutting.cut, 1))
    compute = pipeline._compute
    monkeypatch.setattr(
        pipeline, "_compute", lambda b, shard: counting(compute, -len(shard), b, shard)
    )
    monkeypatch.setattr(pipeline, "SHARD_CLIPS", 2)
    backbone = backbones.load_backbone("logmel")
    backbone.info = replace(backbone.info, window=8_000, hop=8_000)
    (result,) = embed_stream([Clip(recording)], backbone, threads=1)
    assert len(result.vector) and most <= 4 + 2 * 2 + 2
