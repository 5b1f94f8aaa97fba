"""Recordings are read whole: whatever their first frame promises, and however many were joined."""

import io
import os
import struct
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile

from audio_files import (
    RATE,
    encode,
    encode_ffmpeg,
    flac_that_says,
    noise,
    refusal,
    wav_that_says,
)
from earmark import audio
from earmark.audio import joined, layout, mapped, mpeg
from earmark.audio.options import AudioOptions
from earmark.audio.source import FileSource
from earmark.data.clip import Clip
from earmark.data.doctor.facts import listen
from earmark.data.doctor.findings import Names
from earmark.data.doctor.recordings import check
from earmark.errors import AudioError

LOUD, SOFT = noise(2 * RATE), noise(2 * RATE, seed=1) * 1e-4
NO_TABLE = {"write_xing": "0"}
VBR = {"global_quality": str(118 * 4), "flags": "+qscale"}


def mp3(x: np.ndarray, **settings: dict[str, str]) -> bytes:
    """Return ``x`` as MP3 with a tag, without which libsndfile leaves it to FFmpeg."""
    return encode_ffmpeg(x, "mp3", "libmp3lame", **settings)


def vbri(content: bytes, frames: int) -> bytes:
    """Put a frame with a table of Fraunhofer's before frames of MP3, such as it writes."""
    at = mpeg.after_id3(content, 0)
    frame = mpeg.frame_at(content, at)
    assert frame is not None
    table = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, len(content) - at, frames)
    head = content[at : at + 4] + bytes(32) + table
    return content[:at] + head.ljust(frame.length, b"\0") + content[at:]


def seconds(content: bytes) -> float:
    sound = audio.read_channels(content)
    assert not sound.warnings
    return len(sound.samples) / sound.rate_hz


# MP3, whose length is that of its frames


@pytest.mark.parametrize(
    "order", [(LOUD, SOFT), (SOFT, LOUD), (LOUD,)], ids=["loud", "soft", "one"]
)
def test_mp3_of_variable_rate_without_a_table_is_read_whole(order: tuple[np.ndarray, ...]) -> None:
    x = np.concatenate(order)
    content = mp3(x, options=NO_TABLE, codec_options=VBR)
    counted = mpeg.streams(content)[0].samples
    sound = audio.read_channels(content)
    assert len(sound.samples) == counted == pytest.approx(len(x), abs=2_000)
    assert not sound.warnings and not sound.notes
    assert audio.header_of(content).frames == counted
    late = audio.read_channels(content, counted / RATE - 0.5, counted / RATE - 0.1)
    np.testing.assert_allclose(late.samples, sound.samples[-8_000:-1_600], atol=2e-4)


def test_mp3_with_a_table_of_fraunhofer_is_read_whole() -> None:
    x = np.concatenate([LOUD, SOFT])
    content = mp3(x, options=NO_TABLE, codec_options=VBR)
    frames = mpeg.streams(content)[0].samples // 576
    assert seconds(vbri(content, frames)) == pytest.approx(frames * 576 / RATE, abs=0.04)
    cut = audio.read_channels(vbri(content, 2 * frames))
    assert "are missing" in cut.warnings[0]


def test_mp3_in_wav_lacks_nothing() -> None:
    sound = audio.read_channels(encode_ffmpeg(LOUD, "wav", "libmp3lame"))
    assert not sound.warnings and not sound.notes
    assert len(sound.samples) == pytest.approx(len(LOUD), abs=2_000)


def test_frames_are_counted_whatever_lies_between_them() -> None:
    content = mp3(LOUD, options=NO_TABLE)
    counted = mpeg.streams(content)[0].samples
    at = mpeg.after_id3(content, 0)
    length = 3 * mpeg.frame_at(content, at).length  # type: ignore[union-attr]
    junk = (
        content[: at + length]
        + b"APETAGEX"
        + bytes(60)
        + content[at + length :]
        + b"TAG"
        + bytes(125)
    )
    (stream,) = mpeg.streams(junk)
    assert (stream.samples, stream.is_cut) == (counted, False)
    (stream,) = mpeg.streams(content[:-20])
    assert (stream.samples, stream.is_cut) == (counted - 576, True)
    assert mpeg.streams(encode_ffmpeg(LOUD, "adts")) == []


# Streams joined end to end

