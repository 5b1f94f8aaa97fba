"""Who may ask: every way in that is not the studio's own page with its cookie is closed."""

import http.client
import socket

import pytest

from studios import Client

PAGES = ("/", "/api/state", "/static/index.html", "/api/events", "/reports/x/report.html")


def page(client, path, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.ask("GET", path, headers=given)


@pytest.mark.parametrize("path", PAGES)
def test_without_the_cookie_nothing_is_shown(studio, path):
    reply = Client(studio.port).get(path)
    assert reply.status == 401
    assert "earmark studio" in reply.problem


def test_the_icon_that_browsers_ask_for_is_nothing_and_nobody_elses_business(studio):
    for client in (studio, Client(studio.port)):
        reply = client.get("/favicon.ico")
        assert reply.status == 204 and not reply.body and "set-cookie" not in reply.headers
    assert page(studio, "/favicon.ico", Host="evil.example").status == 403
    assert Client(studio.port).post("/favicon.ico").status == 401


def test_a_person_without_the_cookie_reads_a_page(studio):
    reply = Client(studio.port).ask("GET", "/", headers={"Accept": "text/html,*/*"})
    assert reply.status == 401 and "text/html" in reply.headers["content-type"]
    assert b"earmark studio" in reply.body and studio.studio.path.name.encode() not in reply.body


def test_a_token_works_once(studio):
    token = studio.entry.invite()
    first, second = Client(studio.port), Client(studio.port)
    assert first.enter(token).status == 200
    assert first.get("/api/state").status == 200
    reply = second.enter(token)
    assert reply.status == 403 and "set-cookie" not in reply.headers
    assert second.get("/api/state").status == 401
    assert first.enter(token).status == 200, "a browser that has entered may open it again"


def test_only_opening_the_page_uses_a_token_up(studio):
    token = studio.entry.invite()
    stranger = Client(studio.port)
    assert stranger.ask("HEAD", f"/?token={token}").status == 401
    assert stranger.ask("GET", f"/api/state?token={token}").status == 401
    assert stranger.enter(token).status == 200


@pytest.mark.parametrize("token", ["", "wrong", "x" * 43, "%00", "%ff%fe", "a&token=b"])
def test_a_wrong_token_lets_nobody_in(studio, token):
    reply = Client(studio.port).ask("GET", f"/?token={token}", headers={"Accept": "text/html"})
    assert reply.status in (401, 403) and "set-cookie" not in reply.headers


def test_invitations_that_nobody_uses_are_forgotten(studio):
    first = studio.entry.invite()
    for _ in range(16):
        studio.entry.invite()
    assert Client(studio.port).enter(first).status == 403


def test_the_cookie_is_strict(studio):
    reply = Client(studio.port).enter(studio.entry.invite())
    name, *attributes = reply.headers["set-cookie"].split("; ")
    assert name.startswith(f"earmark-{studio.port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)


@pytest.mark.parametrize(
    "change",
    [
        lambda own: own[:-1] + ("A" if own[-1] != "A" else "B"),
        lambda own: own.replace("earmark-", "earmark-1"),  # that of another port
        lambda own: own.split("=")[0] + "=",
        lambda own: own.split("=")[0],
        lambda own: "earmark=" + own.split("=")[1],
        lambda own: own.upper(),
    ],
)
def test_another_cookie_is_refused(studio, change):
    assert Client(studio.port, change(studio.cookie)).get("/api/state").status == 401


def test_the_cookie_is_found_among_others(studio):
    many = f"a=b; {studio.cookie.split('=')[0]}=old; {studio.cookie}; c"
    assert Client(studio.port, many).get("/api/state").status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "",
     "127.0.0.2", "[::2]", "localhost@evil.example", "xlocalhost"],
)  # fmt: skip
def test_a_foreign_host_is_refused(studio, host):
    reply = page(studio, "/api/state", Host=host)
    assert reply.status in (400, 403)
    assert reply.problem


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9999", "127.0.0.1", "[::1]:80"])
def test_own_hosts_are_known_with_any_port_as_through_a_tunnel(studio, host):
    assert page(studio, "/api/state", Host=host).status == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}",
     "http://localhost:{port}", "http://127.0.0.1:{port}.evil.example", "file://"],
)  # fmt: skip
def test_a_foreign_origin_is_refused(studio, origin):
    reply = page(studio, "/api/state", Origin=origin.format(port=studio.port))
    assert reply.status == 403 and "may not use the studio" in reply.problem


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_port_is_refused(studio, site):
    assert page(studio, "/api/state", Sec_Fetch_Site=site).status == 403
    opened = page(studio, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Accept="text/html")
    assert opened.status != 403, "a link from elsewhere may open the page"


def test_a_change_by_a_browser_needs_an_origin(studio):
    headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    reply = studio.ask("POST", "/api/undo", b"{}", headers)
    assert reply.status == 403
    own = {**headers, "Origin": f"http://127.0.0.1:{studio.port}"}
    assert studio.ask("POST", "/api/undo", b"{}", own).status != 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_changes_nothing(studio, kind):
    reply = studio.ask("POST", "/api/undo", b"{}", {"Content-Type": kind})
    assert reply.status == 415


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(studio, method):
    assert studio.ask(method, "/api/state").status == 405


@pytest.mark.parametrize("name", ["Host", "Cookie", "Origin"])
def test_a_header_that_is_there_twice_is_refused(studio, name):
    own = {"Host": "localhost", "Cookie": studio.cookie, "Origin": "http://localhost"}
    connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=30)
    connection.putrequest("GET", "/api/state", skip_host=True)
    for key, value in [*own.items(), (name, own[name])]:
        connection.putheader(key, value)
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_every_answer_has_the_headers_that_keep_it_safe(studio):
    for path in ("/api/state", "/nothing", "/api/clips?first=x"):
        headers = studio.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"  # the token never leaves with a link
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("length", [2**21 + 1, 10**30])
def test_a_huge_body_is_refused_before_it_comes(studio, length):
    with socket.create_connection(("127.0.0.1", studio.port), timeout=30) as own:
        lines = ("POST /api/label HTTP/1.1", "Host: localhost", f"Cookie: {studio.cookie}",
                 "Content-Type: application/json", f"Content-Length: {length}")  # fmt: skip
        own.sendall("\r\n".join([*lines, "", ""]).encode() + b"[" * 1_000)
        assert own.recv(100).split()[1] in (b"413", b"400")


def test_a_body_of_chunks_is_counted(studio):
    parts = iter([b"[" * 2**16] * 40)
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=30)
    connection.request("POST", "/api/label", parts, {"Cookie": studio.cookie, **headers},
                       encode_chunked=True)  # fmt: skip
    reply = connection.getresponse()
    assert reply.status == 413 and b"smaller pieces" in reply.read()
    connection.close()
