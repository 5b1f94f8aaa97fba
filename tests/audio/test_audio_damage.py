"""Recordings that were cut short, damaged, or made to do harm: read in part, or refused."""

import io
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_files import RATE, encode, encode_ffmpeg, mutated, noise, refusal, wav_that_says
from audio_victim import Victim
from earmark import audio
from earmark.audio import decoder, ffmpeg, stretch
from earmark.audio.options import AudioWarning
from earmark.errors import AudioError, EarmarkError
from shared_data import shared_data

SECONDS = 10
X = noise(SECONDS * RATE)
WHOLE = {
    "wav": lambda: encode(X, "WAV"),
    "wav float": lambda: encode(X, "WAV", "FLOAT"),
    "aiff": lambda: encode(X, "AIFF"),
    "au": lambda: encode(X, "AU"),
    "w64": lambda: encode(X, "W64"),
    "rf64": lambda: encode(X, "RF64"),
    "flac": lambda: encode(X, "FLAC"),
    "mp3": lambda: encode(X, "MP3", "MPEG_LAYER_III"),
    "mkv": lambda: encode_ffmpeg(X, "matroska"),
    "tta": lambda: encode_ffmpeg(X, "tta", "tta"),
    "wv": lambda: encode_ffmpeg(X, "wv", "wavpack"),
}
NO_LENGTH = {  # nothing in these files says how long they are
    "ogg": lambda: encode(X, "OGG", "VORBIS"),
    "opus": lambda: encode(X, "OGG", "OPUS"),
    "adts": lambda: encode_ffmpeg(X, "adts"),
    "mpegts": lambda: encode_ffmpeg(X, "mpegts"),
}


