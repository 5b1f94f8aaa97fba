"""The web folder: what is in it, where its runtime comes from, and what is never overwritten.

The registry is an HTTP server on the loopback. How the page behaves is in ``test_onnx_page.py``.
"""

import dataclasses
import errno
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from earmark.classifier.onnx import web, web_runtime
from earmark.classifier.onnx.web import check_web_folder, write_web_folder
from earmark.errors import EarmarkError, ModelError, WeightsError
from earmark.system import download
from npm_package import RUNTIME, hashes, npm_archive
from publisher import Publisher

MODEL = b"a graph"
DESCRIPTION = {"schema": 1, "kind": "clips", "labels": ["low", "<b>high</b>"], "rate_hz": 16_000}
PAGES = {path.name: path.read_text("utf-8") for path in web.PAGE.iterdir()}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A registry with a small package, an own cache, and leave to download."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("EARMARK_WEIGHTS", raising=False)
    monkeypatch.delenv("EARMARK_OFFLINE", raising=False)
    monkeypatch.setattr(download, "BACK_OFF_S", 0.001)
    with Publisher() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/npm/")
        publish(server, npm_archive(), monkeypatch)
        monkeypatch.setattr(web_runtime, "MEMBERS", hashes())
        yield server
        server.over.set()
        server.shutdown()


