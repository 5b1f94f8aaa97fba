"""What is refused before its body is read, and the order of the queue."""

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from earmark.apps.service import answering, protocol
from earmark.apps.service.admission import Admission, BusyError
from earmark.apps.service.settings import Limits, Settings
from served import Client, ask, computers, decoders, head, run, running

MODELS = {"m": Path("m.earmark")}
WAV = {"content-type": "audio/wav"}


def settings(**limits: float) -> Settings:
    return Settings(MODELS, limits=Limits(**limits))


def test_a_body_that_is_too_large_is_refused_before_it_is_sent():
    async def test() -> None:
        async with running(settings(body_bytes=1_000), decoders(), computers()) as port:
            client = await Client.connect(port)
            await client.send(head(headers=WAV, length=10_000_000))
            reply = await client.reply()
            assert reply.status == 413 and "1,000 bytes" in reply.problem
            client.close()

    run(test())


def test_a_body_without_a_length_is_refused_when_it_gets_too_large():
    async def test() -> None:
        stub = decoders()
        async with running(settings(body_bytes=1_000), stub, computers()) as port:
            client = await Client.connect(port)
            await client.send(head(headers={**WAV, "transfer-encoding": "chunked"}))
            await client.send(b"20000\r\n" + bytes(0x20000) + b"\r\n")
            assert (await client.reply()).status == 413
            assert stub.asked == 0
            client.close()

    run(test())


def test_without_a_place_a_request_is_refused_before_its_body_is_sent(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 0.05)

    async def test() -> None:
        stub = computers()
        stub.gate.clear()
        limits = settings(seconds=10, queue_s=10)
        async with running(limits, decoders(8.0), stub) as port:
            first = asyncio.ensure_future(ask(port, body=b"sound", headers=WAV))
            while not stub.asked:
                await asyncio.sleep(0.01)
            client = await Client.connect(port)
            await client.send(head(headers=WAV, length=100))
            reply = await client.reply()
            assert reply.status == 503 and int(reply.headers["retry-after"]) >= 1
            assert "queue is full" in reply.problem
            health = await ask(port, "/healthz")
            assert health.status == 200
            gauges = (await ask(port, "/metrics")).body.decode()
            assert "earmark_queue_seconds 8\n" in gauges and "earmark_requests 1\n" in gauges
            stub.gate.set()
            assert (await first).status == 200
            assert (await ask(port, body=b"sound", headers=WAV)).status == 200
            counts = (await ask(port, "/metrics")).body.decode()
            for status, count in ((200, 2), (503, 1)):
                assert f'path="/v1/predict",status="{status}"}} {count}\n' in counts
            client.close()

    run(test())


def test_the_number_of_requests_is_bounded_as_well():
    admission = Admission(Limits(requests=2))
    with admission.enter(), admission.enter(), pytest.raises(BusyError):
        admission.enter()
    with admission.enter():
        assert admission.requests == 1


def test_a_recording_counts_with_its_length_once_that_is_known():
    admission = Admission(Limits(seconds=60, queue_s=60))
    with admission.enter() as place:
        assert 0 < admission.seconds < 60
        place.count(60.0)
        with pytest.raises(BusyError) as busy:
            admission.enter()
        assert busy.value.retry_s >= 1
        place.count(1.0)
        admission.enter()
    for _ in range(100):
        admission.observe_length(50.0)
    admission = Admission(Limits(seconds=60, queue_s=60))
    for _ in range(100):
        admission.observe_length(50.0)
    with admission.enter(), pytest.raises(BusyError):
        admission.enter()


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "words"),
    [
        ("/v1/predict", {"content-type": "text/html"}, b"x", 415, "'text/html'"),
        ("/v1/predict", {**WAV, "content-encoding": "gzip"}, b"x", 415, "compressed"),
        ("/v1/predict", WAV, b"", 422, "0 bytes"),
        ("/v1/predict?model=x", WAV, b"x", 422, "'x'. Give one of: m"),
        ("/v1/detect", WAV, b"x", 422, "No model here"),
        ("/v1/detect?model=m", WAV, b"x", 422, "Ask /v1/predict."),
        ("/v1/predict?top=0", WAV, b"x", 422, "?top=0"),
        ("/v1/predict?coverage=2", WAV, b"x", 422, "?coverage=2"),
        ("/v1/predict", {"content-type": "multipart/form-data; boundary=b"}, b"x", 422, "damaged"),
        ("/v1/predict", {"content-type": "multipart/form-data"}, b"x", 422, "damaged"),
        ("/v1/other", WAV, b"x", 404, "/docs"),
        ("/healthz", WAV, b"x", 405, "POST"),
    ],
)
def test_a_wrong_request_gets_a_sentence(path, headers, body, status, words):
    async def test() -> None:
        async with running(settings(), decoders(), computers()) as port:
            reply = await ask(port, path, body, headers)
            assert reply.status == status and words in reply.problem

    run(test())


