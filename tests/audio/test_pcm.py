"""Raw PCM from a pipe: every format, any size of reads, and what is not raw PCM."""

import io
import os
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_files import encode, encode_ffmpeg, noise
from earmark.audio.live import LiveInput
from earmark.audio.live_sources import open_live
from earmark.audio.options import AudioOptions
from earmark.audio.pcm import FORMATS, Pcm
from earmark.errors import AudioError, EarmarkError
from live_sound import Clock, items_of, samples_of, within_patience

RATE = 8_000
SUBTYPES = {"s8": "PCM_S8", "u8": "PCM_U8", "s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32"}
SUBTYPES |= {"f32": "FLOAT", "f64": "DOUBLE"}


class Pipe(io.RawIOBase):
    """A pipe that brings its bytes in given pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def read(self, size: int = -1) -> bytes:
        if not self.pieces:
            return b""
        piece, rest = self.pieces[0][:size], self.pieces[0][size:]
        self.pieces[:1] = [rest] if rest else []
        return piece


def listen(content: bytes | io.RawIOBase, pcm: Pcm, options: AudioOptions | None = None):
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    clock = Clock(step_s=1)
    return open_live("-", options or AudioOptions(), pcm=pcm, file=file, clock=clock)


def raw(x: np.ndarray, name: str) -> bytes:
    """Return ``x`` as libsndfile writes raw samples."""
    kind, order = (name[:-2], name[-2:]) if name[-2:] in ("le", "be") else (name, "le")
    file = io.BytesIO()
    endian = "LITTLE" if order == "le" else "BIG"
    soundfile.write(
        file,
        x,
        RATE,
        format="RAW",
        subtype=SUBTYPES[kind],
        endian="FILE" if kind[1:] == "8" else endian,
    )
    return file.getvalue()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_is_read_as_soundfile_reads_it(name: str, channels: int) -> None:
    x = noise(500, channels)
    x[:4] = [[1.0] * channels, [-1.0] * channels, [0.0] * channels, [-0.5] * channels]
    content = raw(x, name)
    kind = name.removesuffix("le").removesuffix("be")
    expected, _ = soundfile.read(
        io.BytesIO(content),
        samplerate=RATE,
        channels=channels,
        format="RAW",
        subtype=SUBTYPES[kind],
        endian="BIG" if name.endswith("be") else "LITTLE",
        dtype="float32",
        always_2d=True,
    )
    decoded = Pcm(RATE, channels, name).decode(content)
    np.testing.assert_array_equal(decoded, expected)
    np.testing.assert_allclose(decoded, x, atol=1.01 / 128 if kind.endswith("8") else 1e-4)
    items = items_of(listen(content, Pcm(RATE, channels, name), AudioOptions(channel=channels)))
    np.testing.assert_array_equal(samples_of(items), expected[:, -1])


@settings(max_examples=60)
@given(
    st.sampled_from(FORMATS),
    st.integers(1, 3),
    st.integers(1, 200),
    st.lists(st.integers(0, 4_000), max_size=30),
    st.integers(0, 5),
)
def test_any_split_of_the_bytes_gives_the_same_samples(
    name: str, channels: int, frames: int, cuts: list[int], extra: int
) -> None:
    pcm = Pcm(RATE, channels, name)
    content = raw(noise(frames, channels), name)
    tail = bytes(min(extra, pcm.frame_bytes - 1))
    whole = content + tail
    places = sorted({min(cut, len(whole)) for cut in cuts})
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    live = listen(Pipe(pieces), pcm)
    items = items_of(live)
    one = listen(content, pcm)
    np.testing.assert_array_equal(samples_of(items), samples_of(items_of(one)))
    assert len(samples_of(items)) == frames
    assert all(len(item.samples) for item in items)
    assert len(live.warnings) == bool(tail)
    assert not one.warnings


def test_a_byte_at_a_time() -> None:
    content = raw(noise(100, 2), "s24le")
    items = items_of(listen(Pipe([bytes([b]) for b in content]), Pcm(RATE, 2, "s24le")))
    assert len(samples_of(items)) == 100
    assert [item.heard_at for item in items] == [1_001 + k for k in range(len(items))]


def test_part_of_a_frame_at_the_end_is_a_warning() -> None:
    live = listen(bytes(4 * 50 + 3), Pcm(RATE, 2))
    assert len(samples_of(items_of(live))) == 50
    assert live.warnings == [
        "the stream ends in the middle of a frame: 3 bytes of 4, not read. Check the format and the"
        " channels."
    ]
    live = listen(bytes(2 * 50 + 1), Pcm(RATE))
    assert len(samples_of(items_of(live))) == 50
    assert "1 byte of 2, not read." in live.warnings[0]


X = noise(RATE)
CONTAINERS = {
    "WAV": encode(X, "WAV"),
    "FLAC": encode(X, "FLAC"),
    "Ogg": encode(X, "OGG", "VORBIS"),
    "AIFF": encode(X, "AIFF"),
    "CAF": encode(X, "CAF"),
    "MP4": encode_ffmpeg(X),
    "Matroska or WebM": encode_ffmpeg(X, "matroska"),
    "MP3": b"ID3\x04" + bytes(100),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_recording_with_a_header_is_refused(name: str) -> None:
    pieces = [bytes([b]) for b in CONTAINERS[name][:100]]
    with pytest.raises(AudioError) as error:
        items_of(listen(Pipe(pieces), Pcm(48_000, 2)))
    assert str(error.value) == (
        f"standard input: has {name} and not raw PCM; give the path of the file, or pipe it"
        " through: ffmpeg -i - -f s16le -ar 48000 -ac 2 -."
    )


@pytest.mark.parametrize("content", [b"", b"\0\0\0"])
def test_no_sound_is_an_error(content: bytes) -> None:
    with pytest.raises(AudioError, match=r"brought \d bytes, and one frame has 4; check the comm"):
        items_of(listen(content, Pcm(RATE, 2)))


def test_a_short_stream_is_read_to_its_end() -> None:
    assert len(samples_of(items_of(listen(bytes(6), Pcm(RATE))))) == 3


@pytest.mark.parametrize(
    ("settings_of", "text"),
    [
        ({"rate_hz": 0}, "is 0 Hz. Give 100 to"),
        ({"rate_hz": RATE, "channels": 0}, "has 0 channels. Give 1 to 64"),
        ({"rate_hz": RATE, "format": "s16"}, "'s16'. Give one of s16le, .* Did you mean 's16"),
    ],
)
def test_wrong_settings_are_refused(settings_of: dict, text: str) -> None:
    with pytest.raises(EarmarkError, match=text):
        Pcm(**settings_of)


def test_a_channel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AudioError, match="has no channel 3, only 2"):
        items_of(listen(bytes(400), Pcm(RATE, 2), AudioOptions(channel=3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_what_is_not_a_number_is_refused_or_zero(bad: float) -> None:
    x = np.full(400, 0.25)
    x[7] = bad
    with pytest.raises(AudioError, match="NaN, infinite or beyond 1e\\+12; check the format"):
        items_of(listen(x.tobytes(), Pcm(RATE, 1, "f64le")))
    live = listen(Pipe([x.tobytes()] * 2), Pcm(RATE, 1, "f64le"), AudioOptions(non_finite="zero"))
    y = samples_of(items_of(live))
    assert np.count_nonzero(y == 0) == 2 and np.count_nonzero(y == 0.25) == 798
    (text,) = live.warnings
    assert text.endswith("were set to zero.")


def test_integers_kept_as_floats_are_scaled_or_a_warning() -> None:
    content = (noise(400) * 32_768).astype("<f4").tobytes()
    live = listen(Pipe([content] * 3), Pcm(RATE, 1, "f32le"))
    items_of(live)
    (text,) = live.warnings
    assert "a full scale of 32768" in text
    live = listen(content, Pcm(RATE, 1, "f32le"), AudioOptions(full_scale=32_768))
    np.testing.assert_array_equal(samples_of(items_of(live)), noise(400)[:, 0])
    assert not live.warnings


@pytest.mark.skipif(os.name != "posix", reason="pipes that do not wait are of POSIX")
@pytest.mark.parametrize("waits", [True, False])
def test_a_pipe_waits_for_a_slow_consumer_and_loses_nothing(waits: bool) -> None:
    source, target = os.pipe()
    os.set_blocking(source, waits)
    x = noise(400_000)  # more than a pipe holds
    content = raw(x, "s16le")

    def write() -> None:
        with open(target, "wb") as file:
            file.write(content)

    writer = threading.Thread(target=write, daemon=True)
    with open(source, "rb") as file:
        live = open_live("-", pcm=Pcm(RATE), file=file)
        first = within_patience(lambda: _first(live, writer))
        assert writer.is_alive()  # the pipe is full
        rest = items_of(live)
    np.testing.assert_array_equal(samples_of([first, *rest])[:, None], Pcm(RATE).decode(content))


def test_what_a_pipe_has_is_heard_at_once() -> None:
    source, target = os.pipe()
    with open(source, "rb") as file, open(target, "wb", buffering=0) as writer:
        live = open_live("-", pcm=Pcm(RATE), file=file)
        for n in (100, 1, 50):  # far less than one read may bring
            writer.write(bytes(2 * n))
            assert len(within_patience(lambda: next(live)).samples) == n


def _first(live: LiveInput, writer: threading.Thread) -> object:
    writer.start()
    return next(live)
