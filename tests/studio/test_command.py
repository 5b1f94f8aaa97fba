"""`earmark studio FOLDER`: one for a folder, an address for each browser, and an orderly end."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from command_line import earmark
from earmark.apps.studio.settings import StudioSettings
from earmark.errors import EarmarkError
from studios import Client, command


def token_of(address):
    return address.rpartition("token=")[2]


def test_it_prints_an_address_that_lets_one_browser_in(sounds):
    with command(sounds) as own:
        assert own.get("/api/state").status == 401
        assert own.enter(token_of(own.address)).status == 200
        assert own.get("/api/state").json["folder"]["name"] == sounds.name
        assert Client(own.port).enter(token_of(own.address)).status == 403
        said = own.stop()
    assert own.process.returncode == 0
    assert "Ctrl-C" in said and "fault" not in said and "Traceback" not in said
    assert not (sounds / ".studio" / "address.json").exists()


def test_a_second_command_gives_another_address_of_the_same_studio(sounds):
    with command(sounds) as first:
        with command(sounds) as second:
            assert second.process.wait(30) == 0
            assert second.port == first.port and second.address != first.address
            assert second.enter(token_of(second.address)).status == 200
            assert second.get("/api/state").status == 200
        assert Client(first.port).enter(token_of(second.address)).status == 403
        assert first.enter(token_of(first.address)).status == 200
        tokens = sounds / ".studio" / "tokens"
        assert not list(tokens.iterdir())
        assert os.name != "posix" or stat.S_IMODE(tokens.stat().st_mode) == 0o700
    with command(sounds) as again:  # after a kill nothing is in the way
        assert again.port == first.port, "pages that are open go on"
        assert Client(again.port, first.cookie).get("/api/state").status == 401
        assert again.enter(token_of(again.address)).status == 200


def test_a_port_that_is_taken_by_now_is_left_to_its_owner(sounds):
    from earmark.apps.studio import running, server

    (sounds / ".studio").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        running.say_address(sounds, f"http://127.0.0.1:{taken}")
        assert running.last_port(sounds) == taken
        with server.bound_again(sounds, StudioSettings()) as listener:
            assert listener.getsockname()[1] != taken


@pytest.mark.parametrize("text", ["", "x", "22", "6667", "-1", "70000", "9" * 10_000])
def test_a_port_that_no_system_gives_out_is_not_taken_up(sounds, text):
    from earmark.apps.studio import running

    (sounds / ".studio").mkdir()
    (sounds / ".studio" / "port").write_text(text)
    assert running.last_port(sounds) == 0


def test_a_token_that_somebody_else_left_is_refused(sounds, monkeypatch):
    from earmark.apps.studio import entry

    token = entry.leave(sounds)
    own = entry.Entry(1, sounds)
    monkeypatch.setattr(os, "getuid", lambda: 12_345, raising=False)
    assert not own.admit(token)
    monkeypatch.undo()
    assert own.admit(token) and not own.admit(token)


def test_a_studio_on_another_machine_is_named(sounds, monkeypatch):
    from earmark.apps.studio import running

    with running.claimed(sounds) as is_ours:
        assert is_ours
        running.say_address(sounds, "http://127.0.0.1:1")
        monkeypatch.setattr(running.socket, "gethostname", lambda: "elsewhere")
        with pytest.raises(EarmarkError, match="is open in a studio on the machine"):
            running.invitation(sounds)


def test_other_folders_are_named_when_a_studio_starts_and_not_later(sounds, tmp_path):
    from earmark.apps.studio import running

    done = earmark("studio", sounds, "--recordings", tmp_path / "none", expect=2)
    assert "is no folder" in done.stderr
    with running.claimed(sounds):
        done = earmark("studio", sounds, "--recordings", tmp_path, "--no-browser", expect=2)
    assert "is open in a studio already" in done.stderr and "--recordings" in done.stderr


def test_a_folder_is_made_but_no_path_of_folders(tmp_path):
    with command(tmp_path / "new") as own:
        assert own.enter(token_of(own.address)).status == 200
        assert "did not exist" in own.stop()
    done = earmark("studio", tmp_path / "a" / "b", "--no-browser", expect=2)
    assert "cannot make the folder" in done.stderr


def test_a_token_in_a_file_works_each_time(sounds, tmp_path):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    file.chmod(0o600)
    with command(sounds, "--token-file", file) as own:
        assert own.address.endswith("token=")
        for _ in range(2):
            assert Client(own.port).enter("0123456789abcdef").status == 200
        assert Client(own.port).enter("0123456789abcdeX").status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_other_machines_need_tls(host):
    with pytest.raises(EarmarkError, match="--tls-cert"):
        StudioSettings(host=host)


def test_the_first_screen_needs_no_torch(sounds):
    code = (
        "import sys\nfrom earmark.apps.studio import server\n"
        "print([name for name in ('torch', 'sklearn', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_opens_from_a_file_that_others_cannot_read(sounds, monkeypatch, tmp_path):
    import webbrowser

    from earmark.apps.cli.studio import _open

    opened, has_opened = [], threading.Event()

    class Browser:
        def open(self, address):
            opened.append(address)
            has_opened.set()

    monkeypatch.setattr(webbrowser, "get", Browser)
    (sounds / ".studio").mkdir()
    _open(sounds, "http://127.0.0.1:1/?token=secret")
    assert has_opened.wait(30)
    assert opened == [(sounds / ".studio" / "open.html").as_uri()]
    page = sounds / ".studio" / "open.html"
    assert "secret" in page.read_text() and "secret" not in opened[0]
    assert os.name != "posix" or stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_job_goes_on_when_the_studio_stops(sounds):
    from earmark.apps.studio.jobs.files import JobFiles

    with command(sounds) as own:
        own.enter(token_of(own.address))
        choices = {"name": "m", "backbone": "logmel", "unknown": False}
        id = own.post("/api/jobs", {"kind": "train", "choices": choices}).json["id"]
        assert (sounds / "earmark.csv").is_file(), "the command reads what the page shows"
        while own.get(f"/api/jobs/{id}").json["started_at"] is None:
            time.sleep(0.05)
        assert "goes on" in own.stop()
    with command(sounds) as again:
        again.enter(token_of(again.address))
        while (job := again.get(f"/api/jobs/{id}").json)["state"] == "running":
            time.sleep(0.1)
        assert job["state"] == "failed" and "at least 3" in job["error"]
    assert json.dumps(JobFiles(sounds, id).load().id)