def test_a_form_has_exactly_one_file():
    one = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.wav"\r\n\r\nsound\r\n'
    other = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\ntext\r\n'
    kind = {"content-type": 'multipart/form-data; boundary="b"'}

    async def test() -> None:
        async with running(settings(), decoders(), computers()) as port:
            for parts, status in ((one, 200), (other + one, 200), (other, 422), (one + one, 422)):
                reply = await ask(port, body=parts + b"--b--\r\n", headers=kind)
                assert reply.status == status
            assert "damaged" in (await ask(port, body=one, headers=kind)).problem

    run(test())


def test_bodies_take_bounded_memory_and_the_largest_are_refused():
    async def test() -> None:
        async with running(settings(bodies_bytes=1_000), decoders(), computers()) as port:
            large = await Client.connect(port)
            await large.send(head(headers=WAV, length=5_000) + bytes(2_000))  # alone it may
            while b"earmark_requests 1\n" not in (await ask(port, "/metrics")).body:
                await asyncio.sleep(0.01)
            small = await Client.connect(port)
            await small.send(head(headers=WAV, length=5) + b"so")
            while b"earmark_requests 2\n" not in (await ask(port, "/metrics")).body:
                await asyncio.sleep(0.01)
            await large.send(bytes(1_000))
            reply = await large.reply()
            assert reply.status == 503 and "1,000 bytes" in reply.problem
            await small.send(b"und")
            assert (await small.reply()).status == 200
            for client in (large, small):
                client.close()

    run(test())


def test_a_slow_body_keeps_no_place(monkeypatch):
    monkeypatch.setattr(answering, "GRACE_S", 0.05)
    monkeypatch.setattr(answering, "PATIENCE_S", 0.05)

    async def test() -> None:
        stub = computers()
        async with running(settings(requests=1), decoders(), stub) as port:
            slow = [await Client.connect(port) for _ in range(3)]
            for client in slow:
                await client.send(head(headers=WAV, length=5) + b"so")
                while b"earmark_requests 0\n" not in (await ask(port, "/metrics")).body:
                    await asyncio.sleep(0.01)
            assert (await ask(port, body=b"sound", headers=WAV)).status == 200
            await slow[0].send(b"und")
            assert (await slow[0].reply()).status == 200
            stub.gate.clear()
            last = asyncio.ensure_future(ask(port, body=b"sound", headers=WAV))
            while stub.asked < 3:
                await asyncio.sleep(0.01)
            await slow[1].send(b"und")
            assert "queue is full" in (await slow[1].reply()).problem
            stub.gate.set()
            assert (await last).status == 200
            for client in slow:
                client.close()

    run(test())


def test_no_more_is_decoded_than_the_memory_holds():
    async def test() -> None:
        sound, stub = decoders(), computers()
        stub.gate.clear()
        async with running(settings(waiting_bytes=1), sound, stub) as port:
            requests = [asyncio.ensure_future(ask(port, body=b"sound", headers=WAV))]
            while not stub.asked:
                await asyncio.sleep(0.01)
            requests += [asyncio.ensure_future(ask(port, body=b"more", headers=WAV))]
            while b"earmark_requests 2\n" not in (await ask(port, "/metrics")).body:
                await asyncio.sleep(0.01)
            for _ in range(5):
                await ask(port, "/healthz")
            assert sound.asked == 1
            stub.gate.set()
            assert [reply.status for reply in await asyncio.gather(*requests)] == [200, 200]
            assert sound.asked == 2

    run(test())


def test_recordings_are_decoded_one_after_the_other_if_memory_is_full():
    async def test() -> None:
        sound, stub = decoders(), computers()
        stub.gate.clear()
        sound.gate.clear()
        limits = Limits(waiting_bytes=1)
        async with running(Settings(MODELS, limits=limits, decoders=1), sound, stub) as port:
            requests = [
                asyncio.ensure_future(ask(port, body=b"sound", headers=WAV)) for _ in range(4)
            ]
            while b"earmark_requests 4\n" not in (await ask(port, "/metrics")).body:
                await asyncio.sleep(0.01)
            sound.gate.set()
            while not stub.asked:
                await asyncio.sleep(0.01)
            for _ in range(5):
                await ask(port, "/healthz")
            assert sound.asked == 1
            stub.gate.set()
            assert {reply.status for reply in await asyncio.gather(*requests)} == {200}

    run(test())


def test_an_answer_that_comes_too_late_is_504():
    async def test() -> None:
        from earmark.apps.service.pool import Pool

        service = settings(deadline_s=0.2)
        pool = Pool("compute", 0, {})  # no process ever becomes free
        pool.hello = computers().hello
        async with running(service, decoders(), pool) as port:
            reply = await ask(port, body=b"sound", headers=WAV)
            assert reply.status == 504 and "0.2 s" in reply.problem
            assert (await ask(port, "/readyz")).status == 503

    run(test())
