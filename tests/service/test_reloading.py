"""Classifiers are loaded again while requests run; computers of text files stand for networks."""

import asyncio
import contextlib
import functools
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from earmark.apps.service import reloading
from earmark.apps.service.answering import Service
from earmark.apps.service.logs import Log
from earmark.apps.service.model_files import copy_models
from earmark.apps.service.pool import Pool
from earmark.apps.service.reloading import Reloader
from earmark.apps.service.settings import Settings
from earmark.errors import EarmarkError
from served import Client, Reply, ask, decoders, head, running

WAV = {"content-type": "audio/wav"}
TOKEN = "0123456789abcdef"


class Kept(Log):
    """A log that keeps its events in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, object]] = []

    def event(self, event: str, level: str = "info", **values: object) -> None:
        self.events.append({"event": event, **values})

    def named(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.events if line["event"] == event]


class Serving:
    """A running service of one file of text."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.path, self.log = path, Kept()
        self.settings = Settings({"m": path}, workers=2, **settings)
        self.decoders = decoders()
        self.service = Service(self.settings, self.decoders, log=self.log)

    def write(self, text: str) -> None:
        """Replace the file, as a program does that saves a classifier."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.path)

    async def until(self, event: str, count: int = 1) -> dict[str, object]:
        """Wait for the line of the log of that number; return it."""
        while len(self.log.named(event)) < count:
            await asyncio.sleep(0.01)
        return self.log.named(event)[count - 1]

    async def ask(self, path: str = "/v1/predict") -> Reply:
        return await ask(self.port, path, b"sound", WAV)


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """Return what runs a service of text files and a test on it."""
    monkeypatch.setattr(reloading, "Pool", functools.partial(Pool, module="computer_stub"))
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    path = tmp_path / "m.earmark"
    path.write_text("old")

    def run(test, **settings: object) -> None:
        async def all_of_it() -> None:
            one = Serving(path, **settings)
            async with running(one.settings, service=one.service) as one.port:
                await test(one)

        asyncio.run(asyncio.wait_for(all_of_it(), 120))
        assert list(copies.iterdir()) == []

    return run


def test_requests_during_reloads_are_answered_by_the_one_or_the_other(serving):
    async def test(one: Serving) -> None:
        names, seen, is_over = [b"old", b"new 1", b"new 2", b"new 3"], set(), False

        def current() -> int:
            return one.service.reloader.reloads

        async def client() -> None:
            while not is_over:
                first = current()
                reply = await one.ask()
                assert reply.status == 200, reply.body
                assert first <= names.index(reply.body) <= current()
                seen.add(reply.body)

        async def probe() -> None:
            while not is_over:
                assert (await ask(one.port, "/readyz")).status == 200
                await asyncio.sleep(0.01)

        clients = [asyncio.ensure_future(client()) for _ in range(6)]
        clients.append(asyncio.ensure_future(probe()))
        for number in range(1, 4):
            one.write(f"new {number}")
            one.service.reloader.ask()
            await one.until("reload", number)
            await asyncio.sleep(0.1)
        is_over = True
        await asyncio.gather(*clients)
        assert seen == set(names)
        (model,) = (await ask(one.port, "/v1/models")).json["models"]
        assert model["digest"] == "digest of new 3"
        digests = one.log.named("reload")[0]["models"]
        assert digests == {"m": {"old": "digest of old", "new": "digest of new 1"}}
        streams = one.service.hearers.paths  # what live sound loads
        assert Path(streams["m"]).read_text() == "new 3"
        figures = (await ask(one.port, "/metrics")).body.decode()
        assert "earmark_reloads_total 3\n" in figures

    serving(test)


def test_what_was_accepted_before_is_answered_by_the_old(serving):
    async def test(one: Serving) -> None:
        client = await Client.connect(one.port)
        await client.send(head(headers=WAV, length=5) + b"so")
        while not one.service.admission.requests:
            await asyncio.sleep(0.01)
        old = one.service.computers.pool
        one.write("detector")  # so the path is another
        one.service.reloader.ask()
        await one.until("reload")
        assert (await one.ask()).status == 422 and old.is_ready
        assert (await one.ask("/v1/detect")).body == b"detector"
        await client.send(b"und")
        reply = await client.reply()
        assert (reply.status, reply.body) == (200, b"old")
        client.close()
        while old.is_ready:
            await asyncio.sleep(0.01)

    serving(test)


def test_a_damaged_file_changes_nothing(serving, tmp_path):
    async def test(one: Serving) -> None:
        one.write("damaged")
        one.service.reloader.ask()
        line = await one.until("reload_failed")
        assert str(one.path) in str(line["error"]) and "damaged" in str(line["error"])
        assert "Mend it, and send HUP again." in str(line["error"])
        assert str(tmp_path / "copies") not in str(line["error"])
        assert (await one.ask()).body == b"old"
        for child in list(one.service.computers.pool._children):  # others start, with the old file
            child._process.kill()
        while one.service.computers.replaced < 2:
            assert (await one.ask()).status in (200, 503)
        while (reply := await one.ask()).status == 503:
            pass
        assert reply.body == b"old"
        one.path.unlink()
        one.service.reloader.ask()
        line = await one.until("reload_failed", 2)
        assert "cannot read" in str(line["error"])
        one.write("new")
        one.service.reloader.ask()
        await one.until("reload")
        assert (await one.ask()).body == b"new"
        assert one.service.computers.replaced == 2
        assert "earmark_reload_failures_total 2\n" in one.service.metrics_text()

    serving(test)


def test_a_file_that_changes_is_loaded_without_a_signal(serving, monkeypatch):
    monkeypatch.setattr(reloading, "WATCH_S", 0.02)

    async def test(one: Serving) -> None:
        asked, reload = [], one.service.computers.reload

        async def watched(if_changed: bool) -> object:
            digests = await reload(if_changed)
            asked.append(digests)
            return digests

        monkeypatch.setattr(one.service.computers, "reload", watched)
        os.utime(one.path, (1, 1))
        while not asked:
            await asyncio.sleep(0.01)
        assert asked == [None] and not one.log.events  # only touched
        one.write("damaged")
        line = await one.until("reload_failed")
        assert str(line["error"]).endswith("Mend the file.")
        one.write("new")
        await one.until("reload")
        assert (await one.ask()).body == b"new"
        assert len(one.log.named("reload_failed")) == 1  # and not each second

    serving(test, watch=True)


def test_a_file_that_is_being_written_is_not_read_yet(monkeypatch, tmp_path):
    monkeypatch.setattr(reloading, "WATCH_S", 0)
    statuses = iter([{"m": (n,)} for n in (1, 1, 2, 3, 4, 4, 4, 4)])
    asked, looks = [], []

    def look(models: object) -> dict[str, object]:
        looks.append(1)
        status = next(statuses, None)
        if status is None:
            raise asyncio.CancelledError
        return status

    monkeypatch.setattr(reloading, "statuses_of", look)

    class Computers:
        copies = copy_models({})

        async def reload(self, if_changed: bool) -> None:
            asked.append(len(looks))

    async def test() -> None:
        settings = Settings({"m": tmp_path / "m"}, watch=True)
        reloader = Reloader(settings, Computers(), Log(), lambda token: None)
        reloader.start()
        with contextlib.suppress(asyncio.CancelledError):
            await reloader._watching
        await reloader.close()

    asyncio.run(asyncio.wait_for(test(), 60))
    Computers.copies.delete()
    assert len(asked) == 2 and 2 <= asked[0] <= 3 and asked[1] >= 6


def test_reloads_that_are_asked_for_meanwhile_are_one():
    calls = []

    class Computers:
        copies = None

        async def reload(self, if_changed: bool) -> dict[str, object]:
            calls.append(if_changed)
            await asyncio.sleep(0.05)
            return {}

    async def test() -> None:
        log, told = Kept(), []
        reloader = Reloader(Settings({}), Computers(), log, told.append)

        async def tell() -> None:
            told.append("reloaded")

        reloader.on_reload.append(tell)
        reloader.ask()  # while the service still starts
        reloader.start()
        while not calls:
            await asyncio.sleep(0)
        for _ in range(5):
            reloader.ask()
        await reloader._task
        assert calls == [False, False] and told == ["reloaded", "reloaded"]
        reloader.ask()
        await asyncio.sleep(0.01)
        await reloader.close()
        reloader.ask()
        assert reloader._task.done() and len(log.named("reload")) == 2

    asyncio.run(asyncio.wait_for(test(), 60))


def test_a_reload_that_the_end_of_the_service_interrupts_leaves_nothing(serving):
    async def test(one: Serving) -> None:
        one.service.reloader.ask()
        await asyncio.sleep(0.05)
        assert (await one.ask()).status == 200

    serving(test)  # which sees that no copies are left


@pytest.mark.skipif(sys.platform != "linux", reason="/proc has the processes and files")
@pytest.mark.slow
def test_many_reloads_leave_no_processes_and_no_files(serving):
    def count() -> tuple[int, int]:
        pid = os.getpid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return len(children), len(os.listdir("/proc/self/fd"))

    async def test(one: Serving) -> None:
        before = count()
        for number in range(1, 6):
            one.service.reloader.ask()
            await one.until("reload", number)
            assert (await one.ask()).body == b"old"
        while count() != before:  # a request ends, and old processes do
            await asyncio.sleep(0.01)

    serving(test)


def test_the_token_is_read_again(serving, tmp_path):
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(TOKEN)

    async def test(one: Serving) -> None:
        async def status(token: str) -> int:
            headers = {"authorization": f"Bearer {token}"}
            return (await ask(one.port, "/v1/models", headers=headers)).status

        path.write_text(TOKEN[::-1])
        one.service.reloader.ask()
        await one.until("reload")
        assert (await status(TOKEN), await status(TOKEN[::-1])) == (401, 200)
        path.write_text("short")
        one.service.reloader.ask()
        line = await one.until("reload_failed")
        assert line["what"] == "token" and "16" in str(line["error"])
        assert await status(TOKEN[::-1]) == 200
        assert "short" not in str(one.log.events) and TOKEN not in str(one.log.events)

    serving(test, token=TOKEN, token_file=path)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    key, path = folder / "key.pem", folder / "cert.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    names = ["-subj", f"/CN={name}", "-keyout", key, "-out", path]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    return path, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_the_certificate_is_read_again(serving, tmp_path):
    path, key = certificate(tmp_path / "one", "first")
    second, second_key = certificate(tmp_path / "two", "second")

    async def test(one: Serving) -> None:
        async def shown() -> str:
            return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", one.port))

        assert await shown() == path.read_text()
        shutil.copy(second, path)  # without its key
        one.service.reloader.ask()
        line = await one.until("reload_failed")
        assert line["what"] == "certificate" and "cannot use" in str(line["error"])
        assert await shown() != second.read_text()
        shutil.copy(second_key, key)
        one.service.reloader.ask()
        await one.until("reload", 2)
        assert await shown() == second.read_text()

    serving(test, certificate=path, key=key)


def test_files_that_cannot_be_copied_are_told(tmp_path, monkeypatch):
    with pytest.raises(EarmarkError, match="cannot read .*none"):
        copy_models({"m": tmp_path / "none"})
    with pytest.raises(EarmarkError, match="is not a file but a folder"):
        copy_models({"m": tmp_path})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(EarmarkError, match="TMPDIR"):
        copy_models({"m": tmp_path / "m"})
