"""Who may ask: tokens, names of the host, origins of pages."""

import asyncio
import os
import secrets
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from command_line import earmark
from earmark.apps.service import guard
from earmark.apps.service.settings import Limits, Settings, token_of
from earmark.errors import EarmarkError
from served import Client, Reply, ask, computers, decoders, head, running

MODELS = {"m": Path("m.earmark")}
TOKEN = "0123456789abcdef"


def replies(settings: Settings, *requests: dict[str, object]) -> list[Reply]:
    async def test() -> list[Reply]:
        async with running(settings, decoders(), computers()) as port:
            return [await ask(port, **request) for request in requests]

    return asyncio.run(asyncio.wait_for(test(), 120))


def test_only_the_right_token_opens():
    def request(value: str | None, path: str = "/v1/models") -> dict[str, object]:
        return {"path": path, "headers": {} if value is None else {"authorization": value}}

    wrong = [None, "", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[1:]}", TOKEN]
    closed = [request(None, path) for path in ("/metrics", "/v1/other")]
    opened = [request(None, path) for path in ("/healthz", "/readyz", "/docs", "/openapi.json")]
    settings = Settings(MODELS, token=TOKEN)
    for reply in replies(settings, *map(request, wrong), *closed):
        assert reply.status == 401 and "Bearer TOKEN" in reply.problem
        assert reply.headers["www-authenticate"] == "Bearer"
    for reply in replies(settings, request(f"Bearer {TOKEN}"), *opened):
        assert reply.status == 200


def test_a_name_that_a_stranger_may_have_pointed_here_is_refused():
    def request(host: str) -> dict[str, object]:
        return {"path": "/healthz", "headers": {"host": host}}

    settings = Settings(MODELS, hosts=("ears.example",))
    known = ("localhost:80", "127.0.0.1", "[::1]:8000", "10.0.0.7", "EARS.example:99")
    assert {reply.status for reply in replies(settings, *map(request, known))} == {200}
    for reply in replies(settings, *map(request, ("evil.example", "", "localhost.evil", "1.2.3"))):
        assert reply.status in (400, 403)
        assert "host" in reply.problem


def test_pages_of_other_origins_may_not_ask():
    def request(origin: str, method: str = "GET") -> dict[str, object]:
        return {"path": "/healthz", "headers": {"origin": origin}, "method": method}

    settings = Settings(MODELS, origins=("https://good.example",), token=TOKEN)
    good, own, evil, null, flight, evil_flight = replies(
        settings,
        request("https://good.example"),
        request("http://localhost"),
        request("https://evil.example"),
        request("null"),
        request("https://good.example", "OPTIONS"),
        request("https://evil.example", "OPTIONS"),
    )
    name = "access-control-allow-origin"
    assert good.status == 200 and good.headers[name] == "https://good.example"
    assert own.status == 200 and name not in own.headers
    for reply in (evil, null, evil_flight):
        assert reply.status == 403 and "--allow-origin" in reply.problem
        assert name not in reply.headers
    assert flight.status == 204 and "POST" in flight.headers["access-control-allow-methods"]


def test_a_head_is_a_get_without_a_body():
    async def test() -> None:
        async with running(Settings(MODELS), decoders(), computers()) as port:
            client = await Client.connect(port)
            for path, status in (("/healthz", 200), ("/v1/models", 200), ("/none", 404)):
                await client.send(head(path, "HEAD"))
                first = (await client.reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                assert int(first) == status
            client.close()

    asyncio.run(asyncio.wait_for(test(), 120))


def test_the_page_needs_nothing_from_elsewhere():
    page, document = replies(Settings(MODELS), {"path": "/docs"}, {"path": "/openapi.json"})
    assert b"://" not in page.body and b"<script" not in page.body
    assert "default-src 'none'" in page.headers["content-security-policy"]
    paths = set(document.json["paths"])
    assert paths == {"/v1/predict", "/v1/detect", "/v1/models", "/healthz", "/readyz", "/metrics"}
    assert "multipart/form-data" in str(document.json["paths"]["/v1/predict"]["post"])


def test_beyond_this_machine_there_is_always_a_token():
    for host in ("0.0.0.0", "::", "192.168.0.2", "ears.example"):
        with pytest.raises(EarmarkError, match="no token"):
            Settings(MODELS, host=host)
        Settings(MODELS, host=host, token=TOKEN)
    for host in ("127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost"):
        Settings(MODELS, host=host)


def test_the_token_comes_from_one_place(tmp_path, monkeypatch):
    monkeypatch.delenv("EARMARK_TOKEN", raising=False)
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    assert token_of(None, None) is None
    assert token_of(None, path) == token_of(TOKEN, None) == TOKEN
    monkeypatch.setenv("EARMARK_TOKEN", TOKEN[::-1])
    assert token_of(None, None) == TOKEN[::-1]
    with pytest.raises(EarmarkError, match="exclude each other"):
        token_of(TOKEN, path)
    with pytest.raises(EarmarkError, match="at least 16"):
        token_of("short", None)
    with pytest.raises(EarmarkError, match="blank"):
        token_of("with a blank in it", None)
    with pytest.raises(EarmarkError, match="cannot read the token"):
        token_of(None, tmp_path / "none")
    if os.name == "posix":
        path.chmod(0o644)
        with pytest.raises(EarmarkError, match="chmod 600"):
            token_of(None, path)
    assert TOKEN not in repr(Settings(MODELS, token=TOKEN))


def test_mistakes_are_told_in_a_sentence(tmp_path):
    done = earmark("serve", "a/m.earmark", "b/m.earmark", "hf://some/other", expect=2)
    assert "2 classifiers are named 'm'" in done.stderr
    with pytest.raises(EarmarkError, match="--queue"):
        Limits(seconds=100, queue_s=50)
    with pytest.raises(EarmarkError, match="body_s"):
        Limits(body_s=float("nan"))
    with pytest.raises(EarmarkError, match="allow-origin"):
        Settings(MODELS, origins=("example.org",))
    with pytest.raises(EarmarkError, match="tls-cert"):
        Settings(MODELS, key=Path("key.pem"))
    done = earmark("serve", tmp_path / "none.earmark", expect=2)
    assert "does not exist" in done.stderr


def test_the_time_of_a_refusal_says_nothing_of_the_token(monkeypatch):
    """Every token that is given is compared by a function that always takes the same time."""
    compared: list[bytes] = []

    def compare_digest(given: bytes, own: bytes) -> bool:
        compared.append(given)
        return secrets.compare_digest(given, own)

    monkeypatch.setattr(guard.hmac, "compare_digest", compare_digest)
    wrong = ["x", TOKEN[:-1], TOKEN[:-1] + "x", TOKEN + "x", "x" * len(TOKEN)]
    requests = [{"path": "/v1/models", "headers": {"authorization": f"Bearer {x}"}} for x in wrong]
    assert {reply.status for reply in replies(Settings(MODELS, token=TOKEN), *requests)} == {401}
    assert compared == [x.encode() for x in wrong]


def test_a_header_that_may_be_there_once_is_refused_twice():
    async def test() -> None:
        async with running(Settings(MODELS, token=TOKEN), decoders(), computers()) as port:
            for name in guard.ONCE:
                client = await Client.connect(port)
                line = name + b": x\r\n"
                await client.send(b"GET /healthz HTTP/1.1\r\n" + 2 * line + b"\r\n")
                reply = await client.reply()
                assert reply.status == 400 and f"2 {name.decode().title()} headers" in reply.problem
                client.close()

    asyncio.run(asyncio.wait_for(test(), 120))
