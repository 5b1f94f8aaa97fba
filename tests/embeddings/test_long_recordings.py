"""A long clip is computed section by section, and gives what it gives as a whole."""

import math
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_files import RATE, encode, encode_ffmpeg
from earmark import audio, backbones
from earmark.audio.source import BytesSource
from earmark.data.clip import Clip
from earmark.embeddings import cutting, pipeline, sections
from earmark.embeddings.embedding import embed
from earmark.embeddings.pipeline import embed_clip, embed_stream
from earmark.embeddings.stages import Embedded, Failure
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
    parts = embed([clip], backbone)
    assert parts.seconds == pytest.approx(whole.seconds, abs=1e-9)
    assert not parts.failures and parts.computed == 1
    assert difference(parts.matrix, whole.matrix) < 3e-4  # float16 rounding


@pytest.mark.parametrize("name", ["logmel", "speech-embedding"])
def test_silence_in_sections_has_no_deviation(name, in_sections, tmp_path):
    """The last window is shorter, so its mean is rounded in another way."""
    in_sections()
    soundfile.write(tmp_path / "a.wav", np.zeros(int(97.3 * 16_000)), 16_000)
    backbone = backbones.load_backbone(name)
    layer = backbone.info.layers[-1]
    row = embed([Clip(tmp_path / "a.wav")], backbone).features([layer.name])[0]
    assert (row[: layer.size] != 0).all() and (row[layer.size :] == 0).all()


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


@pytest.mark.parametrize("said_s", [0.0, 97.3, 1_000.0])
def test_what_a_header_says_of_the_length_changes_nothing(
    recording, in_sections, monkeypatch, said_s
):
    """It may say nothing, the truth, or that there is more than there is."""
    in_sections()
    backbone = backbones.load_backbone("logmel")
    samples, rate_hz = soundfile.read(recording)
    half = recording.with_name("half.flac")
    soundfile.write(half, samples[: 50 * rate_hz], rate_hz)
    clips = [Clip(half), Clip(recording, end=30.0), Clip(recording)]
    told = list(embed_stream(clips, backbone))
    monkeypatch.setattr("earmark.audio.reading.header_s", lambda *_: said_s)
    for result, clip in zip(told, clips, strict=True):
        (again,) = embed_stream([clip], backbone)
        assert again.seconds == result.seconds and np.array_equal(again.vector, result.vector)


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
    held, most, count = 0, 0, 0

    def counted(*args):
        nonlocal held, most, count
        for section in cutting.cut_long(*args):
            held, count = held + 1, count + 1
            most = max(most, held)
            yield section

    def computed(backbone, shard):
        nonlocal held
        held -= len(shard)
        return compute(backbone, shard)

    compute = pipeline.compute_shard
    monkeypatch.setattr(pipeline, "cut_long", counted)
    monkeypatch.setattr(pipeline, "compute_shard", computed)
    backbone = backbones.load_backbone("logmel")
    backbone.info = replace(backbone.info, window=8_000, hop=8_000)
    (result,) = embed_stream([Clip(recording)], backbone, threads=1)
    assert len(result.vector) and count > 100 and most <= 4


def test_no_more_decoded_clips_wait_than_memory_allows(tmp_path, monkeypatch):
    """Of long windows, few clips wait for the network, however many may be read ahead."""
    monkeypatch.setattr(pipeline, "LOOKAHEAD_BYTES", 4 * 160_000 * 4)
    for k in range(40):
        soundfile.write(tmp_path / f"{k}.wav", np.full(20_000, 0.01 * k), 2_000)
    held, most = set(), 0

    def cut(backbone, options, request):
        nonlocal most
        held.add(request.key)
        most = max(most, len(held))
        return cutting.cut(backbone, options, request)

    def computed(backbone, shard):
        held.difference_update(item.request.key for item in shard)
        return compute(backbone, shard)

    compute = pipeline.compute_shard
    monkeypatch.setattr(pipeline, "cut", cut)
    monkeypatch.setattr(pipeline, "compute_shard", computed)
    clips = [Clip(tmp_path / f"{k}.wav") for k in range(40)]
    results = list(embed_stream(clips, backbones.load_backbone("logmel"), threads=1))
    assert len(results) == 40 and most <= 4 + 3 * 6 + 3


def test_a_long_recording_that_cannot_be_used_is_one_failure(in_sections, tmp_path):
    """Its last samples are NaN: by then, its first sections are computed."""
    in_sections()
    x = np.full(90 * 2_000, 0.1, np.float32)
    x[-5:] = np.nan
    soundfile.write(tmp_path / "nan.wav", x, 2_000, subtype="FLOAT")
    soundfile.write(tmp_path / "good.wav", x[:-5], 2_000, subtype="FLOAT")
    clips = [Clip(tmp_path / "nan.wav"), Clip(tmp_path / "good.wav")]
    bad, good = embed_stream(clips, backbones.load_backbone("logmel"))
    assert isinstance(bad, Failure) and bad.kind == "samples" and isinstance(good, Embedded)
    assert isinstance(embed_clip(clips[0], backbones.load_backbone("logmel")), Failure)


@pytest.mark.parametrize("name", ["a.flac", "a.m4a", "a.mka", "cut.wav"])
def test_lengths_are_told_by_samples_and_not_by_the_size_of_a_file(
    name, in_sections, tmp_path, monkeypatch
):
    """Silence takes few bytes, FFmpeg's formats hide their length, a damaged file lies."""
    in_sections()
    silence, path = np.zeros((100 * RATE, 1), np.float32), tmp_path / name
    longer = np.zeros((100 * 48_000, 1), np.float32)
    if name == "a.m4a":
        path.write_bytes(encode_ffmpeg(silence))
    elif name == "a.mka":
        path.write_bytes(encode_ffmpeg(longer, "matroska", "libopus", 48_000))
    elif name == "cut.wav":
        path.write_bytes(encode(silence, "WAV")[:-40_000])
    else:
        path.write_bytes(encode(silence, "FLAC"))
    longest, cut = 0, audio.window

    def window(x, *args, **named):
        nonlocal longest
        longest = max(longest, len(x))
        return cut(x, *args, **named)

    monkeypatch.setattr("earmark.embeddings.sections.audio.window", window)
    backbone = backbones.load_backbone("logmel")
    (result,) = embed_stream([Clip(path)], backbone)
    assert isinstance(result, Embedded) and longest <= 30 * backbone.info.rate_hz
    assert ("cut short" in str(result.warnings)) == (name == "cut.wav")
    assert np.array_equal(embed_clip(Clip(path), backbone).vector, result.vector)


def test_recordings_in_memory_are_let_go_of(monkeypatch):
    """A generator of recordings is as long as it likes; few of them are there at a time."""
    there, most = weakref.WeakSet(), 0

    def clips():
        nonlocal most
        for k in range(60):
            content = encode(np.full((40_000, 1), 0.01 * k, np.float32), "WAV")
            source = BytesSource(content)
            there.add(source)
            most = max(most, len(there))
            yield Clip(Path("x"), recording=source)

    monkeypatch.setattr(pipeline, "LOOKAHEAD_BYTES", 4 * 80_000)
    monkeypatch.setattr(pipeline, "SHARD_CLIPS", 2)
    for result in embed_stream(clips(), backbones.load_backbone("logmel"), threads=1):
        assert isinstance(result, Embedded)
        del result
    assert most <= 25  # shards of two, and what waits to be read and decoded