@pytest.mark.parametrize("make", [*WHOLE.values(), *NO_LENGTH.values()], ids=[*WHOLE, *NO_LENGTH])
def test_a_whole_recording_gives_no_warning(make: Callable[[], bytes]) -> None:
    sound = audio.read(make())
    assert len(sound.samples) == pytest.approx(len(X), abs=0.15 * RATE)
    assert not sound.warnings


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_what_was_cut_short_is_read_as_far_as_it_goes(make: Callable[[], bytes]) -> None:
    content = make()
    whole = audio.read(content).samples
    sound = audio.read(content[: len(content) * 6 // 10])
    got_s = len(sound.samples) / RATE
    assert 3.9 < got_s < 6.5  # a block of WavPack holds 4 s
    np.testing.assert_allclose(sound.samples[:-2000], whole[: len(sound.samples) - 2000], atol=1e-4)
    (text,) = sound.warnings
    assert text.startswith(f"cut short or damaged after {got_s:.2f} s (")
    missing_s, whole_s = (float(word) for word in text.split("; ")[1].split() if word[0].isdigit())
    assert text.endswith(" are missing.")
    assert whole_s == pytest.approx(SECONDS, abs=0.15)
    assert missing_s == pytest.approx(whole_s - got_s, abs=0.011)


@pytest.mark.parametrize("make", NO_LENGTH.values(), ids=NO_LENGTH)
def test_without_a_length_the_warning_says_so(make: Callable[[], bytes]) -> None:
    content = make()
    for share in (0.6, 0.99):
        sound = audio.read(content[: int(len(content) * share)])
        got_s = len(sound.samples) / RATE
        assert 10 * share - 1.1 < got_s < 10 * share + 0.5  # a page of Ogg Opus holds a second
        (text,) = sound.warnings
        assert text.startswith(f"cut short or damaged after {got_s:.2f} s (")
        assert text.endswith("; the rest is missing.")


@pytest.mark.parametrize("segments", [1, 16, 40, 255])
def test_the_end_of_an_ogg_file_is_found_however_long_its_last_page(segments: int) -> None:
    first = b"OggS" + bytes([0, 2, *bytes(20), 1, 255]) + bytes(255)
    last = b"OggS" + bytes([0, 4, *bytes(20), segments, *[255] * segments]) + bytes(255 * segments)
    assert not decoder.is_cut_ogg(io.BytesIO(first + last))
    assert decoder.is_cut_ogg(io.BytesIO(first + last[:-1]))
    assert decoder.is_cut_ogg(io.BytesIO(first))


def test_nothing_is_taken_from_behind_the_damage() -> None:
    content = bytearray(encode(X, "FLAC"))
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)  # FFmpeg would step over it
    sound = audio.read(bytes(content))
    before = audio.read(encode(X, "FLAC")).samples[: len(sound.samples)]
    np.testing.assert_array_equal(sound.samples, before)
    assert len(sound.samples) > 4.5 * RATE
    (text,) = sound.warnings
    assert text.startswith("cut short or damaged after 4.85 s (flac decoder lost sync); 5.15 s of")


def test_stretches_before_across_and_behind_the_damage() -> None:
    content = encode(X, "FLAC")
    content = content[: len(content) // 2]
    assert not audio.read(content, None, 1.0, 4.0).warnings
    across = audio.read(content, None, 4.0, 6.0)
    assert len(across.samples) == round(0.848 * RATE)
    assert across.warnings == (
        "cut short or damaged after 4.85 s (flac decoder lost sync); 1.15 s of 6.00 s are missing.",
    )
    assert "cannot be read: damaged after" in refusal(content, 6.0, 7.0)
    wav = encode(X, "WAV")[: 2 * 4 * RATE]
    assert len(audio.read(wav, None, 3.0, 5.0).warnings) == 1
    assert "the stretch from 5 s to 6 s is not inside the recording, which has 3.999 s" in refusal(
        wav, 5.0, 6.0
    )


def test_without_its_index_nothing_can_be_read() -> None:
    content = encode_ffmpeg(X)  # MP4 has it at the end
    assert "cannot be read: not audio in a known format" in refusal(content[: len(content) // 2])


def test_load_and_decode_warn_as_python_does() -> None:
    cut = encode(X, "WAV")[:-4_800]
    for read in (audio.decode, lambda source, **name: audio.load(source, RATE, **name)):
        with pytest.warns(AudioWarning, match=r"^x\.wav: cut short .*; 0\.15 s of 10\.00 s are"):
            read(cut, name="x.wav")


@pytest.mark.parametrize("data_bytes", [0, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF - 36])
def test_a_header_that_was_never_finished_is_no_damage(data_bytes: int) -> None:
    sound = audio.read(wav_that_says(data_bytes, X))
    assert len(sound.samples) == len(X)
    assert not sound.warnings


# Limits


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_limits_can_be_set(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(X, kind)
    monkeypatch.setenv("EARMARK_MAX_SECONDS", "5")
    assert "longer than 5 s, the most that EARMARK_MAX_SECONDS allows; use str" in refusal(content)
    assert "longer than 5 s" in refusal(content, 1.0, 6.5)
    assert len(audio.decode(content, 1.0, 6.0)[0]) == 5 * RATE
    monkeypatch.setenv("EARMARK_MAX_SECONDS", "20")
    monkeypatch.setenv("EARMARK_MAX_BYTES", str(4 * RATE * 2))
    assert "longer than 2 s, the most that EARMARK_MAX_BYTES allows; use str" in refusal(content)
    assert len(audio.load(content, RATE // 2, 1.0, 3.0)) == RATE
    with pytest.raises(AudioError, match="longer than 1 s, the most that EARMARK_MAX_BYTES"):
        audio.load(content, 2 * RATE, 1.0, 3.0)  # it counts at the higher rate
    monkeypatch.setenv("EARMARK_MAX_BYTES", "lots")
    with pytest.raises(
        EarmarkError, match="EARMARK_MAX_BYTES is 'lots'. Set it to a number above 0"
    ):
        audio.decode(content)


def test_the_docs_have_the_limits() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"| `EARMARK_MAX_SECONDS` | the length of one clip | {stretch.MAX_SECONDS:.0f} " in page
    assert f"| {stretch.MAX_BYTES}: 6.2 h at 48 kHz |" in page
    assert pytest.approx(6.2, abs=0.02) == stretch.MAX_BYTES / 4 / 48_000 / 3_600


def test_a_limit_holds_where_no_header_tells_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_MAX_SECONDS", "3")
    content = encode_ffmpeg(X, "adts")
    assert "longer than 3 s, the most that EARMARK_MAX_SECONDS allows" in refusal(content)
    assert len(audio.decode(content, 1.0, 4.0)[0]) == 3 * RATE


# Files that would have others opened


@pytest.mark.parametrize(
    "content",
    [
        b"ffconcat version 1.0\nfile secret.wav\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_playlists_and_sessions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "secret.wav").write_bytes(encode(X, "WAV"))
    monkeypatch.chdir(tmp_path)
    start = time.perf_counter()
    assert "cannot be read: not audio in a known format" in refusal(content)
    assert time.perf_counter() - start < 5  # a session description had FFmpeg listen for 15 s


# Mutations


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    victim = Victim()
    yield victim
    victim.close()


def seeds() -> dict[str, bytes]:
    """Return small files of every kind of decoder."""
    x = noise(RATE // 2, 2)
    formats = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610")]
    formats += [("AIFF", "PCM_24"), ("AU", "ULAW"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16")]
    formats += [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("VOC", "PCM_16")]
    formats += [("NIST", "PCM_16"), ("MAT5", "FLOAT"), ("W64", "MS_ADPCM"), ("RF64", "PCM_16")]
    made = {" ".join(f): encode(x[:, :1] if f[1] == "GSM610" else x, *f) for f in formats}
    mixed = [("mp4", "aac"), ("matroska", "aac"), ("adts", "aac"), ("mpegts", "aac")]
    mixed += [("tta", "tta"), ("wv", "wavpack"), ("avi", "mp3"), ("ac3", "ac3"), ("asf", "mp3")]
    made |= {" ".join(f): encode_ffmpeg(x, *f, 48_000) for f in mixed}
    return made | {"webm libopus": encode_ffmpeg(x, "webm", "libopus", 48_000)}


SEEDS = seeds()


@pytest.mark.slow
def test_no_file_of_a_mutated_corpus_crashes_or_hangs(victim: Victim, tmp_path: Path) -> None:
    path = tmp_path / "mutated"
    outcomes: Counter[str] = Counter()
    for number in range(600):
        dice = random.Random(number)
        kind = dice.choice(sorted(SEEDS))
        path.write_bytes(mutated(SEEDS[kind], dice))
        answer = victim.decode(str(path))
        assert answer in ("read", "refused"), (number, kind, answer)
        outcomes[answer] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 100  # else they were not worth the time


def test_ffmpeg_is_told_that_a_place_does_not_exist_and_pyav_prints_nothing(capfd) -> None:
    file = ffmpeg._Unfailing(io.BytesIO(b"1234"))
    assert [file.seek(at) for at in (2, -3, 1 << 70)] == [2, -1, -1] and file.tell() == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_no_mutated_oddity_crashes_or_hangs(victim: Victim, tmp_path: Path) -> None:
    odd = [p for p in sorted(shared_data("oddities").glob("*/*")) if p.stat().st_size]
    for number in range(400):
        dice = random.Random(number)
        source = dice.choice(odd)
        (tmp_path / "mutated").write_bytes(mutated(source.read_bytes()[:200_000], dice))
        answer = victim.decode(str(tmp_path / "mutated"))
        assert answer in ("read", "refused"), (number, source, answer)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(SEEDS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=8),
    kept=st.floats(0.01, 1),
)
def test_no_file_that_hypothesis_makes_crashes_or_hangs(
    victim: Victim,
    tmp_path: Path,
    kind: str,
    changes: list[tuple[float, bytes]],
    kept: float,
) -> None:
    content = bytearray(SEEDS[kind])
    for where, what in changes:
        at = int(where**3 * (len(content) - 1))  # cubed: most of them in the header
        content[at : at + len(what)] = what
    (tmp_path / "made").write_bytes(bytes(content[: max(1, int(kept * len(content)))]))
    assert victim.decode(str(tmp_path / "made")) in ("read", "refused")


def test_a_crash_and_a_hang_would_be_seen(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import audio_victim

    victim.decode("none")
    process = victim._process
    assert process is not None
    process.kill()
    process.wait()
    assert victim.decode("none").startswith("crashed (-")
    assert victim.decode("none") == "refused"
    monkeypatch.setattr(audio_victim, "PATIENCE_S", 0.2)
    fifo = tmp_path / "says\nnothing"  # half a line: the answer never comes in time
    assert victim.decode(str(fifo)) in ("refused", "hung")


def test_garbage_is_refused_or_read() -> None:
    dice, texts = random.Random(0), []
    for _ in range(200):
        try:
            audio.read(dice.randbytes(dice.randrange(1, 5_000)))
        except AudioError as error:
            texts.append(str(error))
    assert len(texts) > 190  # a few begin like MPEG
    assert all("cannot be read" in text or "has no samples" in text for text in texts)


@pytest.mark.slow
def test_millions_of_empty_chunks_are_not_walked():
    x = noise(1_600)
    crumbs = 20_000 * b"junk\0\0\0\0"
    wav, mp4 = encode(x, "WAV"), encode_ffmpeg(x)
    for content in (wav[:12] + crumbs + wav[12:], mp4[:28] + 20_000 * b"\0\0\0\x08free" + mp4[28:]):
        assert "10,000 chunks" in refusal(content)
    silence = np.zeros((700 * RATE, 1), np.float32)
    options = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
    fragments = encode_ffmpeg(silence, options=options)  # two chunks for each frame
    assert fragments.count(b"moof") > 10_000
    assert len(audio.load(fragments, RATE)) >= len(silence)


def test_more_streams_in_a_row_than_functions_may_call_each_other():
    part = encode(noise(16), "MAT4")
    assert len(audio.load(part * 1_500, RATE)) == 16 * 1_500
