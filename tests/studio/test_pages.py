"""The files of the page: a fixed table with tags and types, and a policy for what it may do."""

import gzip
import hashlib
import re

from earmark.apps.studio.assets import HERE, TYPES, read_assets


def test_every_file_is_served_whole_with_its_type_and_tag(studio):
    assets = read_assets()
    assert {"index.html", "js/app.js", "css/base.css", "vendor/wavesurfer.js"} <= set(assets)
    for name, asset in assets.items():
        reply = studio.get(f"/static/{name}")
        assert reply.status == 200 and reply.body == asset.content
        assert reply.headers["content-type"] == TYPES["." + name.rsplit(".", 1)[1]]
        again = studio.get(f"/static/{name}", If_None_Match=reply.headers["etag"])
        assert again.status == 304 and again.body == b""
        assert reply.headers["cache-control"] == "no-cache"


def test_the_table_is_made_once(studio):
    path = HERE / "page" / "made-later.txt"
    path.write_text("later")
    try:
        assert studio.get("/static/made-later.txt").status == 404
        assert studio.get("/static/../app.py").status == 404
        assert studio.get("/static/js").status == 404
    finally:
        path.unlink()


def test_the_page_has_no_script_or_style_of_its_own_and_a_fresh_nonce(studio):
    nonces = set()
    for _ in range(2):
        reply = studio.get("/")
        text, policy = reply.body.decode(), reply.headers["content-security-policy"]
        nonce = re.search(r"style-src 'self' 'nonce-([\w-]+)'", policy)[1]
        assert f'<meta name="nonce" content="{nonce}">' in text and "{{" not in text
        assert "unsafe" not in policy and "script-src" not in policy
        assert not re.search(r"<style|<script(?! type=\"module\" src=)| style=| on\w+=", text)
        nonces.add(nonce)
    assert len(nonces) == 2


def test_the_page_is_light(studio):
    own = {name: asset for name, asset in read_assets().items() if not name.endswith(".txt")}
    sent = [studio.get(f"/static/{name}", Accept_Encoding="gzip, br") for name in own]
    assert sum(len(reply.body) for reply in sent) <= 215_000
    assert sum(len(asset.content) for asset in own.values()) <= 640_000
    for reply, asset in zip(sent, own.values(), strict=True):
        assert reply.headers["content-encoding"] == "gzip"
        assert gzip.decompress(reply.body) == asset.content


def test_a_sound_is_sent_in_parts_and_drawn(studio):
    id = studio.get("/api/clips").json["clips"][0]["id"]
    whole = studio.get(f"/api/sounds/{id}/audio")
    assert whole.status == 200 and whole.body[:4] == b"RIFF"
    for wanted, part in (("bytes=0-9", whole.body[:10]), ("bytes=-5", whole.body[-5:]),
                         ("bytes=40-", whole.body[40:])):  # fmt: skip
        reply = studio.get(f"/api/sounds/{id}/audio", Range=wanted)
        assert reply.status == 206 and reply.body == part
    assert studio.get(f"/api/sounds/{id}/audio", Range="bytes=999999-").status == 416
    assert studio.get(f"/api/sounds/{id}/audio?start=0&end=400").status in (413, 422)
    picture = studio.get(f"/api/sounds/{id}/picture?columns=20&rows=10")
    assert len(picture.body) == 200 and picture.headers["x-columns"] == "20"
    tag = picture.headers["etag"]
    path = f"/api/sounds/{id}/picture?columns=20&rows=10"
    assert studio.get(path, If_None_Match=tag).status == 304
    assert hashlib.sha256(studio.get(path).body).digest() == hashlib.sha256(picture.body).digest()
    assert studio.get(f"/api/sounds/{id}/picture?columns=99999").status == 422