JOINED: dict[str, Callable[[np.ndarray], bytes]] = {
    kind: lambda x, kind=kind: encode(x, kind)  # type: ignore[misc]
    for kind in ("WAV", "AIFF", "AU", "CAF", "FLAC", "W64", "RF64", "NIST", "VOC", "SVX", "MPC2K")
} | {
    "vorbis": lambda x: encode(x, "OGG", "VORBIS"),
    "opus": lambda x: encode(x, "OGG", "OPUS"),
    "mp3 table": lambda x: mp3(x),
    "mp3": lambda x: mp3(x, options=NO_TABLE),
    "mp2": lambda x: encode_ffmpeg(x, "mp2", "mp2"),
    "mp4": lambda x: encode_ffmpeg(x),
    "adts": lambda x: encode_ffmpeg(x, "adts"),
    "tta": lambda x: encode_ffmpeg(x, "tta", "tta"),
    "matroska": lambda x: encode_ffmpeg(x, "matroska"),
    "flv": lambda x: encode_ffmpeg(x, "flv"),
    "avi": lambda x: encode_ffmpeg(x, "avi", "pcm_s16le"),
}


@pytest.mark.parametrize("make", JOINED.values(), ids=JOINED)
def test_joined_streams_are_all_read(make: Callable[[np.ndarray], bytes]) -> None:
    one, two = make(LOUD[:RATE]), make(LOUD[RATE:])
    parts = [audio.read_channels(content).samples for content in (one, two, one)]
    whole = audio.read_channels(one + two + one)
    assert not whole.warnings
    assert len(whole.samples) == pytest.approx(sum(map(len, parts)), abs=4)
    if len(whole.samples) == sum(map(len, parts)) and make is not JOINED["mp3"]:
        middle = slice(len(parts[0]), len(parts[0]) + len(parts[1]))
        if make in map(JOINED.get, ("WAV", "FLAC", "vorbis", "AIFF", "W64", "tta")):
            np.testing.assert_array_equal(whole.samples, np.concatenate(parts))
            stretch = audio.read_channels(one + two + one, 1.25, 2.25).samples
            np.testing.assert_array_equal(stretch, whole.samples[20_000:36_000])
        assert np.corrcoef(whole.samples[middle, 0], parts[1][:, 0])[0, 1] > 0.8


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_the_rest_is_told_where_rate_or_channels_change(kind: str) -> None:
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(kind, "PCM_16")
    content = encode(LOUD, kind, subtype) + encode(noise(22_050, 2), kind, subtype, 22_050)
    sound = audio.read_channels(content)
    assert len(sound.samples) == len(LOUD)
    (text,) = sound.warnings
    assert (
        "after 2.00 s (the next stream in the file has 22050 Hz and 2 channels; split the file);"
        in text
    )
    assert "the next stream in the file has 22050 Hz and 2 channels" in refusal(content, 2.5, 2.8)


def test_what_is_inside_a_chunk_is_no_second_stream(tmp_path: Path) -> None:
    inner = encode(LOUD, "WAV")
    outer = bytearray(encode(LOUD, "WAV"))
    outer += b"junk" + struct.pack("<I", len(inner)) + inner
    assert seconds(bytes(outer)) == 2
    path = tmp_path / "a.wav"
    path.write_bytes(inner)
    assert seconds(path) == 2  # type: ignore[arg-type]
    path.write_bytes(inner + inner)
    assert seconds(path) == 4  # type: ignore[arg-type]  # it is looked at again


def test_bytes_that_no_header_counts_are_told() -> None:
    junk = np.random.default_rng(3).bytes(30_000)
    for content in (wav_that_says(2 * RATE, LOUD), encode(LOUD, "WAV") + junk):
        sound = audio.read_channels(content)
        assert (
            " bytes after the end that its header states; these were not read." in sound.warnings[0]
        )
        assert not audio.read_channels(content, 0.1, 0.5).warnings
    whole = encode(LOUD[:-1], "WAV", "PCM_U8")
    for rest in (bytes(9_000), b"TAG" + b"x" * 125, b"LIST\4\0\0\0abcd" * 200, b"x" * 300):
        assert seconds(whole + rest) == pytest.approx(2, abs=0.001)