def publish(server: Publisher, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``archive`` the published one."""
    server.content = archive
    pinned = {"sha256": hashlib.sha256(archive).hexdigest(), "bytes": len(archive)}
    monkeypatch.setattr(web_runtime, "ARCHIVE", dataclasses.replace(web_runtime.ARCHIVE, **pinned))


def write(folder: Path) -> dict[str, bytes]:
    write_web_folder(folder, MODEL, DESCRIPTION, "MIT\n")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(folder: Path, error: type[EarmarkError] = EarmarkError) -> str:
    before = sorted(folder.parent.iterdir())
    with pytest.raises(error) as raised:
        write(folder)
    assert sorted(folder.parent.iterdir()) == before, "something was left behind"
    return str(raised.value)


def test_the_folder_has_the_page_the_classifier_the_runtime_and_every_licence(registry, tmp_path):
    inside = write(tmp_path / "site")
    assert inside["model.onnx"] == MODEL
    described = json.loads(inside["model.json"])
    assert described == {**DESCRIPTION, "file_sha256": hashlib.sha256(MODEL).hexdigest()}
    assert {name: inside[name] for name in RUNTIME} == RUNTIME
    assert inside["LICENSES.txt"] == b"MIT\n"
    assert b"Copyright (c) Microsoft" in inside["onnxruntime-web-LICENSE.txt"]
    assert {*PAGES, *RUNTIME} <= inside.keys() <= {*PAGES, *web.WRITTEN}


def test_the_notices_of_the_runtimes_libraries_are_copied(registry, tmp_path):
    pytest.importorskip("onnxruntime", reason="it carries the notices")
    assert b"protobuf" in write(tmp_path / "site")[web.NOTICES]


def test_the_runtime_is_downloaded_once_and_then_works_offline(registry, tmp_path, monkeypatch):
    assert not web_runtime.is_runtime_at_hand()
    first = write(tmp_path / "first")
    assert len(registry.ranges) == 1 and web_runtime.is_runtime_at_hand()
    cached = [path.name for path in (tmp_path / "cache").rglob("*.tgz")]
    assert not cached, "the archive is larger than what is used of it"
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    assert write(tmp_path / "second") == first
    assert len(registry.ranges) == 1


def test_offline_without_the_runtime_a_sentence_says_what_to_do(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    said = refusal(tmp_path / "site", WeightsError)
    assert "EARMARK_OFFLINE=1 forbids" in said and "EARMARK_WEIGHTS" in said
    assert not registry.ranges


def test_an_archive_that_was_carried_here_needs_no_network(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "stick"))
    (tmp_path / "stick").mkdir()
    carried = tmp_path / "stick" / web_runtime.ARCHIVE.name
    carried.write_bytes(registry.content)
    assert write(tmp_path / "site").keys() >= RUNTIME.keys()
    assert carried.exists()


def test_a_cut_download_is_continued(registry, tmp_path):
    registry.script = [1_500]  # bytes, then the line is cut
    assert write(tmp_path / "site")["ort.wasm.min.mjs"] == RUNTIME["ort.wasm.min.mjs"]
    assert registry.ranges == [None, "bytes=1500-"]


def test_another_archive_is_refused(registry, tmp_path):
    registry.content = npm_archive({**RUNTIME, "ort.wasm.min.mjs": b"evil()"})
    assert "is not the published" in refusal(tmp_path / "site", WeightsError)


@pytest.mark.parametrize("name", RUNTIME)
def test_an_archive_without_one_of_the_files_is_refused(name, registry, tmp_path, monkeypatch):
    members = {key: content for key, content in RUNTIME.items() if key != name}
    publish(registry, npm_archive(members), monkeypatch)
    assert "lacks files" in refusal(tmp_path / "site", WeightsError)


def test_a_link_in_the_archive_is_not_followed(registry, tmp_path, monkeypatch):
    publish(registry, npm_archive(link="ort.wasm.min.mjs"), monkeypatch)
    assert "lacks files" in refusal(tmp_path / "site", WeightsError)


def test_an_archive_that_unpacks_to_too_much_is_refused(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(web_runtime, "UNPACKED_BYTES", 300)
    assert "unpacks to more than" in refusal(tmp_path / "site", WeightsError)


def test_a_damaged_copy_in_the_cache_is_fetched_again(registry, tmp_path):
    write(tmp_path / "site")
    (web_runtime.runtime_folder() / "ort.wasm.min.mjs").write_bytes(b"evil()")
    assert write(tmp_path / "again")["ort.wasm.min.mjs"] == RUNTIME["ort.wasm.min.mjs"]
    assert len(registry.ranges) == 2


def test_an_older_folder_of_earmark_is_replaced(registry, tmp_path):
    site = tmp_path / "site"
    write(site)
    (site / "model.onnx").write_bytes(b"older")
    assert write(site)["model.onnx"] == MODEL
    shutil.rmtree(site)
    site.mkdir()
    assert write(site), "an empty folder is used"


def test_a_folder_of_somebody_else_stays_as_it_is(registry, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<title>My page</title>")
    assert "has other files, such as 'index.html'" in refusal(site)
    assert (site / "index.html").read_text() == "<title>My page</title>"
    shutil.rmtree(site)
    write(site)
    (site / "notes.txt").write_text("mine")
    assert "did not write: 'notes.txt'" in refusal(site)
    assert not registry.ranges[1:]


def test_a_file_a_link_and_a_missing_place_are_refused_before_anything_is_fetched(
    registry, tmp_path
):
    (tmp_path / "file").write_text("")
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert "is no folder" in refusal(tmp_path / "file")
    assert "is a link" in refusal(tmp_path / "link")
    with pytest.raises(EarmarkError, match="no folder"):
        check_web_folder(tmp_path / "none" / "site")
    assert not registry.ranges


def test_a_full_disk_leaves_the_older_folder(registry, tmp_path, monkeypatch):
    before = write(tmp_path / "site")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(web.shutil, "copyfile", full)
    assert "the disk is full" in refusal(tmp_path / "site")
    assert {p.name: p.read_bytes() for p in (tmp_path / "site").iterdir()} == before


def test_a_classifier_of_events_gets_no_page(registry, tmp_path):
    with pytest.raises(ModelError, match="for classifiers of clips"):
        write_web_folder(tmp_path / "site", MODEL, {**DESCRIPTION, "kind": "stream"}, "")
    assert not (tmp_path / "site").exists()


def test_the_published_archive_is_pinned_by_hash_and_version():
    archive = web_runtime.ARCHIVE
    assert archive.url.startswith("https://registry.npmjs.org/") and len(archive.sha256) == 64
    assert web_runtime.VERSION in archive.url and web_runtime.VERSION in archive.name


@pytest.mark.parametrize("name", PAGES)
def test_the_page_names_no_other_host_and_sets_no_markup(name):
    text = PAGES[name]
    hosts = set(re.findall(r"https?://(\w+(?:\.\w+)*)", text))
    assert hosts <= {"localhost"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


def test_every_file_that_the_page_names_is_in_the_folder():
    named = re.findall(
        r"(?:src|href|from|import|URL\(|get\()[ =(]*\"(\.?/?[\w.-]+\.\w+)\"",
        "".join(PAGES.values()),
    )
    missing = {name.removeprefix("./") for name in named} - {*PAGES, *web.WRITTEN}
    assert len(named) > 15 and not missing


def test_the_page_allows_itself_nothing_from_elsewhere():
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', PAGES["index.html"])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert "unsafe-inline" not in policy and "http" not in policy and "*" not in policy
    assert not re.search(r"<script>|<style|style=|\son\w+=", PAGES["index.html"])
