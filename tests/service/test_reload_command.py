"""`earmark serve` with HUP and with --watch: real classifiers, requests without a pause."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the extra serve is not installed")

import earmark as library
from served import PATIENCE_S, Client, Command, Reply, ask, command, head, run

WAV = {"content-type": "audio/wav"}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no HUP")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classifiers that give the same sound other names, and a sound."""
    folder, rng = tmp_path_factory.mktemp("reloaded"), np.random.default_rng(0)
    for model, labels in (("old", ("high", "low")), ("new", ("squeak", "hum"))):
        for label, hz in zip(labels, (1_800, 240), strict=True):
            (folder / model / label).mkdir(parents=True)
            for k in range(6):
                t = np.arange(8_000) / 16_000
                x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t)
                x += 0.01 * rng.normal(size=8_000)
                soundfile.write(folder / model / label / f"{k}.wav", x, 16_000)
        training = library.train(folder / model, backbone="logmel", head="linear", compare=False)
        training.classifier.save(folder / f"{model}.earmark")
    return folder


@pytest.fixture
def model(folder, tmp_path) -> Path:
    return Path(shutil.copy(folder / "old.earmark", tmp_path / "mine.earmark"))


@pytest.fixture
def sound(folder) -> bytes:
    return (folder / "old" / "high" / "0.wav").read_bytes()


class Lines:
    """What a command writes to standard error, as it comes."""

    def __init__(self, running: Command) -> None:
        self.lines: list[dict[str, object]] = []
        self._stream = running.process.stderr
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            self.lines.append(json.loads(line))

    def named(self, event: str) -> list[dict[str, object]]:
        return [line for line in list(self.lines) if line["event"] == event]

    async def until(self, event: str, count: int = 1) -> dict[str, object]:
        while len(self.named(event)) < count:
            await asyncio.sleep(0.02)
        return self.named(event)[count - 1]

    def to_the_end(self) -> list[dict[str, object]]:
        self._thread.join(PATIENCE_S)
        return self.lines


@contextlib.contextmanager
def serving(model: Path, *options: str) -> Iterator[tuple[Command, Lines]]:
    copies = model.parent / "copies"
    copies.mkdir()
    with command(model, "--workers", "2", *options, TMPDIR=str(copies)) as running:
        lines = Lines(running)
        yield running, lines
        if running.process.poll() is None:
            running.stop()
        assert running.process.wait(PATIENCE_S) == 0
        assert lines.to_the_end()[-1]["event"] == "stopped"
    assert list(copies.iterdir()) == []


def replace(source: Path, model: Path) -> None:
    os.replace(shutil.copy(source, model.with_suffix(".part")), model)


async def load(port: int, sound: bytes, is_over: asyncio.Event) -> list[Reply]:
    """Send one request after another on one connection."""
    replies, client = [], await Client.connect(port)
    while not is_over.is_set():
        await client.send(head(headers=WAV, length=len(sound)) + sound)
        replies.append(await client.reply())
    client.close()
    return replies


def digest(path: Path) -> str:
    return library.load(path).digest


@pytest.mark.slow
def test_hup_under_load_loses_no_request(folder, model, sound):
    async def test() -> None:
        with serving(model) as (running, lines):
            is_over = asyncio.Event()
            old = (await ask(running.port, body=sound, headers=WAV)).body
            clients = [asyncio.ensure_future(load(running.port, sound, is_over)) for _ in range(6)]
            await asyncio.sleep(0.3)
            replace(folder / "new.earmark", model)
            running.process.send_signal(signal.SIGHUP)
            line = await lines.until("reload")
            before, after = digest(folder / "old.earmark"), digest(model)
            assert line["models"] == {"mine": {"old": before, "new": after}}
            new = (await ask(running.port, body=sound, headers=WAV)).body
            (shown,) = (await ask(running.port, "/v1/models")).json["models"]
            assert shown["digest"] == after and shown["labels"] == ["hum", "squeak"]
            await asyncio.sleep(0.3)
            content = model.read_bytes()
            model.write_bytes(content[: len(content) // 2])
            running.process.send_signal(signal.SIGHUP)
            failed = await lines.until("reload_failed")
            assert failed["level"] == "error" and str(model) in str(failed["error"])
            await asyncio.sleep(0.3)
            is_over.set()
            for replies in await asyncio.gather(*clients):
                assert {reply.status for reply in replies} == {200}
                assert {reply.body for reply in replies} == {old, new}
                bodies = [reply.body for reply in replies]
                assert bodies == sorted(bodies, key=[old, new].index)  # never the old again

            assert json.loads(old)["label"] == "high" and json.loads(new)["label"] == "squeak"

    run(test())


@pytest.mark.slow
def test_a_new_file_is_loaded_without_a_signal(folder, model, sound):
    async def test() -> None:
        with serving(model, "--watch") as (running, lines):
            os.utime(model)
            replace(folder / "new.earmark", model)
            await lines.until("reload")
            reply = await ask(running.port, body=sound, headers=WAV)
            assert reply.json["label"] == "squeak"

    run(test())


@pytest.mark.slow
def test_term_during_a_reload_answers_what_was_accepted(folder, model, sound):
    async def test() -> None:
        with serving(model) as (running, lines):
            clients = [await Client.connect(running.port) for _ in range(4)]
            for client in clients:
                await client.send(head(headers=WAV, length=len(sound)) + sound[:1_000])
            while "earmark_requests 4\n" not in (await ask(running.port, "/metrics")).body.decode():
                await asyncio.sleep(0.02)
            replace(folder / "new.earmark", model)
            running.process.send_signal(signal.SIGHUP)
            running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.3)
            running.stop()
            await asyncio.sleep(0.1)
            for client in clients:
                await client.send(sound[1_000:])
            for client in clients:
                reply = await client.reply()
                assert reply.status == 200 and reply.json["label"] == "high"
                client.close()
            assert not lines.named("reload_failed")

    run(test())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc has the processes")
def test_five_reloads_leave_no_process_and_no_file(model, sound):
    async def test() -> None:
        with serving(model) as (running, lines):
            pid = running.process.pid

            def count() -> tuple[int, int]:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                return len(children), len(os.listdir(f"/proc/{pid}/fd"))

            before = count()
            for number in range(1, 6):
                running.process.send_signal(signal.SIGHUP)
                await lines.until("reload", number)
                assert (await ask(running.port, body=sound, headers=WAV)).status == 200
            while count() != before:
                await asyncio.sleep(0.05)

    run(test())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ")
def test_a_closed_terminal_ends_the_service(model):
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "earmark", "serve", str(model),
                                  "--port", "0", "--workers", "1"])  # fmt: skip
    shown = b""
    while b"serving mine on" not in shown:
        shown += os.read(terminal, 1_000)
    assert b"{" not in shown  # text, on a terminal
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
