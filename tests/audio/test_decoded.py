"""A recording that another process has decoded reads like the recording itself."""

import json

import numpy as np
import pytest

from audio_files import encode, encode_ffmpeg, noise
from earmark.audio.decoded import DecodedSource
from earmark.audio.options import AudioOptions
from earmark.audio.reading import decode_ahead, decoder_version, header_of, read
from earmark.audio.source import BytesSource
from earmark.errors import AudioError

X = noise(48_000)
NAN = np.where(np.arange(len(X))[:, None] == 7, np.nan, X)
RECORDINGS = {
    "wav": encode(X, "WAV"),
    "cut wav": encode(X, "WAV")[:-9_001],
    "float": encode(X, "WAV", "FLOAT"),
    "loud": encode(40_000 * X, "WAV", "FLOAT"),
    "not a number": encode(NAN, "WAV", "FLOAT"),
    "flac": encode(X, "FLAC"),
    "cut flac": encode(X, "FLAC")[:-9_001],
    "cut mp3": encode(X, "MP3", "MPEG_LAYER_III")[:-3_001],
    "two oggs": 2 * encode(X, "OGG", "VORBIS"),
    "mp4": encode_ffmpeg(X),
    "bytes after the end": encode(X, "WAV") + b"unread bytes",
}
OPTIONS = (AudioOptions(), AudioOptions(channel=1, non_finite="zero", full_scale=32_768))


def other_side(content: bytes, **limits: float) -> DecodedSource:
    """Return a recording as another process receives it."""
    values = {"most_s": 100.0, "most_bytes": 2**28, **limits}
    value, samples = decode_ahead(content, **values, name="x").pack()
    return DecodedSource.unpack(json.dumps(value), samples)


def outcome(source: BytesSource | DecodedSource, rate_hz: int | None, options: AudioOptions):
    """Return what `read` returns, or why it refuses."""
    try:
        sound = read(source, rate_hz, options=options)
    except AudioError as error:
        return error.args
    return sound.samples, sound.warnings, sound.notes


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_samples_and_warnings_are_the_same(name):
    content = RECORDINGS[name]
    direct, decoded = BytesSource(content, "x"), other_side(content)
    assert (decoded.version, decoded.name) == (direct.version, "x")
    assert decoder_version(decoded) == decoder_version(direct)
    assert header_of(decoded) == header_of(direct)
    for rate_hz in (None, 16_000, 32_000):
        for options in OPTIONS:
            expected = outcome(direct, rate_hz, options)
            assert all(map(np.array_equal, outcome(decoded, rate_hz, options), expected))
    assert decoded.size > 0 and decoded.seconds > 0.5


def test_what_cannot_be_read_is_refused_as_by_read():
    for content in (b"", b"no sound", encode(X, "FLAC")[:60]):
        with pytest.raises(AudioError) as expected:
            read(BytesSource(content, "x"))
        with pytest.raises(AudioError) as error:
            read(other_side(content))
        assert error.value.args == expected.value.args


@pytest.mark.parametrize("limits", [{"most_s": 0.5}, {"most_bytes": 50_000}])
@pytest.mark.parametrize("name", ["wav", "flac", "two oggs"])
def test_a_recording_that_is_too_long_is_refused(name, limits):
    with pytest.raises(AudioError, match="longer than") as error:
        other_side(RECORDINGS[name], **limits)
    assert error.value.kind == "length"


def test_a_message_that_does_not_fit_is_refused():
    value, samples = decode_ahead(RECORDINGS["wav"], 100.0, 2**28).pack()
    with pytest.raises(ValueError, match="frames"):
        DecodedSource.unpack(json.dumps(value), samples[:-400])
    with pytest.raises(ValueError, match="buffer size"):
        DecodedSource.unpack(json.dumps(value), samples[:-1])
