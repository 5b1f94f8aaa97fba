"""Sound from URLs: stations on the loopback that end, break, stall, change, and do harm."""

import io
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from audio_files import RATE, encode, encode_ffmpeg, noise
from earmark import audio
from earmark.audio import open_live, url
from earmark.audio.live import Gap, LiveBlock
from earmark.audio.mixing import Mixer
from earmark.audio.options import AudioOptions
from live_camera import Camera
from live_sound import PATIENCE_S, Clock, Station, gaps_of, items_and_error, items_of, samples_of

X = noise(2 * RATE, 2)
WAV = encode(X, "WAV")
MP3 = encode(noise(4 * RATE), "MP3", "MPEG_LAYER_III")
OTHER_MP3 = encode(noise(4 * 44_100, 2), "MP3", "MPEG_LAYER_III", 44_100)
SEGMENT = encode_ffmpeg(noise(4 * RATE), "mpegts")


@pytest.fixture
def station() -> Iterator[Station]:
    with Station() as station:
        yield station


def listen(address: str, retries: int | None = 3, options: AudioOptions | None = None, **named):
    clock = named.pop("clock", None) or Clock()
    return open_live(
        address,
        options or AudioOptions(),
        retries=retries,
        clock=clock,
        sleep=clock.sleep,
        **named,
    )


def problem(address: str, **named) -> str:
    return items_and_error(listen(address, **named))[1]


@pytest.mark.parametrize("channel", [None, 2])
def test_a_finite_file_is_read_once_and_ends(station: Station, channel: int | None) -> None:
    station.answers = {"/a.wav": [(WAV, "whole")]}
    options = AudioOptions(channel=channel)
    items = items_of(listen(station.url + "/a.wav", 0, options))
    np.testing.assert_array_equal(samples_of(items), audio.read(WAV, options=options).samples)
    assert not gaps_of(items)
    assert station.asked == ["/a.wav"]


def test_an_endless_stream_connects_again_whenever_it_ends(station: Station) -> None:
    station.answers = {"/radio": [(MP3, "live"), (MP3, "live"), 404]}
    clock = Clock()
    items, text = items_and_error(listen(station.url + "/radio", 4, clock=clock))
    assert "Server returned 404 Not Found (5 connections in a row failed)" in text
    assert clock.sleeps == [1, 2, 4, 8]
    reasons = [gap.reason for gap in gaps_of(items)]
    assert reasons == [
        "the server ended the stream; connecting again in 1 s",
        "connected again after this: the server ended the stream",
        "the server ended the stream; connecting again in 2 s",
        "Server returned 404 Not Found; connecting again in 4 s",
        "Server returned 404 Not Found; connecting again in 8 s",
    ]
    assert [gap.lost_s for gap in gaps_of(items)] == [0, 1, 0, 2, 4]
    assert len(samples_of(items)) == pytest.approx(8 * RATE, abs=2_500)


def test_a_stream_may_come_back_with_another_rate(station: Station) -> None:
    station.answers = {"/radio": [(MP3, "live"), (OTHER_MP3, "live"), 503]}
    items, _ = items_and_error(listen(station.url + "/radio", 1))
    blocks = [item for item in items if isinstance(item, LiveBlock)]
    rates = [rate for rate, _ in itertools.groupby(item.rate_hz for item in blocks)]
    assert rates == [RATE, 44_100]
    changes = [k for k, item in enumerate(items) if isinstance(item, Gap)]
    assert items[changes[0] - 1].rate_hz == RATE and items[changes[1] + 1].rate_hz == 44_100


def test_the_rate_may_change_inside_a_stream(station: Station) -> None:
    station.answers = {"/radio": [(MP3 + OTHER_MP3, "live"), 503]}
    items, _ = items_and_error(listen(station.url + "/radio", 0))
    blocks = [item for item in items if isinstance(item, LiveBlock)]
    assert {item.rate_hz for item in blocks} == {RATE, 44_100}
    for rate in (RATE, 44_100):
        seconds = sum(item.seconds for item in blocks if item.rate_hz == rate)
        assert seconds == pytest.approx(4, abs=0.3)


