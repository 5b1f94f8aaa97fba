"""The files of examples/serve: their commands are those of earmark, and nothing runs as root."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from earmark.apps.cli.app import app
from earmark.apps.service.settings import Limits

FOLDER = Path(__file__).parents[2] / "examples" / "serve"
ROOT = FOLDER.parents[1]
OF_THE_USER = {"mine.earmark"}  # everything else that is copied lies in the repository


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile: a name and its text, with its lines joined."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).strip().splitlines()
    pairs = [line.partition(" ") for line in lines if line]
    assert {name for name, _, _ in pairs} <= {
        "FROM", "COPY", "RUN", "USER", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT",
        "CMD",
    }  # fmt: skip
    return [(name, value) for name, _, value in pairs]


def unit() -> dict[str, list[str]]:
    """The settings of the systemd unit: all values by name."""
    settings: dict[str, list[str]] = {}
    for line in (FOLDER / "earmark.service").read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            name, sign, value = line.partition("=")
            assert sign and name.isalpha(), line
            settings.setdefault(name, []).append(value)
    return settings


def parsed(words: list[str]) -> dict[str, object]:
    """Parse a command as ``earmark`` does; return its arguments and options."""
    assert Path(words[0]).name == "earmark" and words[1] == "serve"
    command = typer.main.get_command(app).commands["serve"]
    return command.make_context("serve", words[2:]).params


def test_the_commands_of_both_files_are_commands_of_earmark():
    start = dict(instructions())
    container = parsed([*json.loads(start["ENTRYPOINT"]), *json.loads(start["CMD"])])
    (line,) = unit()["ExecStart"]
    systemd = parsed(shlex.split(line))
    for options in (container, systemd):
        assert options["port"] == 8000 and options["workers"] == 2
    assert container["host"] == "0.0.0.0" and systemd["host"] == "127.0.0.1"
    assert str(systemd["token_file"]) == "%d/token"


def test_the_container_needs_no_root_and_no_disk():
    steps = instructions()
    stages = [value for name, value in steps if name == "FROM"]
    assert all(re.match(r"docker\.io/library/python:3\.\d+-slim\b", stage) for stage in stages)
    for name, value in steps:
        if name == "COPY" and not value.startswith("--from="):
            *sources, _ = [word for word in value.split() if not word.startswith("--")]
            for source in set(sources) - OF_THE_USER:
                assert (ROOT / source).exists(), source
    last = len(steps) - [name for name, _ in steps][::-1].index("FROM")
    after = steps[last:]
    user = dict(after)["USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert [name for name, _ in after].index("USER") < [name for name, _ in after].index(
        "ENTRYPOINT"
    )
    assert "--constraint" in str(steps) and "TOKEN=" not in str([s for s in steps if s[0] == "ENV"])
    assert dict(after)["STOPSIGNAL"] == "SIGTERM"
    head = (FOLDER / "Containerfile").read_text().partition("FROM")[0]
    for option in ("--read-only", "--cap-drop=all", "no-new-privileges", "target=EARMARK_TOKEN"):
        assert option in head


def test_the_health_check_needs_only_the_standard_library(tmp_path):
    value = dict(instructions())["HEALTHCHECK"]
    words = json.loads(value.partition("CMD ")[2])
    assert words[1] == "-c" and "/healthz" in words[2]
    program = words[2].replace("8000", "9")  # nothing listens there
    done = subprocess.run(
        [shutil.which("python3") or "python", "-I", "-S", "-c", program], capture_output=True
    )
    assert done.returncode == 1 and b"URLError" in done.stderr


def test_the_unit_gives_the_service_time_to_drain_and_no_rights():
    settings = unit()

    (seconds,) = settings["TimeoutStopSec"]
    assert float(seconds) > Limits().drain_s
    assert settings["KillSignal"] == ["SIGTERM"]
    assert settings["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    yes = "DynamicUser NoNewPrivileges ProtectHome PrivateTmp PrivateDevices RestrictNamespaces"
    assert all(settings[name] == ["yes"] for name in yes.split())
    assert settings["ProtectSystem"] == ["strict"] and settings["CapabilityBoundingSet"] == [""]
    assert settings["LoadCredential"] == ["token:/etc/earmark/token"] and "MemoryMax" in settings
    (files,) = settings["LimitNOFILE"]
    assert int(files) > 2 * Limits().connections


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_knows_the_unit_and_finds_it_safe(tmp_path):
    text = (FOLDER / "earmark.service").read_text()
    path = tmp_path / "earmark.service"
    path.write_text(text.replace("/opt/earmark/bin/earmark", shutil.which("true")))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if "earmark.service" in line]
    assert not told and done.returncode == 0, done.stderr
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=20", path]
    done = subprocess.run(words, capture_output=True, text=True)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is older than 250")
    assert done.returncode == 0, done.stdout[-400:]


def test_the_proxy_allows_what_the_service_takes_and_no_more():
    text = (FOLDER / "nginx.conf").read_text()
    assert text.count("{") == text.count("}")
    limits = Limits()

    def value(name: str) -> float:
        (found,) = set(re.findall(rf"\b{name}\s+(\d+)[sm]", text))
        return float(found)

    most = value("client_max_body_size") * 2**20
    assert limits.body_bytes < most <= 1.1 * limits.body_bytes
    assert value("client_header_timeout") == limits.header_s
    assert value("client_body_timeout") == limits.body_s
    assert limits.deadline_s < float(re.findall(r"proxy_read_timeout (\d+)s", text)[0])
    for line in ("proxy_set_header Host $host;", "proxy_set_header X-Request-Id $request_id;",
                 "location = /v1/listen {", "proxy_set_header Upgrade $http_upgrade;"):  # fmt: skip
        assert line in text


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not here")
def test_nginx_knows_the_configuration(tmp_path):
    text = re.sub(r"ssl_certificate.*\n", "", (FOLDER / "nginx.conf").read_text())
    text = text.replace("listen 443 ssl", "listen 8443")
    path = tmp_path / "nginx.conf"
    path.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n")
    done = subprocess.run(["nginx", "-t", "-c", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
