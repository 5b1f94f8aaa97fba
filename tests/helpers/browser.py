"""A headless Chromium and the site it visits: pages report what they saw with a POST.

The site is also the browser's proxy. So it hears of every request, to whatever host.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

# Chromium's own requests, which its flags do not all stop.
_BROWSERS = re.compile(
    r"(update|accounts|www|clients\d*|edgedl|redirector|safebrowsing|[\w-]+-pa)"
    r"\.(google|googleapis|gvt1)\.com"
)
LAN = "page.test"  # a host that is not this machine for the browser: not a secure context
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--no-pings",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--window-size=1000,1200",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)

FOR_PLAYWRIGHT = [flag for flag in FLAGS if not flag.startswith("--headless")]  # it adds its own


def chromium() -> str:
    """Return the browser's path; skip the test where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    return found or pytest.skip("Chromium is not installed: make test-browser installs it")


class Site(ThreadingHTTPServer):
    """Serves folders, each under its name; ``asked`` has the host and path of every request."""

    daemon_threads = True

    def __init__(self, folders: Mapping[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folders = folders
        self.asked: list[tuple[str, str]] = []
        self.reports: dict[str, Any] = {}
        self.reported = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def elsewhere(self) -> list[tuple[str, str]]:
        """Return the requests to other hosts, without those of the browser itself."""
        hosts = {f"127.0.0.1:{self.server_port}", LAN}
        others = [(host, path) for host, path in self.asked if host not in hosts]
        return [pair for pair in others if not _BROWSERS.fullmatch(pair[0].partition(":")[0])]

    def handle_error(self, *_: object) -> None:
        """Say nothing: a browser that ends leaves its connections open."""

    def report(self, name: str, seconds: float) -> Any:
        """Wait for the report of a page; its absence fails the test."""
        with self.reported:
            came = self.reported.wait_for(lambda: name in self.reports, seconds)
        assert came, f"no report {name!r} in {seconds} s; requests: {self.asked[-5:]}"
        return self.reports[name]


class Handler(SimpleHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._is_ours():
            super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_ours():
            with self.server.reported:
                self.server.reports[urlsplit(self.path).path.strip("/")] = json.loads(body)
                self.server.reported.notify_all()
            self.send_response(204)
            self.end_headers()

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, ""))
        self.send_error(403)

    def _is_ours(self) -> bool:
        host, path = urlsplit(self.path).netloc or self.headers["Host"], urlsplit(self.path).path
        self.server.asked.append((host, path))
        is_ours = host in (f"127.0.0.1:{self.server.server_port}", LAN)
        if not is_ours:
            self.send_error(403)
        return is_ours

    def translate_path(self, path: str) -> str:
        name, _, rest = urlsplit(path).path.strip("/").partition("/")
        folder = self.server.folders.get(name, Path("/nowhere"))
        return str(folder / rest) if ".." not in rest else "/nowhere"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folders: Mapping[str, Path]) -> Iterator[Site]:
    with Site(folders) as site:
        threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True).start()
        yield site
        site.shutdown()


@contextmanager
def visiting(url: str, profile: Path, *flags: str, proxy: Site | None = None) -> Iterator[None]:
    """Open a page in a browser of its own, which ends with the block."""
    command = [chromium(), *FLAGS, f"--user-data-dir={profile}", *flags]
    if proxy is not None:
        command += [f"--proxy-server={proxy.url}", "--proxy-bypass-list=<-loopback>"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, url], start_new_session=True, **quiet) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def dumped(url: str, profile: Path) -> str:
    """Return the document of a page as it is soon after it was loaded."""
    command = [chromium(), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
