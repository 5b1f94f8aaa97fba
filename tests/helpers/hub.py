"""A small Hugging Face Hub on the loopback: what `huggingface_hub` and earmark ask of the real one.

It has repositories with commits, small files inside commits and large ones by hash, private
repositories and one token. Attributes make it misbehave.
"""

import base64
import contextlib
import hashlib
import importlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_aTokenThatMayWrite"


@dataclass
class Repository:
    """Files by commit, and the commit of each branch."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        before = self.commits.get(self.branches.get(branch, ""), {})
        now = {**before, **files}
        text = repr(sorted((name, hashlib.sha256(x).hexdigest()) for name, x in now.items()))
        oid = hashlib.sha1(f"{len(self.commits)} {text}".encode()).hexdigest()
        self.commits[oid] = now
        self.branches[branch] = oid
        return oid

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)


@dataclass
class Hub:
    """The state of the server, and how it misbehaves."""

    url: str = ""
    closed: threading.Event = field(default_factory=threading.Event)
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tokens_at_store: list[str | None] = field(default_factory=list)
    cuts_uploads: bool = False  # the connection breaks in the middle of a large file
    keeps_half: bool = False  # a large file is stored in part
    sends: bytes | None = None  # instead of any large file
    claims_bytes: int | None = None  # the size of large files
    locked: bool = False  # descriptions may be read, and files may not
    drips: bool = False  # a description comes a byte at a time, without an end
    store: "Hub | None" = None  # another server that has the large files, as the real Hub has

    def add(self, name: str, files: dict[str, bytes], **settings: bool) -> str:
        """Add a commit to a repository, which is made if it is missing."""
        repository = self.repositories.setdefault(name, Repository(**settings))
        for content in files.values():
            self.objects[hashlib.sha256(content).hexdigest()] = content
        return repository.commit(files)


def is_large(name: str) -> bool:
    return name.endswith((".earmark", ".safetensors", ".bin"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    # Answers

    def answer(self, value: object, code: int = 200, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send(body, code, {"Content-Type": "application/json", **headers})

    def send(self, body: bytes, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, code: int, why: str = "") -> None:
        headers = {"X_Error_Code": why} if why else {}
        self.answer({"error": why or "no"}, code, **headers)

    @property
    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, name: str) -> Repository | None:
        """Return a repository that may be read, or refuse."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self.may_write):
            self.refuse(404 if self.headers.get("Authorization") else 401, "RepoNotFound")
            return None
        if found.gated and not self.may_write:
            self.refuse(403, "GatedRepo")
            return None
        return found

    # Reading

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[0] == "store":
            self.hub.tokens_at_store.append(self.headers.get("Authorization"))
            self.send(self.hub.objects[parts[1]], 200, {})
        elif parts[:2] == ["api", "models"]:
            revision = "/".join(parts[5:]) if parts[4:5] == ["revision"] else "main"
            self.describe("/".join(parts[2:4]), revision)
        elif parts[2:3] == ["resolve"]:
            self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.refuse(404)

    def describe(self, name: str, revision: str) -> None:
        if (repository := self.repository(name)) is None:
            return
        commit = repository.resolve(revision)
        if commit is None and repository.commits:
            self.refuse(404, "RevisionNotFound")
            return
        files = repository.commits.get(commit or "", {})
        if self.hub.drips:
            self.drip()
            return
        siblings = [self.entry(path, content) for path, content in files.items()]
        self.answer({"id": name, "sha": commit, "siblings": siblings, "private": False})

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while not self.hub.closed.wait(0.05):
                self.wfile.write(b" ")

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        entry = {"rfilename": path, "size": len(content), "blobId": blob}
        if is_large(path):
            size = len(content) if self.hub.claims_bytes is None else self.hub.claims_bytes
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 130}
        return entry

    def resolve(self, name: str, revision: str, path: str) -> None:
        if (repository := self.repository(name)) is None:
            return
        commit = repository.resolve(revision)
        content = repository.commits.get(commit or "", {}).get(path)
        if self.hub.locked:
            self.refuse(403, "GatedRepo")
        elif content is None or commit is None:
            self.refuse(404, "EntryNotFound")
        else:
            self.send_file(path, content, commit)

    def send_file(self, path: str, content: bytes, commit: str) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {"X_Repo_Commit": commit, "ETag": f'"{sha256}"'}
        if not is_large(path):
            self.send(content, 200, headers)
        elif self.hub.sends is not None:
            self.send(self.hub.sends, 200, headers)
        elif (store := self.hub.store) is None:
            self.send(content, 200, headers)
        else:
            store.objects[sha256] = content
            headers |= {"X_Linked_Etag": f'"{sha256}"', "X_Linked_Size": str(len(content))}
            self.send(b"", 302, headers | {"Location": f"{store.url}/store/{sha256}"})

    # Writing

    def do_POST(self) -> None:
        self.hub.requests.append(f"POST {self.path}")
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        body = self.body
        if parts == ["api", "validate-yaml"]:
            self.answer({"errors": [], "warnings": []})
        elif not self.may_write:
            self.refuse(403 if self.headers.get("Authorization") else 401)
        elif parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            is_private = asked.get("private") or asked.get("visibility") == "private"
            self.hub.repositories[name] = Repository(private=bool(is_private))
            self.answer({"url": f"{self.hub.url}/{name}"})
        elif parts[4:5] == ["preupload"]:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if is_large(file["path"]) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif parts[-3:] == ["lfs", "objects", "batch"]:
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.url}/upload/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif parts[4:5] == ["commit"]:
            self.commit("/".join(parts[2:4]), body)
        else:
            self.refuse(404)

    def commit(self, name: str, body: bytes) -> None:
        files = {}
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        oid = self.hub.repositories[name].commit(files)
        self.answer({"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def do_PUT(self) -> None:
        self.hub.requests.append(f"PUT {self.path}")
        if self.hub.cuts_uploads:
            self.rfile.read(100)
            self.close_connection = True
            self.connection.close()
            return
        content = self.body
        if self.hub.keeps_half:
            content = content[: len(content) // 2]
        self.hub.objects[self.path.rpartition("/")[2]] = content
        self.answer({})


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub on a free port of the loopback."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str, token: str | None = TOKEN) -> None:
    """Let `huggingface_hub` and earmark ask the hub at ``url``, and no other."""
    pytest.importorskip("huggingface_hub", reason="the extra earmark[hub] is not installed")
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("EARMARK_OFFLINE", "0")
    if token is None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    monkeypatch.setattr("earmark.system.download.BACK_OFF_S", 0.0)
