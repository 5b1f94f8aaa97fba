"""The whole service: the answers of `earmark predict`, alone and under load, up to the end."""

import asyncio
import io
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the extra serve is not installed")

import earmark as library
from audio_files import encode
from command_line import earmark
from earmark.apps.service.answering import Service
from earmark.apps.service.server import make_server
from earmark.apps.service.settings import Settings
from earmark.errors import EarmarkError
from served import PATIENCE_S, Client, Command, ask, command, computers, decoders, head, running
from tones import tone_detector, write_tones

WAV = {"content-type": "audio/wav"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A classifier of tones, and recordings of several formats, some of them damaged."""
    folder, rng = tmp_path_factory.mktemp("served"), np.random.default_rng(0)
    (folder / "new").mkdir()
    for label, hz in (("high", 1_800), ("low", 240)):
        (folder / "tones" / label).mkdir(parents=True)
        for k in range(6):
            t = np.arange(8_000) / 16_000
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=8_000)
            soundfile.write(folder / "tones" / label / f"{k}.wav", x, 16_000)
            stereo = np.repeat(x, 3)[:, None] * [1.0, 0.5]
            soundfile.write(folder / "new" / f"{label}{k}.wav", stereo, 44_100)
    x = rng.normal(0, 0.1, (48_000, 1)).astype(np.float32)
    new = {
        "cut.flac": encode(x, "FLAC")[:-9_000],
        "loud.wav": encode(3_000 * x, "WAV", "FLOAT"),
        "cut.mp3": encode(x, "MP3", "MPEG_LAYER_III")[:-3_000],
        "long.ogg": encode(np.tile(x, (20, 1)), "OGG", "VORBIS"),
    }
    for name, content in new.items():
        (folder / "new" / name).write_bytes(content)
    training = library.train(folder / "tones", backbone="logmel", head="linear", compare=False)
    training.classifier.save(folder / "mine.earmark")
    shutil.copy(folder / "mine.earmark", folder / "other.earmark")
    tone_detector(folder / "detector")
    write_tones(folder / "night.flac")
    return folder


@pytest.fixture(scope="module")
def service(folder):
    models = [folder / f"{name}.earmark" for name in ("tones", "mine", "other")]
    with command(*models, "--workers", "2", "--decoders", "1") as running_command:
        yield running_command


def answers(folder: Path, *options: str) -> dict[str, dict[str, object]]:
    """The objects that `predict --json` prints of each file alone, without the path."""
    values = {}
    for path in sorted((folder / "new").iterdir()):
        done = earmark("predict", folder / "mine.earmark", path, "--json", *options)
        values[path.name] = json.loads(done.stdout)
        del values[path.name]["path"]
    return values


def test_the_answers_are_those_of_predict_alone_and_under_load(folder, service):
    expected = answers(folder)
    assert sum("warnings" in value for value in expected.values()) >= 3
    contents = {name: (folder / "new" / name).read_bytes() for name in expected}

    async def one(name: str) -> None:
        reply = await ask(service.port, body=contents[name], headers=WAV)
        assert reply.status == 200, reply.body
        assert reply.json["model"] == "mine"
        value = {key: item for key, item in reply.json.items() if key != "model"}
        assert json.dumps(value) == json.dumps(expected[name])  # to the last digit, in order

    async def test() -> None:
        for name in expected:
            await one(name)
        names = list(expected) * 3
        random.Random(0).shuffle(names)
        await asyncio.gather(*map(one, names))

    asyncio.run(asyncio.wait_for(test(), 120))


def test_options_are_those_of_predict(folder, service):
    expected = answers(folder, "--top", "1", "--coverage", "0.9")["low3.wav"]
    sound = (folder / "new" / "low3.wav").read_bytes()
    kind = {"content-type": "multipart/form-data; boundary=b"}
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="secret.wav"\r\n\r\n'
    form += sound + b"\r\n--b--\r\n"

    async def test() -> None:
        path = "/v1/predict?top=1&coverage=0.9&model=other"
        for body, headers in ((sound, WAV), (form, kind), (sound, {})):
            reply = await ask(service.port, path, body, headers)
            assert reply.json == {**expected, "model": "other"}
        models = (await ask(service.port, "/v1/models")).json["models"]
        assert [model["name"] for model in models] == ["tones", "mine", "other"]
        assert [model["path"] for model in models] == ["/v1/detect", *2 * ["/v1/predict"]]
        assert models[1]["labels"] == ["high", "low"] and models[1]["backbones"] == ["logmel"]
        reply = await ask(service.port, body=b"no sound", headers=WAV)
        assert reply.status == 422 and "The recording: " in reply.problem

    asyncio.run(asyncio.wait_for(test(), 120))


def test_events_are_those_of_detect(folder, service):
    done = earmark("detect", folder / "tones.earmark", folder / "night.flac", "--json")
    expected = json.loads(done.stdout)
    assert len(expected["events"]) >= 3
    del expected["path"], expected["begins_at"]
    content = (folder / "night.flac").read_bytes()
    reply = asyncio.run(asyncio.wait_for(ask(service.port, "/v1/detect", content, WAV), 120))
    assert reply.json == {**expected, "model": "tones"}


@pytest.mark.skipif(os.name != "posix", reason="there is no TERM")
def test_what_was_accepted_is_answered_before_the_end(folder):
    token = "0123456789abcdef"
    with command(folder / "mine.earmark", "--workers", "1", EARMARK_TOKEN=token) as running:
        asyncio.run(asyncio.wait_for(_stop(folder, running, token), 120))
        assert running.process.wait(PATIENCE_S) == 0
        lines = [json.loads(line) for line in running.process.stderr.read().splitlines()]
        assert {line["event"] for line in lines[:-1]} == {"response"}
        assert lines[-1]["event"] == "stopped"


async def _stop(folder: Path, running: Command, token: str) -> None:
    sound = (folder / "new" / "high1.wav").read_bytes()
    assert (await ask(running.port, body=sound, headers=WAV)).status == 401
    headers = {**WAV, "authorization": f"Bearer {token}"}
    clients = [await Client.connect(running.port) for _ in range(6)]
    for client in clients:  # admitted, with their bodies half sent
        await client.send(head(headers=headers, length=len(sound)) + sound[:1_000])
    while "earmark_requests 6\n" not in await _metrics(running.port, headers):
        await asyncio.sleep(0.02)
    running.stop()
    while _listens(running.port):
        await asyncio.sleep(0.02)
    for client in clients:
        await client.send(sound[1_000:])
    for client in clients:
        reply = await client.reply()
        assert reply.status == 200 and reply.json["label"] == "high"
        client.close()


async def _metrics(port: int, headers: dict[str, str]) -> str:
    return (await ask(port, "/metrics", headers=headers)).body.decode()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="/proc has the processes")
def test_no_process_stays_behind_a_service_that_was_killed(folder):
    with command(folder / "mine.earmark", "--workers", "1") as running:
        pid = running.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 3
        running.process.kill()
        running.process.wait()
        end = time.monotonic() + PATIENCE_S
        while any(map(_runs, children)):
            assert time.monotonic() < end
            time.sleep(0.02)


def _runs(pid: str) -> bool:
    try:
        return b"earmark.apps.service.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_classifier_that_cannot_be_loaded_is_told(folder, tmp_path):
    content = (folder / "mine.earmark").read_bytes()
    (tmp_path / "cut.earmark").write_bytes(content[: len(content) // 2])
    done = earmark("serve", tmp_path / "cut.earmark", expect=2)
    assert "cut.earmark" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = earmark("serve", folder / "mine.earmark", "--port", port, expect=2)
        assert f"cannot listen on port {port}" in done.stderr
    assert io.StringIO(done.stderr).read().count("\n") == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_the_service_speaks_https(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    settings = Settings({"m": Path("m.earmark")}, certificate=certificate, key=key)
    trust = ssl.create_default_context(cafile=str(certificate))

    async def test() -> None:
        async with running(settings, decoders(), computers()) as port:
            client = Client(*await asyncio.open_connection("localhost", port, ssl=trust))
            await client.send(head(headers=WAV, length=5) + b"sound")
            assert (await client.reply()).status == 200
            origin = {"origin": "https://localhost"}
            await client.send(head("/healthz", "GET", origin))
            assert (await client.reply()).status == 200
            client.close()

    asyncio.run(asyncio.wait_for(test(), 120))
    key.write_text("no key")
    with pytest.raises(EarmarkError, match="cannot use the certificate"):
        make_server(Service(settings, decoders(), computers()), print)
