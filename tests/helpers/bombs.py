"""Recordings that lie, that are long in few bytes, or that name other files: none may be 200.

Each function returns the bytes of one; ``BOMBS`` has them all by name.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np

from audio_files import encode, encode_ffmpeg, flac_that_says, noise

LONG_S = 120  # of silence, in few kilobytes; the service of the tests takes 10 s
SECRET = "/etc/passwd"
BOMBS: dict[str, Callable[[], bytes]] = {}


def bomb(name: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Add a function to the bombs."""

    def add(make: Callable[[], bytes]) -> Callable[[], bytes]:
        BOMBS[name] = make
        return make

    return add


def fmt(channels: int = 1, rate_hz: int = 8_000, bits: int = 16, kind: int = 1) -> bytes:
    block = channels * bits // 8
    values = kind, channels, rate_hz, rate_hz * block & 0xFFFFFFFF, block & 0xFFFF, bits
    return b"fmt " + struct.pack("<IHHIIHH", 16, *values)


def wav(*chunks: bytes, data: int | None = None, sound: bytes = bytes(3_200)) -> bytes:
    size = len(sound) if data is None else data
    body = b"WAVE" + b"".join(chunks) + b"data" + struct.pack("<I", size) + sound
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body


def rf64(riff: int, data: int, samples: int) -> bytes:
    sizes = b"ds64" + struct.pack("<IQQQI", 28, riff, data, samples, 0)
    sound = b"data" + struct.pack("<I", 2**32 - 1) + bytes(3_200)
    return b"RF64\xff\xff\xff\xffWAVE" + sizes + fmt() + sound


def aiff(channels: int = 1, frames: int = 1_600, rate: bytes = b"\x40\x0b\xfa" + bytes(7)) -> bytes:
    comm = b"COMM" + struct.pack(">IhIh", 18, channels, frames, 16) + rate
    sound = b"SSND" + struct.pack(">III", 3_208, 0, 0) + bytes(3_200)
    return b"FORM" + struct.pack(">I", 4 + len(comm) + len(sound)) + b"AIFF" + comm + sound


def au(offset: int = 24, size: int = 3_200, kind: int = 3, rate: int = 8_000, channels: int = 1):
    return b".snd" + struct.pack(">5I", offset, size, kind, rate, channels) + bytes(3_200)


def caf(rate: float = 8_000.0, channels: int = 1, data: int = 3_204, bits: int = 16) -> bytes:
    block = channels * bits // 8 & 0xFFFFFFFF
    desc = struct.pack(">d4sIIIII", rate, b"lpcm", 0, block, 1, channels, bits)
    head = b"caff\0\1\0\0desc" + struct.pack(">q", 32) + desc
    return head + b"data" + struct.pack(">qI", data, 0) + bytes(3_200)


def silence(seconds: float = LONG_S, rate_hz: int = 16_000) -> np.ndarray:
    return np.zeros((round(seconds * rate_hz), 1), np.float32)


FTYP = b"\0\0\0\x10ftypisom\0\0\0\0"


def nested_boxes(n: int) -> bytes:
    kinds = [b"moov", *(n - 1) * [b"trak"]]
    return b"".join(struct.pack(">I4s", 8 * (n - k), kind) for k, kind in enumerate(kinds))


LYING = {
    "wav: 65,535 channels": lambda: wav(fmt(channels=65_535)),
    "wav: no channels": lambda: wav(fmt(channels=0)),
    "wav: 4 GHz": lambda: wav(fmt(rate_hz=4_000_000_000)),
    "wav: 0 Hz": lambda: wav(fmt(rate_hz=0)),
    "wav: 1 Hz": lambda: wav(fmt(rate_hz=1)),
    "wav: 255 bits": lambda: wav(fmt(bits=255)),
    "wav: a codec that is none": lambda: wav(fmt(kind=0xABCD)),
    "wav: no format": lambda: wav(),
    "wav: no sound": lambda: wav(fmt(), sound=b""),
    "wav: a chunk of 4 GB": lambda: wav(b"junk\xff\xff\xff\xff", fmt()),
    "wav: 20,000 empty chunks": lambda: wav(20_000 * b"junk\0\0\0\0"),
    "wav: NaN": lambda: wav(fmt(bits=32, kind=3), sound=400 * b"\xff\xff\xff\x7f"),
    "wav: only a head": lambda: b"RIFF\xff\xff\xff\xffWAVE",
    "rf64: no format": lambda: rf64(2**63, 2**63, 2**63).replace(b"fmt ", b"junk"),
    "aiff: 32,767 channels": lambda: aiff(channels=32_767),
    "aiff: -1 channels": lambda: aiff(channels=-1),
    "aiff: endless rate": lambda: aiff(rate=b"\x7f\xff" + bytes(8)),
    "aiff: huge rate": lambda: aiff(rate=b"\x40\x3e" + 8 * b"\xff"),
    "au: 2**32 - 1 channels": lambda: au(channels=2**32 - 1),
    "au: 2**32 - 1 Hz": lambda: au(rate=2**32 - 1),
    "caf: 2**32 - 1 channels": lambda: caf(channels=2**32 - 1),
    "caf: NaN Hz": lambda: caf(rate=float("nan")),
    "caf: 1e300 Hz": lambda: caf(rate=1e300),
    "w64: zeros": lambda: encode(noise(1_600), "W64")[:40] + bytes(3_000),
    "flac: only a header": lambda: flac_that_says(2**36 - 1, noise(1_600))[:42],
    "flac: 16 MB of tags in 60 bytes": lambda: b"fLaC\x04\xff\xff\xff" + 52 * b"\xff",
    "ogg: only a page": lambda: b"OggS\0\2" + bytes(20) + b"\1\xff" + 255 * b"v",
    "mkv: an element of 2**56 bytes": lambda: bytes.fromhex("1a45dfa301ffffffffffffff") + bytes(99),
    "mkv: 10,000 nested": lambda: bytes.fromhex("1a45dfa3") + 10_000 * bytes.fromhex("1853806701"),
    "mp4: 10,000 nested": lambda: FTYP + nested_boxes(10_000),
    "mp4: a box of 2**63 bytes": lambda: FTYP + b"\0\0\0\1moov\x7f" + 7 * b"\xff",
    "mp4: 2**32 - 1 samples": lambda: many_samples(),
    "mp3: 256 MB of tags": lambda: b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(1_000),
    "mp3: 30,000 tags": lambda: 12_000 * b"ID3\4\0\0\0\0\0\0",
    "wavpack: 2**32 - 1 samples": lambda: b"wvpk" + struct.pack("<IHBBIIII", 24, 0x410, 0, 0,
        2**32 - 2, 0, 2**32 - 1, 0) + bytes(4),
    "tta: 2**32 - 1 samples": lambda: b"TTA1" + struct.pack("<HHHIII", 1, 65_535, 16, 8_000,
        2**32 - 1, 0),
    "nothing": lambda: b"\0",
    "zeros": lambda: bytes(100_000),
    "text": lambda: 5_000 * b"sound ",
}  # fmt: skip
BOMBS.update(LYING)


