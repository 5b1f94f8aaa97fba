"""Attacks: each is refused in a sentence, tells nothing of this machine, and harms no other."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

import earmark as library
from attacks import ATTACKS, LIMITS, TOKEN, within
from audio_files import encode, noise
from bombs import BOMBS, cut_recordings
from earmark.apps.service import frames, protocol, server
from earmark.apps.service.computing import _source
from earmark.apps.service.settings import Settings
from earmark.audio.reading import read
from earmark.errors import AudioError
from served import Reply, Stub, ask, command, computers, decoders, running

SETTINGS = Settings({"m": Path("m.earmark")}, token=TOKEN, limits=LIMITS)
GOOD = {"content-type": "audio/wav", "authorization": f"Bearer {TOKEN}"}
SECRETS = ("root:", "Traceback", "site-packages", "File \"", str(Path.home()), str(Path.cwd()),
           sys.prefix, TOKEN)  # fmt: skip


class Readers(Stub):
    """Stands for processes that compute: reads what was decoded as they do, and no more."""

    async def ask(self, message, deadline, begins=None):
        if begins is not None:
            begins()
        text, body = frames.unpack_text(message)
        try:
            read(_source(json.loads(text), bytes(body)), 16_000)
        except AudioError as error:
            return {"error": str(error), "kind": error.kind}, b""
        return self.answer


def check(reply: Reply) -> None:
    """A refusal has a sentence, and nothing of this machine."""
    text = reply.body.decode() + str(reply.headers)
    assert not any(secret in text for secret in SECRETS), text
    if reply.status >= 400 and reply.body:
        assert reply.problem


def test_there_are_at_least_thirty_attacks_and_each_has_a_name():
    assert len(ATTACKS) >= 30
    assert max(Counter(attack.name for attack in ATTACKS).values()) == 1


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused_and_harms_no_other(attack, monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_S", 0.2)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 1)

    async def test() -> None:
        async with running(SETTINGS, decoders(), computers()) as port:
            answers = await within(20, port, attack)
            statuses = [answer.status for answer in answers] or [0]
            assert set(statuses) <= set(attack.statuses), (statuses, [a.body for a in answers][:2])
            for answer in answers:
                check(answer)
            reply = await ask(port, body=b"sound", headers=GOOD)
            while reply.status == 503:  # the connections of the attack are not closed yet
                await asyncio.sleep(0.02)
                reply = await ask(port, body=b"sound", headers=GOOD)
            assert reply.status == 200
            while b"earmark_requests 0\n" not in (await ask(port, "/metrics", headers=GOOD)).body:
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(test(), 60))


def test_no_bomb_is_answered_and_none_holds_a_decoder():
    """The decoders are real, with a small limit of memory and of time."""
    bombs = {name: make() for name, make in BOMBS.items()}
    assert max(map(len, bombs.values())) <= LIMITS.body_bytes
    wrong: dict[str, object] = {}

    async def test() -> None:
        settings = Settings({"m": Path("m.earmark")}, token=TOKEN, limits=LIMITS)
        async with running(settings, None, Readers(({}, b"{}"))) as port:
            for name, content in bombs.items():
                reply = await ask(port, body=content, headers=GOOD)
                check(reply)
                if reply.status not in (413, 422):
                    wrong[name] = reply.status, reply.body[:200]
            for name, content in cut_recordings().items():
                reply = await ask(port, body=content, headers=GOOD)
                check(reply)
                if reply.status not in (200, 413, 422):
                    wrong[name] = reply.status, reply.body[:200]
            assert (await ask(port, body=encode(noise(8_000), "WAV"), headers=GOOD)).status == 200
            figures = (await ask(port, "/metrics", headers=GOOD)).body
            assert b"earmark_requests 0\n" in figures

    asyncio.run(asyncio.wait_for(test(), 120))
    assert not wrong, wrong


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc has the memory of a process")
def test_the_whole_service_stands_all_attacks_again_and_again(tones, tmp_path):
    """Its memory, files and processes are the same after a second round; others are answered."""
    training = library.train(tones, backbone="logmel", head="linear", compare=False)
    training.classifier.save(tmp_path / "m.earmark")
    options = (
        "--workers 1 --max-seconds 10 --queue 20 --max-bytes 200000 --connections 300"
        " --header-timeout 0.4 --body-timeout 0.4"
    )
    sound = (tones / "low" / "1.wav").read_bytes()
    attacks = [attack for attack in ATTACKS if "than allowed" not in attack.name]
    bombs = [make() for make in BOMBS.values()]

    async def round(port: int) -> None:
        ends = asyncio.Event()
        others = asyncio.ensure_future(good(port, ends))
        for first in range(0, len(attacks), 8):
            some = attacks[first : first + 8]
            for attack, answers in zip(
                some, await asyncio.gather(*(within(60, port, one) for one in some)), strict=True
            ):
                assert {answer.status for answer in answers} <= set(attack.statuses), attack.name
        for content in bombs:
            assert (await ask(port, body=content, headers=GOOD)).status in (413, 422)
        ends.set()
        assert await others > 20

    async def good(port: int, ends: asyncio.Event) -> int:
        count = 0
        while not ends.is_set():
            reply = await ask(port, body=sound, headers=GOOD)
            assert reply.status == 200, reply.body
            count += 1
            await asyncio.sleep(0.05)
        return count

    def state(pid: int) -> tuple[float, int, int]:
        folder = Path(f"/proc/{pid}")
        (line,) = [x for x in (folder / "status").read_text().splitlines() if x[:5] == "VmRSS"]
        children = (folder / f"task/{pid}/children").read_text().split()
        return int(line.split()[1]) / 1024, len(list((folder / "fd").iterdir())), len(children)

    async def test(port: int, pid: int) -> None:
        states = []
        for _ in range(3):
            await round(port)
            await asyncio.sleep(3)  # for the connections that are closed after a moment
            states.append(state(pid))
        (_, *_), (before, files, children), (after, files_after, children_after) = states
        assert after < before + 5 and files_after <= files and children_after == children, states

    with command(tmp_path / "m.earmark", *options.split(), EARMARK_TOKEN=TOKEN) as running_command:
        pid = running_command.process.pid
        asyncio.run(asyncio.wait_for(test(running_command.port, pid), 300))
