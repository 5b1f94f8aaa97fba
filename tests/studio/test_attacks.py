"""Requests of somebody who wants harm: no path reaches the disk, and nothing grows without end."""

import contextlib
import io
import json
import os
import socket
import urllib.parse
import zipfile

import pytest

import studios
from earmark.apps.studio.studio import Studio
from studios import write_sounds

SECRET = b"not for others"
OUTSIDE = ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "..", ".", "%00", "/etc/passwd",
           "..%5csecret.txt", "....//secret.txt", "x/../../secret.txt", "C:%5cwindows",
           "%252e%252e%252fsecret.txt", "a" * 5_000]  # fmt: skip
ROUTES = [
    "/static/{}", "/reports/{}/report.html", "/api/models/{}/file", "/api/models/{}/summary",
    "/api/models/{}/answers", "/api/exports/{}", "/api/recordings/{}", "/api/sounds/{}/picture",
    "/api/sounds/{}/peaks", "/api/sounds/{}/audio", "/api/jobs/{}", "/api/reviews/{}",
]  # fmt: skip
POSTED = ["/api/jobs/{}/stop", "/api/jobs/{}/resume", "/api/uploads/{}/done",
          "/api/reviews/{}/apply", "/api/try/{}?id=0123456789abcdef"]  # fmt: skip


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A studio whose folder has models, reports and exports, and links to a secret."""
    root = tmp_path_factory.mktemp("shelf")
    folder = write_sounds(root / "sounds")
    secret = root / "secret.txt"
    secret.write_bytes(SECRET)
    for name in ("models", "reports", "exports/good-web", "decisions"):
        (folder / name).mkdir(parents=True)
    (folder / "models" / "good.earmark").write_bytes(b"model")
    (folder / "models" / "bad.earmark").symlink_to(secret)
    (folder / "exports" / "bad.onnx").symlink_to(secret)
    (folder / "exports" / "good-web" / "index.html").write_bytes(b"page")
    (folder / "exports" / "good-web" / "bad.html").symlink_to(secret)
    (folder / "exports" / "good-web" / "deep").symlink_to(root)
    (folder / "exports" / "bad-web").symlink_to(root)
    (folder / "reports" / "good").mkdir()
    (folder / "reports" / "good" / "report.html").write_bytes(b"<h1>report</h1>")
    (folder / "reports" / "bad").mkdir()
    (folder / "reports" / "bad" / "report.html").symlink_to(secret)
    (folder / "reports" / "worse").symlink_to(folder / "reports" / "good")
    with studios.running(folder) as client:
        yield client


@pytest.mark.parametrize("route", [*ROUTES, *POSTED])
def test_no_path_leads_out_of_the_folder(shelf, route):
    for outside in OUTSIDE:
        method = "POST" if route in POSTED else "GET"
        reply = shelf.ask(method, route.format(outside))
        assert reply.status in (400, 404, 405, 422, 431), (outside, reply)
        assert SECRET not in reply.body and b"root:" not in reply.body
        assert str(shelf.studio.path.parent).encode() not in reply.body


@pytest.mark.parametrize(
    "path",
    ["/api/models/bad/file", "/reports/bad/report.html", "/reports/worse/report.html",
     "/api/exports/bad.onnx", "/api/exports/bad-web", "/api/models/bad/summary"],
)  # fmt: skip
def test_links_are_never_followed(shelf, path):
    reply = shelf.get(path)
    assert reply.status == 404 and SECRET not in reply.body


def test_a_web_folder_comes_as_an_archive_without_links(shelf):
    reply = shelf.get("/api/exports/good-web")
    assert reply.status == 200 and reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
        assert archive.namelist() == ["good-web/index.html"]
        assert archive.testzip() is None and archive.read("good-web/index.html") == b"page"


def test_a_report_may_run_nothing(shelf):
    reply = shelf.get("/reports/good/report.html")
    policy = reply.headers["content-security-policy"]
    assert reply.body == b"<h1>report</h1>"
    assert policy.startswith("sandbox") and "allow-scripts" not in policy
    assert "default-src 'none'" in policy and "allow-same-origin" not in policy


def test_names_of_downloads_cannot_add_headers(shelf):
    name = 'x"\r\nSet-Cookie: a=b\r\n\r\n<h1>;ü'
    path = shelf.studio.path / "models" / f"{name}.earmark"
    path.write_bytes(b"model")
    try:
        reply = shelf.get(f"/api/models/{urllib.parse.quote(name)}/file")
        assert reply.status == 200 and reply.body == b"model"
        assert "set-cookie" not in reply.headers
        header = reply.headers["content-disposition"]
        assert header.startswith("attachment; ") and "%C3%BC" in header and "<" not in header
    finally:
        path.unlink()


BODIES = [
    b"", b"null", b"[]", b"{", b"\xff", b"[" * 200_000, b'{"ids": null}', b'{"ids": []}',
    b'{"ids": ["../x"], "label": "a"}', b'{"ids": ["0123456789abcdef"], "label": "a\\u0000"}',
    b'{"ids": ["0123456789abcdef"], "label": "\\ud800"}', b'{"ids": {"a": 1}, "label": 1e400}',
    b'{"recording": "0123456789abcdef", "start": NaN, "end": 1, "label": null}',
    b'{"kind": "train", "choices": {"name": "../../x"}}', b'{"kind": "rm", "choices": {}}',
    b'{"kind": "train", "choices": {"name": "--report", "backbone": "--allow-remote"}}',
    b'{"id": "../../etc"}', b'{"old": "a", "new": "' + b"x" * 10_000 + b'"}',
    b'{"kind": "file", "name": "a.wav", "rate_hz": -1}', b'{"row": -1, "decision": "keep"}',
]  # fmt: skip
TAKING = ["label", "regions", "regions/move", "leave-out", "take-back", "delete", "classes/rename",
          "import", "uploads", "jobs", "command", "reviews/x/decide"]  # fmt: skip


@pytest.mark.parametrize("path", TAKING)
def test_a_body_that_is_wrong_gets_a_sentence_and_changes_nothing(shelf, path):
    before = shelf.get("/api/state").json["version"]
    for body in BODIES:
        own = {"Content-Type": "application/json"}
        reply = shelf.ask("POST", f"/api/{path}", body, own)
        assert reply.status in (400, 404, 415, 422), (body[:60], reply)
        assert reply.problem
    assert shelf.get("/api/state").json["version"] == before


def test_markup_in_names_and_labels_stays_text(tmp_path):
    label, name = '<img src=x onerror="alert(1)">', "</script><b>.wav"
    folder = write_sounds(tmp_path / "sounds")
    os.rename(folder / "low" / "a.wav", folder / "low" / name.replace("/", "_"))
    with studios.running(folder) as client:
        clip = client.get("/api/clips?count=1000").json["clips"][0]
        assert client.post("/api/label", {"ids": [clip["id"]], "label": label}).status == 200
        for path in ("/api/state", "/api/clips", "/api/recordings"):
            reply = client.get(path)
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["x-content-type-options"] == "nosniff"
        assert label in [row["name"] for row in client.get("/api/state").json["classes"]]


def test_names_that_are_not_utf8_are_shown(tmp_path):
    folder = write_sounds(tmp_path / "sounds")
    with contextlib.suppress(OSError):  # a system without such names
        os.rename(os.fsencode(folder / "low" / "a.wav"), os.fsencode(folder / "low") + b"/\xff.wav")
    with studios.running(folder) as client:
        for path in ("/api/state", "/api/clips", "/api/recordings"):
            assert client.get(path).status == 200


def test_an_upload_stays_in_the_folder(tmp_path):
    folder = write_sounds(tmp_path / "a" / "sounds")
    content = (folder / "low" / "a.wav").read_bytes()
    with studios.running(folder) as client:
        for name, inner in (("../../x.wav", "../.."), ("/etc/x.wav", "/etc"), ("..", ".studio"),
                            ("C:\\x.wav", "..\\.."), ("a\u202e.wav", "a/../../b")):  # fmt: skip
            reply = client.upload(name, content, folder=inner)
            assert reply.status in (200, 422), reply
    made = set(tmp_path.rglob("*.wav"))
    assert made and all(folder in path.parents for path in made)
    assert not (folder / "models").exists()


def test_uploads_have_limits(tmp_path):
    with studios.running(write_sounds(tmp_path / "sounds")) as client:
        asked = {"kind": "file", "name": "a.wav"}
        huge = client.post("/api/uploads", {**asked, "bytes": 2**39})
        assert huge.status in (413, 422)
        begun = [client.post("/api/uploads", asked) for _ in range(300)]
        assert begun[0].status == 200 and begun[-1].status in (413, 422, 429, 503)
        id = begun[0].json["upload"]
        piece = client.put(f"/api/uploads/{id}?offset=0", bytes(2**20 + 1))
        assert piece.status == 413
        assert client.put(f"/api/uploads/{id}?offset=5", b"x").status in (409, 422)
        assert client.delete(f"/api/uploads/{id}").status == 200
        assert client.put(f"/api/uploads/{id}?offset=0", b"x").status == 404


def test_a_slow_body_is_given_up(tmp_path, monkeypatch):
    from dataclasses import replace

    from earmark.apps.studio.settings import LIMITS

    limits = replace(LIMITS, body_s=0.3, header_s=0.3)
    with studios.running(write_sounds(tmp_path / "sounds"), limits=limits) as client:
        for begin in ("", "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"):
            with socket.create_connection(("127.0.0.1", client.port), timeout=30) as own:
                own.sendall(f"POST /api/label HTTP/1.1\r\nHost: localhost\r\n"
                            f"Cookie: {client.cookie}\r\n{begin}".encode())  # fmt: skip
                assert own.recv(100).split()[1] == b"408"


def test_a_fault_says_nothing_of_the_inside(shelf, monkeypatch):
    async def broken(self):
        raise RuntimeError("the inside")

    monkeypatch.setattr(Studio, "state", broken)
    reply = shelf.get("/api/state")
    assert reply.status == 500 and b"inside" not in reply.body and reply.problem


def test_problems_are_json_with_a_sentence(shelf):
    for path in ("/nothing", "/api/clips?count=-1", "/api/clips?count=1001", "/static/none.js"):
        reply = shelf.get(path)
        assert json.loads(reply.body)["status"] == reply.status >= 400
        assert reply.problem