def many_samples() -> bytes:
    content = bytearray(encode_ffmpeg(noise(16_000)))
    at = content.index(b"stsz") + 12  # its number of samples
    content[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(content).replace(b"mdat", b"free")


@bomb("flac: silence")
def flac() -> bytes:
    return encode(silence(20 * LONG_S, 8_000), "FLAC", rate_hz=8_000)


@bomb("flac: silence of unknown length")
def flac_unknown() -> bytes:
    content = bytearray(encode(silence(), "FLAC"))
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])
    return bytes(content)


SNDFILE = {"OGG": ("VORBIS", "OPUS"), "MP3": ("MPEG_LAYER_III",), "CAF": ("ALAC_16",)}
for kind, subtypes in SNDFILE.items():
    for subtype in subtypes:
        BOMBS[f"{kind.lower()}: {subtype.lower()}, silence"] = lambda kind=kind, subtype=subtype: (
            encode(silence(30), kind, subtype)
        )
FFMPEG = {
    "mp4": "aac", "adts": "aac", "mpegts": "aac", "matroska": "libopus", "webm": "libopus",
    "wv": "wavpack", "tta": "tta",
}  # fmt: skip
for kind, codec in FFMPEG.items():
    rate_hz = 48_000 if codec == "libopus" else 16_000
    BOMBS[f"{kind}: {codec}, silence"] = lambda kind=kind, codec=codec, rate_hz=rate_hz: (
        encode_ffmpeg(silence(15, rate_hz), kind, codec, rate_hz)
    )


@bomb("ogg: 900 streams in a row")
def chained() -> bytes:
    part = encode(silence(0.2, 8_000), "OGG", "VORBIS", 8_000)
    return part * min(900, 190_000 // len(part))


@bomb("mp3: silence in one frame again and again")
def mp3_frames() -> bytes:
    return (b"\xff\xfb\x10\xc4" + bytes(100)) * 1_900


# What names other files, and archives
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n"
PLAYLISTS = {
    "hls of a file": f"{HLS}file://{SECRET}\n#EXT-X-ENDLIST\n",
    "hls of a host": f"{HLS}http://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "hls with a key": f'{HLS}x.ts\n#EXT-X-KEY:METHOD=AES-128,URI="file://{SECRET}"\n',
    "m3u": f"#EXTM3U\n{SECRET}\n",
    "pls": f"[playlist]\nFile1={SECRET}\nNumberOfEntries=1\n",
    "ffconcat": f"ffconcat version 1.0\nfile {SECRET}\n",
    "ffconcat of a host": "ffconcat version 1.0\nfile http://127.0.0.1:9/x.wav\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "dash": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
            f'<Representation id="1"><BaseURL>file://{SECRET}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>",
    "xml": f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file://{SECRET}">]><a>&b;</a>',
    "path": SECRET,
    "url": "http://127.0.0.1:9/x.wav",
    "script": "#!/bin/sh\ncat /etc/passwd\n",
}  # fmt: skip
BOMBS.update({name: lambda text=text: text.encode() for name, text in PLAYLISTS.items()})


@bomb("gzip")
def gzipped() -> bytes:
    return gzip.compress(encode(noise(8_000), "WAV"))


@bomb("gzip of 50 MB")
def gzip_of_zeros() -> bytes:
    return gzip.compress(bytes(50_000_000))


@bomb("zip")
def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../x.wav", encode(noise(8_000), "WAV"))
    return file.getvalue()


@bomb("tar with a link")
def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("x.wav")
        link.type, link.linkname = tarfile.SYMTYPE, SECRET
        archive.addfile(link)
    return file.getvalue()


def cut_recordings() -> dict[str, bytes]:
    """Recordings whose header promises more than there is: the rest is read, with a warning."""
    x = noise(16_000)
    return {
        "wav: 4 GB": wav(fmt(), data=2**32 - 1),
        "rf64: 2**62 bytes": rf64(2**62, 2**62, 2**62),
        "aiff: 2**32 - 1 frames": aiff(frames=2**32 - 1),
        "au: sound beyond the end": au(offset=2**32 - 1),
        "au: 4 GB": au(size=2**32 - 2),
        "caf: 2**62 bytes": caf(data=2**62),
        "flac: 120 s, and says 1 s": flac_that_says(16_000, silence()),
        "flac: 2**36 - 1 frames": flac_that_says(2**36 - 1, x),
    }