def test_a_finite_file_that_breaks_goes_on_where_it_broke(station: Station) -> None:
    station.answers = {"/a.wav": [(WAV, "cut"), 503, (WAV, "cut"), (WAV, "whole")]}
    items = items_of(listen(station.url + "/a.wav"))
    np.testing.assert_array_equal(samples_of(items), audio.read(WAV).samples)
    assert sum(gap.lost_s for gap in gaps_of(items)) == 0
    assert gaps_of(items)[0].reason == "the connection broke; connecting again in 1 s"


@pytest.mark.parametrize("silence", [0, RATE // 2])
def test_a_live_station_that_states_a_length_is_not_skipped(station: Station, silence: int) -> None:
    sounds = [noise(RATE, seed=seed) for seed in range(3)]
    for sound in sounds:
        sound[:silence] = 0
    one, two, three = (encode(sound, "WAV") for sound in sounds)
    station.answers = {"/a.wav": [(one, "cut"), (two, "cut"), (three, "whole")]}
    items = items_of(listen(station.url + "/a.wav"))
    samples, expected = samples_of(items), audio.read(three).samples
    np.testing.assert_array_equal(samples[-RATE + silence :], expected[silence:])
    assert len(samples) == pytest.approx(2 * RATE - 2 * silence, abs=3_000)
    assert sum(gap.lost_s for gap in gaps_of(items)) == (
        3 if not silence else pytest.approx(3, abs=3)
    )


def test_a_live_playlist_that_gets_an_end_is_over(station: Station) -> None:
    live = playlist("#EXTINF:0.3,", "/1.ts").replace(b"#EXT-X-ENDLIST\n", b"")
    live = live.replace(b"DURATION:4", b"DURATION:1")
    whole = playlist("#EXTINF:4,", "/1.ts", "#EXTINF:4,", "/2.ts")
    station.answers = {
        "/a.m3u8": [(live, "whole"), (whole, "whole")],
        "/1.ts": [(SEGMENT, "whole")],
        "/2.ts": [(SEGMENT, "whole")],
    }
    items = items_of(listen(station.url + "/a.m3u8"))
    assert len(samples_of(items)) == pytest.approx(8 * RATE, rel=0.05)
    assert [gap.lost_s for gap in gaps_of(items)] == [0]


def test_pauses_double_up_to_a_minute_and_a_steady_stream_resets_them(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url, "STEADY_S", 3.0)
    station.answers = {"/radio": [(MP3, "live"), *[503] * 8, (MP3, "live"), 503]}
    clock = Clock()
    problem(station.url + "/radio", retries=9, clock=clock)
    assert clock.sleeps[:10] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 1]


def test_a_stream_that_stalls_is_left_after_the_time_limit(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url, "SILENT_S", 0.2)
    station.answers = {"/radio": [(MP3, "stall"), (MP3, "stall"), 503]}
    items, _ = items_and_error(listen(station.url + "/radio", 1))
    assert (
        gaps_of(items)[0].reason == "the server sent nothing for too long; connecting again in 1 s"
    )
    assert (
        gaps_of(items)[1].reason
        == "connected again after this: the server sent nothing for too long"
    )


def test_pictures_without_sound_count_as_silence(station: Station) -> None:
    station.answers = {"/film": [(film(seconds=1, pictures=400), "live")]}
    items, text = items_and_error(listen(station.url + "/film", 0, clock=Clock(step_s=0.05)))
    assert "no sound came for 10 s (1 connection in a row failed)" in text
    assert len(samples_of(items)) == pytest.approx(RATE, rel=0.2)


def test_a_damaged_packet_is_a_gap(station: Station) -> None:
    content = bytearray(encode_ffmpeg(noise(4 * RATE), "matroska", "libmp3lame"))
    with av.open(io.BytesIO(content)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    packet = packets[len(packets) // 2]
    at = content.index(bytes(packet))
    content[at : at + packet.size] = b"Z" * packet.size
    station.answers = {"/radio": [(bytes(content), "live"), 503]}
    items, _ = items_and_error(listen(station.url + "/radio", 0))
    (gap,) = gaps_of(items)
    assert gap.reason == "1 packet damaged" and gap.lost_s == pytest.approx(0.036, abs=0.001)


PROBLEMS = {
    "404": (404, "cannot be opened: the server has no such address (404); check the URL."),
    "401": (401, "Server returned 401 Unauthorized (authorization failed); give the user"),
    "403": (403, "Server returned 403 Forbidden (access denied); give the user and the password"),
    "page": ((b"<html>Welcome</html>" * 100, "whole"), "sends no sound in a known format"),
    "empty": ((b"", "whole"), "sends no sound in a known format"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_cannot_mend_is_told_at_once(station: Station, name: str) -> None:
    answer, text = PROBLEMS[name]
    station.answers = {"/radio": [answer]}
    clock = Clock()
    address = station.url.replace("//", "//user:word@") + "/radio?key=1"
    sentence = problem(address, clock=clock)
    assert text in sentence and not clock.sleeps
    assert "word@" not in sentence and "key=" not in sentence


def film(seconds: int, pictures: int) -> bytes:
    """Return a film with sound at its beginning, or none."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        video = container.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("mp2", rate=RATE, layout="mono") if seconds else None
        frame = av.AudioFrame(format="s16", layout="mono", samples=seconds * RATE)
        frame.sample_rate = RATE
        packets = [*sound.encode(frame), *sound.encode(None)] if sound else []
        for _ in range(pictures):
            packets += video.encode(av.VideoFrame(32, 32, "yuv420p"))
        for packet in [*packets, *video.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def test_a_film_without_sound_is_told_at_once(station: Station) -> None:
    station.answers = {"/film": [(film(seconds=0, pictures=9), "whole")]}
    assert "the server sends no audio stream; check the URL" in problem(station.url + "/film")


def test_an_unknown_host_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    text = problem("http://no-such-host.invalid/radio")
    assert text == (
        "http://no-such-host.invalid/radio: cannot be opened: the host is unknown; check the URL"
        " and the network."
    )


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp"])
def test_a_server_that_is_down_is_tried_again(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clock = Clock()
    text = problem(f"{scheme}://127.0.0.1:{port}/x", retries=2, clock=clock)
    assert "Connection refused (3 connections in a row failed)" in text
    assert clock.sleeps == [1, 2]


def test_a_channel_that_does_not_exist_ends_the_stream(station: Station) -> None:
    station.answers = {"/a.wav": [(WAV, "whole")]}
    text = problem(station.url + "/a.wav", options=AudioOptions(channel=3))
    assert "has no channel 3, only 2" in text


def playlist(*lines: str) -> bytes:
    return "\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:4", *lines, "#EXT-X-ENDLIST", ""]).encode()


def test_a_finite_playlist_is_read_to_its_end(station: Station) -> None:
    station.answers = {
        "/a.m3u8": [(playlist("#EXTINF:4,", "/1.ts", "#EXTINF:4,", "/2.ts"), "whole")],
        "/1.ts": [(SEGMENT, "whole")],
        "/2.ts": [(SEGMENT, "whole")],
    }
    items = items_of(listen(station.url + "/a.m3u8", 0))
    assert len(samples_of(items)) == pytest.approx(8 * RATE, rel=0.05)


def harm(path: Path) -> dict[str, bytes]:
    secret = path.as_uri()
    return {
        "segment": playlist("#EXTINF:4,", secret),
        "path": playlist("#EXTINF:4,", str(path)),
        "subfile": playlist("#EXTINF:4,", f"subfile,,start,0,end,0,,:{path}"),
        "concat": playlist("#EXTINF:4,", f"concat:{path}|{path}"),
        "map": playlist(f'#EXT-X-MAP:URI="{secret}"', "#EXTINF:4,", secret),
        "nested": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + secret.encode() + b"\n",
        "ffconcat": f"ffconcat version 1.0\nfile {path}\n".encode(),
        "ffconcat uri": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
    }


@pytest.mark.parametrize("kind", harm(Path("/x")))
def test_a_playlist_on_a_server_cannot_read_files_here(
    station: Station, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "secret.ts"
    path.write_bytes(SEGMENT)
    station.answers = {"/a.m3u8": [(harm(path)[kind], "whole")]}
    items, _ = items_and_error(listen(station.url + "/a.m3u8", 0))
    assert not samples_of(items).size


def test_without_the_limit_of_protocols_the_file_would_be_heard(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret.ts"
    path.write_bytes(SEGMENT)
    station.answers = {"/a.m3u8": [(harm(path)["segment"], "whole")]}
    monkeypatch.setitem(url.PROTOCOLS, "http", "http,tcp,file")
    assert samples_of(items_of(listen(station.url + "/a.m3u8", 0))).size


def test_a_slow_consumer_of_a_station_is_told_what_was_lost(station: Station) -> None:
    station.answers = {"/a.wav": [(WAV, "whole")]}
    live = listen(station.url + "/a.wav", 0, buffer_s=0.5)
    first = next(live)
    for thread in threading.enumerate():
        if thread.name == "earmark live":
            thread.join(PATIENCE_S)
    items = [first, *items_of(live)]
    lost_s = sum(gap.lost_s for gap in gaps_of(items))
    assert lost_s > 1
    assert lost_s + len(samples_of(items)) / RATE == pytest.approx(2.0)


def test_no_connection_follows_a_pause_in_which_the_input_was_closed(station: Station) -> None:
    station.answers = {"/radio": [503]}
    clock = Clock()
    mixer = Mixer(AudioOptions())
    listener = url.UrlListener(station.url + "/radio", mixer, clock, clock, lambda _: True)
    assert len(list(listener.items())) == 1
    assert station.asked == ["/radio"]


def test_closing_ends_a_pause_between_connections(station: Station) -> None:
    station.answers = {"/radio": [503]}
    live = open_live(
        station.url + "/radio"
    )  # waits a second, and then two, without a clock of ours
    assert isinstance(next(live), Gap)
    threading.Timer(0.0, live.close).start()
    assert items_of(live) == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_is_checked(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    make += f" -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout {key}"
    subprocess.run([*make.split(), "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    station.socket = context.wrap_socket(station.socket, server_side=True)
    station.answers = {"/a.wav": [(WAV, "whole")]}
    address = station.url.replace("http", "https") + "/a.wav"
    assert "its certificate is not trusted (self" in problem(address)
    assert not station.asked
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert len(samples_of(items_of(listen(address, 0)))) == 2 * RATE


@pytest.mark.parametrize("target", ["file://{path}", "data:audio/wav;base64,UklGRg=="])
def test_a_redirect_leads_to_no_file(station: Station, tmp_path: Path, target: str) -> None:
    (tmp_path / "a.wav").write_bytes(WAV)
    station.answers = {"/radio": [(target.format(path=tmp_path / "a.wav").encode(), "redirect")]}
    items, _ = items_and_error(listen(station.url + "/radio", 0))
    assert not samples_of(items).size


@pytest.mark.parametrize("then", ["ends", "stalls"])
def test_rtsp_asks_for_sound_only_and_over_tcp(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url, "SILENT_S", 0.3)
    with Camera(then) as camera:
        items, text = items_and_error(listen(camera.url, 0))
    samples = samples_of(items)
    np.testing.assert_allclose(samples, Camera.samples[: len(samples), 0], atol=1e-4)
    assert len(samples) > 0.98 * len(Camera.samples)
    assert camera.transports == ["RTP/AVP/TCP;unicast;interleaved=0-1"]
    reason = (
        "the server ended the stream" if then == "ends" else "the server sent nothing for too long"
    )
    assert text.startswith(f"rtsp://127.0.0.1:{camera.port}/live: {reason} (1 connection")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_ends_waiting_for_a_station(station: Station) -> None:
    station.answers = {"/radio": [(MP3, "stall")]}
    code = (
        "from earmark.audio import open_live\n"
        f"for item in open_live({station.url + '/radio'!r}): print(len(item.samples), flush=True)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        count = 0
        while count < 3 * RATE:
            count += int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.wait(5)  # less than the time limit of a silent station
        assert b"KeyboardInterrupt" in process.stderr.read()


def test_damage_that_was_told_is_not_told_again(station: Station) -> None:
    content = bytearray(encode_ffmpeg(noise(8 * RATE), "matroska", "libmp3lame"))
    with av.open(io.BytesIO(content)) as container:
        packets = [bytes(packet) for packet in container.demux() if packet.size]
    damaged = packets[len(packets) // 4]
    content = content.replace(damaged, b"Z" * len(damaged))
    station.answers = {"/a.mka": [(bytes(content), "cut"), (bytes(content), "whole")]}
    items = items_of(listen(station.url + "/a.mka"))
    reasons = [gap.reason for gap in gaps_of(items)]
    assert [reason.partition(";")[0] for reason in reasons].count("1 packet damaged") == 1
    assert sum(gap.lost_s for gap in gaps_of(items)) == pytest.approx(0.036, abs=0.001)