ENDLESS: dict[str, Callable[[np.ndarray], bytes]] = {  # no header says where they end
    "tta": lambda x: encode_ffmpeg(x, "tta", "tta"),
    "flv": lambda x: encode_ffmpeg(x, "flv"),
    "ts": lambda x: encode_ffmpeg(x, "mpegts"),
    "paf": lambda x: encode(x, "PAF"),
    "pvf": lambda x: encode(x, "PVF"),
    "ircam": lambda x: encode(x, "IRCAM"),
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("behind", ["WAV", "FLAC", "OGG", "AIFF"])
def test_another_container_behind_one_without_a_length_is_read(
    make: Callable[[np.ndarray], bytes], behind: str
) -> None:
    one, two = make(LOUD), encode(LOUD, behind, "VORBIS" if behind == "OGG" else "PCM_16")
    alone, both = (len(audio.read(content, 16_000).samples) for content in (one, one + two))
    assert both - alone == pytest.approx(16_000 * len(LOUD) / RATE, abs=1_000)
    assert len(layout.links_of(one)) == 1


@pytest.mark.parametrize("kind", ["W64", "VOC", "SVX", "MAT5"])
def test_another_container_behind_a_wav_is_no_chunk_of_it(kind: str) -> None:
    (text,) = audio.read_channels(encode(LOUD, "WAV") + encode(LOUD, kind)).warnings
    assert " bytes after the end " in text


@pytest.mark.parametrize("kind", ["mp3", "mp3 joined"])
def test_bytes_behind_the_last_frame_of_mp3_are_told_unless_they_are_tags(kind: str) -> None:
    content = mp3(LOUD) * (2 if kind == "mp3 joined" else 1)
    (text,) = audio.read_channels(content + encode(LOUD, "AU")).warnings
    assert "the file has 64024 bytes after the end " in text
    for tag in (b"TAG".ljust(128), b"APETAGEX" + b"x" * 9_000, bytes(9_000), b"LYRICSBEGIN" * 99):
        assert not audio.read_channels(content + tag).warnings


def test_what_follows_mp4_is_read_or_told() -> None:
    mp4, wav = encode_ffmpeg(LOUD), encode(LOUD, "WAV")
    length_s = seconds(mp4)
    assert seconds(mp4 + wav) == pytest.approx(length_s + 2)
    (text,) = audio.read_channels(mp4 + bytes(512) + mp4).warnings
    assert f"the file has {len(mp4) + 512} bytes after the end " in text
    assert seconds(mp4 + bytes(9_000)) == seconds(mp4 + b"\0\0\0\x10free" + bytes(8)) == length_s


def test_junk_between_frames_of_mp3_takes_time_in_proportion() -> None:
    """Stream recorders leave a text between frames; a search for tags once took each time all."""
    content = mp3(LOUD, options=NO_TABLE)
    at, pair = mpeg.after_id3(content, 0), b""
    for _ in range(2):
        frame = mpeg.frame_at(content, at)
        assert frame is not None
        pair, at = pair + content[at : at + frame.length], at + frame.length
    searched: list[int] = []

    class Counted(bytes):
        def find(self, sign: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
            found = super().find(sign, start, end)
            searched.append((len(self) if found < 0 else found) - start if sign == b"ID3" else 0)
            return found

    junk = Counted(b"\0".join([pair] * 2_000))
    (stream,) = mpeg.streams(junk)
    assert stream.samples == 4_000 * 576 and sum(searched) <= len(junk)


def test_a_search_gives_the_same_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = encode(LOUD, "FLAC"), mp3(SOFT)
    contents = [one + one, two + two, encode(LOUD, "OGG", "VORBIS") * 2, encode(LOUD, "AU") * 2]
    whole = [layout.links_of(content) for content in contents]
    monkeypatch.setattr(mapped, "PART", 1_000)
    released: list[int] = []
    monkeypatch.setattr(mapped.Mapped, "madvise", lambda *_: released.append(1), raising=False)
    for k, content in enumerate(contents):
        path = tmp_path / str(k)
        path.write_bytes(content)
        released.clear()
        assert joined.links_of(FileSource(path)) == layout.links_of(content) == whole[k]
        assert len(whole[k]) == 2 and (len(released) > 5 or os.name == "nt")
    assert mapped.find(b"x" * 999 + b"sign", b"sign", 0) == 999
    assert mapped.find(b"x" * 999 + b"sign", b"sign", 0, 1_002) == -1


# Cut recordings

STATED = ("AIFF", "AU", "AVR", "CAF", "FLAC", "MAT4", "MAT5", "MPC2K", "NIST", "RF64", "SDS", "SVX")
STATED += ("VOC", "W64", "WAV", "WAVEX", "WVE")


@pytest.mark.parametrize("kind", STATED)
def test_a_cut_recording_is_told_where_its_header_states_a_length(kind: str) -> None:
    rate_hz = 8_000 if kind == "WVE" else RATE
    content = encode(LOUD, kind, soundfile.default_subtype(kind), rate_hz)
    whole = audio.read_channels(content)
    assert not whole.warnings and not whole.notes
    length_s = len(whole.samples) / rate_hz
    for share in (0.3, 0.6, 0.9):
        sound = audio.read_channels(content[: int(share * len(content))])
        (text,) = sound.warnings
        missing_s = length_s - len(sound.samples) / rate_hz
        words = text.split("; ")[1].split()
        assert float(words[0]) == pytest.approx(missing_s, abs=0.03)
        assert float(words[3]) == pytest.approx(length_s, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("avi", "pcm_s16le"), ("sox", "pcm_s32le"), ("voc", "pcm_u8"), ("rm", "ac3"), ("mp2", "mp2"),
     ("caf", "pcm_s16le"), ("wav", "libmp3lame"), ("asf", "libmp3lame"), ("flv", "libmp3lame"),
     ("mmf", "adpcm_yamaha"), ("mxf_opatom", "pcm_s16le"), ("smjpeg", "pcm_s16le")],
)  # fmt: skip
def test_so_is_one_that_ffmpeg_reads(kind: str, codec: str) -> None:
    rate_hz = {"rm": 48_000, "mxf_opatom": 48_000, "flv": 44_100, "mmf": 8_000}.get(kind, RATE)
    content = encode_ffmpeg(noise(2 * rate_hz), kind, codec, rate_hz)
    assert not audio.read_channels(content).warnings
    for share in (0.3, 0.6, 0.9):
        assert audio.read_channels(content[: int(share * len(content))]).warnings, share


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
def test_what_a_cut_wma_lacks_is_what_its_header_states(codec: str) -> None:
    """FFmpeg estimates the length anew, of what is left, where 5 % or more are missing."""
    content = encode_ffmpeg(noise(2 * 48_000), "asf", codec, 48_000)
    for share in (0.3, 0.8):
        sound = audio.read_channels(content[: int(share * len(content))])
        (text,) = sound.warnings
        words = text.split("; ")[1].split()
        missing_s = 2 - len(sound.samples) / 48_000
        assert float(words[3]) == pytest.approx(2, abs=0.05)
        assert float(words[0]) == pytest.approx(missing_s, abs=0.05)


@pytest.mark.parametrize(
    ("kept_s", "is_note"), [(9.95, True), (9.999, True), (9.85, False), (5.0, False)]
)
def test_a_tiny_part_that_is_missing_is_a_note(kept_s: float, is_note: bool) -> None:
    content = encode(np.tile(LOUD, (5, 1)), "WAV")
    sound = audio.read(content[: 44 + 2 * round(kept_s * RATE)])
    assert (len(sound.notes), len(sound.warnings)) == (is_note, not is_note)


def test_of_a_short_clip_a_tiny_part_is_much() -> None:
    assert audio.read(encode(LOUD[:8_000], "WAV")[:-1_600]).warnings  # 0.05 s of 0.5 s


# Headers that say what cannot be


def wav(data: bytes, bits: int, block: int, channels: int = 1, bytes_a_s: int = 0) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, RATE, bytes_a_s or RATE * block, block, bits)
    body = (
        b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(("bits", "block"), [(24, 4), (24, 2), (16, 4), (32, 3), (8, 2)])
def test_a_wav_whose_bits_contradict_its_bytes_is_refused(bits: int, block: int) -> None:
    text = refusal(wav(noise(RATE).tobytes(), bits, block))
    assert f"contradicts itself: {bits} bits per sample, but {block} bytes for 1 channel; " in text


def test_a_slip_in_a_header_is_read_as_all_else_says() -> None:
    pcm = (LOUD * 2**15).astype("<i2").tobytes()
    assert seconds(wav(pcm, 16, 4, bytes_a_s=2 * RATE)) == 2  # scipy's issue 13988
    assert seconds(wav(pcm, 16, 0, bytes_a_s=2 * RATE)) == 2
    assert len(audio.read(wav_that_says(0, LOUD)).samples) == len(LOUD)


@pytest.mark.parametrize(("rate_hz", "channels"), [(0, 1), (None, 1), (RATE, 0)])
def test_a_stream_without_channels_or_rate_is_refused(
    rate_hz: int | None, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = SimpleNamespace(nb_channels=channels)
    stream = SimpleNamespace(rate=rate_hz, layout=layout, codec_context=object())
    container = SimpleNamespace(streams=SimpleNamespace(audio=[stream]))
    content = encode_ffmpeg(LOUD)
    monkeypatch.setattr("av.open", lambda *_, **__: nullcontext(container))
    assert "FFmpeg: its header gives no rate or no channels" in refusal(content)


# Floats of another scale


def test_integers_kept_as_floats_are_told_and_can_be_scaled() -> None:
    content = encode(LOUD * 32_767, "WAV", "FLOAT")
    sound = audio.read(content)
    (text,) = sound.warnings
    assert "its samples reach 1.638e+04, but full scale is 1" in text
    assert "--full-scale 32768" in text
    scaled = audio.read(content, options=AudioOptions(full_scale=32_768))
    assert not scaled.warnings
    np.testing.assert_allclose(scaled.samples, LOUD[:, 0] * 32_767 / 32_768, atol=1e-6)
    pcm = encode(LOUD, "WAV")
    same = audio.read(pcm, options=AudioOptions(full_scale=32_768)).samples
    np.testing.assert_array_equal(same, audio.read(pcm).samples)
    assert not audio.read(encode(LOUD * 8, "WAV", "FLOAT")).warnings


def test_the_store_knows_options_of_0_1_by_their_old_name() -> None:
    assert str(AudioOptions(2, "zero")) == "AudioOptions(channel=2, non_finite='zero')"
    assert str(AudioOptions(full_scale=128)).endswith("full_scale=128)")


def test_the_doctor_tells_of_scale_of_tiny_parts_and_of_remarks(tmp_path: Path) -> None:
    contents = {
        "loud.wav": encode(LOUD * 32_767, "WAV", "FLOAT"),
        "a.wav": encode(LOUD, "WAV")[:-320],
        "b.wav": encode(LOUD, "WAV")[:-640],
        "odd.mp3": remarked(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    clips = [Clip(tmp_path / name) for name in contents]
    findings = list(check([listen(clip, AudioOptions()) for clip in clips], Names(clips)))
    texts = {finding.kind: finding.text() for finding in findings}
    assert "--full-scale 32768" in texts["scale"]
    assert "a.wav: cut short or damaged after 1.99 s" in texts["a little short"]
    assert "; 1 other like it" in texts["a little short"]
    if sys.platform == "linux":
        assert "odd.mp3: the decoder says: " in texts["decoder remarks"]


# What decoders print


def remarked() -> bytes:
    """Return MP3 with 300 bytes between two of its frames, which libmpg123 remarks on."""
    content = mp3(LOUD, options=NO_TABLE)
    at = mpeg.after_id3(content, 0)
    for _ in range(20):
        at += mpeg.frame_at(content, at).length  # type: ignore[union-attr]
    return content[:at] + b"\xaa" * 300 + content[at:]


@pytest.mark.skipif(sys.platform != "linux", reason="it takes the GNU C library")
def test_what_decoders_print_is_told_and_not_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(remarked())
    for source in (path, path.read_bytes()):
        sound = audio.read_channels(source)
        assert any("the decoder says" in text for text in (*sound.remarks, *sound.warnings))
    content = bytearray(encode(LOUD, "AIFF", "PCM_24"))
    for at in range(12, 60):
        for value in (0, 0x7F, 0x80, 0xFF):
            changed = content[:at] + bytes([value]) + content[at + 1 :]
            with suppress(AudioError):
                audio.read_channels(bytes(changed))
    assert capfd.readouterr() == ("", "")


def test_layout_of_garbage_is_one_stream() -> None:
    dice = np.random.default_rng(0)
    signs = [
        b"RIFF",
        b"FORM",
        b"caff\0\1",
        b"OggS",
        b"fLaC",
        b"ID3",
        b"\0\0\0\0",
        b"MATLAB 5.0 MAT-file",
    ]
    for sign in [
        *signs,
        b"Creative Voice File\x1a",
        b"2BIT",
        b"\x01\x04",
        b".SoX",
        b"\xff\xfb\x90\x64",
    ]:
        for size in (0, 1, 5, 30, 300):
            content = sign + dice.bytes(size)
            links = layout.links_of(content)
            assert links and links[0].start == 0
            assert all(link.end <= len(content) for link in links)


def test_what_is_left_of_a_stream_is_let_go() -> None:
    """A resampler that lives until the process ends prints that it leaked."""
    content = encode(noise(40 * RATE), "WAV")
    for opened in (audio.open_stream(content, RATE // 2), audio.open_channels(content)):
        with opened as stream:
            assert len(next(stream.blocks))
        assert next(stream.blocks, None) is None


# What a header does not count


def flac(x: np.ndarray) -> bytes:
    return encode(x, "FLAC")


@pytest.mark.parametrize("says", [0, RATE // 2, 2 * RATE - 100])
def test_flac_is_read_up_to_its_last_frame_whatever_its_header_says(says: int) -> None:
    sound = audio.read_channels(flac_that_says(says, LOUD))
    assert np.array_equal(sound.samples, audio.read_channels(flac(LOUD)).samples)
    assert not sound.warnings
    assert audio.header_of(flac_that_says(RATE // 2, LOUD)).frames == 2 * RATE


@pytest.mark.parametrize("first", ["WAV", "AIFF", "FLAC", "OGG", "MP3", "AU"])
def test_another_container_that_follows_is_read(first: str) -> None:
    subtypes = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
    begin = encode(LOUD, first, subtypes.get(first, "PCM_16"))
    whole = len(audio.read_channels(begin).samples)
    tag = b"ID3\4\0\0\0\0\7\x68" + b"\xff\xfeabc".ljust(1000, b"\xff")
    for kind in {"WAV", "AIFF", "FLAC", "OGG", "MP3"} - {first}:
        sound = audio.read_channels(begin + encode(LOUD, kind, subtypes.get(kind, "PCM_16")))
        assert (len(sound.samples), sound.warnings) == (whole + 2 * RATE, ()), kind
    for behind in (tag, b"TAG".ljust(128, b"x"), bytes(9_999)):
        sound = audio.read_channels(begin + behind)
        assert (len(sound.samples), sound.warnings) == (whole, ())


def test_bytes_behind_the_last_frame_of_flac_are_told() -> None:
    dice = np.random.default_rng(3)
    for begin in (flac(LOUD), encode(LOUD, "OGG", "VORBIS"), encode(LOUD, "AU")):
        (warning,) = audio.read_channels(begin + dice.bytes(30_000)).warnings
        assert "these were not read" in warning


def test_a_video_that_was_cut_is_told() -> None:
    content = encode_ffmpeg(LOUD, "matroska", "libopus")
    at = content.index(b"\x18\x53\x80\x67") + 4
    size = int.from_bytes(content[at : at + 8], "big") & (1 << 56) - 1
    link = layout.links_of(content)[0]
    assert (link.sound, link.promised) == (at + 8, at + 8 + size) == (at + 8, len(content))
    assert layout.links_of(content[: len(content) // 2])[0].share > 1.5


@pytest.mark.parametrize("kind", ["ogg", "matroska", "mp4"])
def test_of_tracks_side_by_side_the_first_is_read_with_a_warning(kind: str) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        streams = [container.add_stream("libopus", rate=48_000, layout="mono") for _ in range(2)]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(LOUD.T[:, :960].copy(), "flt", "mono")
            frame.sample_rate = 48_000
            for part in (frame, None):
                container.mux(stream.encode(part))
    (warning,) = audio.read_channels(file.getvalue()).warnings
    assert warning == "it has 2 parallel tracks of sound; only the first was read."


def test_alac_in_caf_keeps_the_end_of_its_last_packet() -> None:
    assert len(audio.read_channels(encode_ffmpeg(LOUD, "caf", "alac")).samples) == len(LOUD)


def test_containers_of_several_kinds_in_a_row_are_all_read() -> None:
    kinds = [encode(LOUD, kind) for kind in ("FLAC", "WAV", "AIFF")]
    for order in ((0, 1, 0), (1, 0, 1), (2, 0, 1), (0, 0, 1, 2, 0)):
        content = b"".join(kinds[k] for k in order)
        assert len(audio.read_channels(content).samples) == len(order) * len(LOUD), order
    assert audio.read_channels(content[:-30_000]).warnings
    assert len(layout.links_of((kinds[0] + kinds[1]) * 20)) < 30
    short = flac_that_says(RATE // 2, LOUD) + kinds[0]
    assert len(audio.read_channels(short).samples) == 2 * len(LOUD)
