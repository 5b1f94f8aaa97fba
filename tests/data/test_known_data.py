"""Known data sets, from archives that are as theirs but tiny, and from a server on the loopback."""

import bz2
import contextlib
import csv
import dataclasses
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from audio_files import encode, noise
from earmark.apps.cli.app import app
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.known import catalogue, sets
from earmark.data.splits import make_scheme
from earmark.errors import DataError
from earmark.system import download, unpacking
from earmark.system.cache import cache_folder
from publisher import Publisher

WAV = encode(noise(80), "WAV")
Files = dict[str, bytes]


def esc50() -> Files:
    """Four clips in two folds; two of them in ESC-10, two of them of one recording."""
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    rows += ["1-100-A-0.wav,1,0,dog,True,100,A", "1-100-B-0.wav,1,0,dog,True,100,B"]
    rows += ["2-7-A-36.wav,2,36,vacuum_cleaner,False,7,A", "2-9-A-1.wav,2,1,rooster,True,9,A"]
    names = [row.split(",")[0] for row in rows[1:]]
    top = "ESC-50-33c8ce9/"
    files = {f"{top}audio/{name}": WAV for name in names}
    files |= {f"{top}meta/esc50.csv": "\n".join(rows).encode(), f"{top}LICENSE": b"by"}
    return files | {f"{top}pytest.ini": b"", f"{top}audio/._1-100-A-0.wav": b"junk"}


def fsdd() -> Files:
    top = "free-spoken-digit-dataset-1.0.10/"
    names = [f"{d}_{who}_{take}" for d in (0, 7) for who in ("ann", "bob") for take in (4, 5)]
    return {f"{top}recordings/{name}.wav": WAV for name in names} | {f"{top}utils/x.py": b""}


def speech_commands() -> Files:
    files = {f"./{w}/{s}_nohash_0.wav": WAV for w in ("yes", "no") for s in ("a1", "b2", "c3")}
    files |= {"./_background_noise_/pink_noise.wav": WAV, "./LICENSE": b"by"}
    files["./testing_list.txt"] = b"yes/b2_nohash_0.wav\nno/b2_nohash_0.wav\n"
    return files | {"./validation_list.txt": b"yes/c3_nohash_0.wav\n"}


def urbansound8k() -> Files:
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    rows += ["10-3-0-0.wav,10,0.0,0.3,1,5,3,dog_bark", "11-2-0-0.wav,11,58.5,62.5,1,10,2,children"]
    top = "UrbanSound8K/"
    files = {f"{top}audio/fold5/10-3-0-0.wav": WAV, f"{top}audio/fold10/11-2-0-0.wav": WAV}
    files[f"{top}metadata/UrbanSound8K.csv"] = "\n".join(rows).encode()
    return files | {f"{top}audio/fold5/.DS_Store": b"x", f"{top}UrbanSound8K_README.txt": b"by"}


FAKES = {
    "esc50": (esc50, 4),
    "esc10": (esc50, 3),
    "fsdd": (fsdd, 8),
    "fsdd-official": (fsdd, 8),
    "speech-commands": (speech_commands, 6),
    "urbansound8k": (urbansound8k, 2),
}


def packed(files: Files, kind: str = "zip") -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the known data sets as small as the fakes; no digests, no pauses, no network."""
    for name, (_, clips) in FAKES.items():
        change(monkeypatch, name, clips=clips)
        change_archive(monkeypatch, name, digest="")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "BACK_OFF_S", 0.001)


def change(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    known = dataclasses.replace(catalogue.KNOWN[name], **fields)  # type: ignore[arg-type]
    monkeypatch.setitem(catalogue.KNOWN, name, known)


def change_archive(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    archive = dataclasses.replace(catalogue.KNOWN[name].archive, **fields)  # type: ignore[arg-type]
    change(monkeypatch, name, archive=archive)


def archive_of(name: str, folder: Path, kind: str = "zip", **extra: bytes) -> Path:
    path = folder / f"{name}.archive"
    path.write_bytes(packed(FAKES[name][0]() | extra, kind))
    return path


def refusal(name: str, *arguments: object) -> str:
    with pytest.raises(DataError) as refused:
        sets.fetch(name, *arguments)  # type: ignore[arg-type]
    text = str(refused.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def shown(clip: Clip) -> tuple[str | None, ...]:
    return clip.path.name, clip.label, clip.group, clip.fold, clip.split


# Official folds


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", FAKES)
def test_an_archive_becomes_a_manifest(tmp_path: Path, name: str, kind: str) -> None:
    fetched = sets.fetch(name, tmp_path / "data", archive_of(name, tmp_path, kind))
    dataset = Dataset.read(fetched.manifest)
    assert len(dataset) == fetched.clips == FAKES[name][1]
    folder = tmp_path / "data" / catalogue.KNOWN[name].archive.name
    assert fetched.manifest == folder / f"{name}.csv"
    assert all(clip.path.read_bytes() == WAV for clip in dataset)
    kept = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not kept & {"pytest.ini", "x.py", ".DS_Store", "._1-100-A-0.wav", "pink_noise.wav"}
    if name == "esc10":
        assert list(map(shown, dataset)) == [
            ("1-100-A-0.wav", "dog", "100", "1", None),
            ("1-100-B-0.wav", "dog", "100", "1", None),
            ("2-9-A-1.wav", "rooster", "9", "2", None),
        ]
    elif name == "fsdd":
        assert shown(dataset.clips[0]) == ("0_ann_4.wav", "0", "ann", None, None)
        fold = make_scheme(dataset.clips, np.arange(8), seed=0)
        assert fold.description == "leave one of 2 groups out"
    elif name == "fsdd-official":
        assert [c.split for c in dataset] == ["test", "train"] * 4
        assert make_scheme(dataset.clips, np.arange(8)).description == "test split of 4 clips"
    elif name == "speech-commands":
        assert [(c.label, c.group, c.split) for c in dataset] == [
            ("no", "a1", "train"),
            ("no", "b2", "test"),
            ("no", "c3", "train"),
            ("yes", "a1", "train"),
            ("yes", "b2", "test"),
            ("yes", "c3", "validation"),
        ]
    elif name == "urbansound8k":
        assert list(map(shown, dataset)) == [
            ("10-3-0-0.wav", "dog_bark", "10", "5", None),
            ("11-2-0-0.wav", "children", "11", "10", None),
        ]
        assert all(clip.start is None for clip in dataset)  # those in its table are of the source


def test_a_subset_shares_what_was_unpacked(tmp_path: Path) -> None:
    sets.fetch("esc50", tmp_path, archive_of("esc50", tmp_path))
    again = sets.fetch("esc10", tmp_path)  # neither given nor downloaded
    assert again.manifest == tmp_path / "ESC-50" / "esc10.csv"
    assert (tmp_path / "ESC-50" / "esc50.csv").is_file()


def test_the_licence_and_the_hash_stay_with_the_recordings(tmp_path: Path) -> None:
    archive = archive_of("esc50", tmp_path)
    sets.fetch("esc50", tmp_path, archive)
    note = json.loads((tmp_path / "ESC-50" / "earmark.json").read_text())
    assert note["licence"] == "CC BY-NC 3.0"
    assert note["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (tmp_path / "ESC-50" / "LICENSE").read_bytes() == b"by"


# Hashes


@pytest.mark.parametrize(("kind", "printed"), [("sha256", "SHA-256"), ("md5", "MD5")])
def test_a_published_hash_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, printed: str
) -> None:
    archive = archive_of("fsdd", tmp_path)
    right = hashlib.new(kind, archive.read_bytes()).hexdigest()
    change_archive(monkeypatch, "fsdd", digest=f"{kind}:{right}")
    told = sets.fetch("fsdd", tmp_path / "a", archive).about_hash
    assert told == f"{printed} {right}, as published"
    change_archive(monkeypatch, "fsdd", digest=f"{kind}:{'0' * len(right)}")
    told = sets.fetch("fsdd", tmp_path / "b", archive).about_hash  # a copy, packed anew
    assert told == f"{printed} {right}, not the published {'0' * len(right)}"


def test_where_nothing_is_published_the_hash_seen_is_told(tmp_path: Path) -> None:
    archive = archive_of("fsdd", tmp_path)
    told = sets.fetch("fsdd", tmp_path, archive).about_hash
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert told == f"SHA-256 {sha256}; there is no published hash to compare it with"


# Downloads


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A server that has the tiny FSDD."""
    monkeypatch.delenv("EARMARK_OFFLINE", raising=False)
    with Publisher() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.content = packed(fsdd() | {"x/README.md": np.random.default_rng(0).bytes(50_000)})
        sha256 = hashlib.sha256(server.content).hexdigest()
        change_archive(
            monkeypatch,
            "fsdd",
            url=server.url,
            bytes=len(server.content),
            digest=f"sha256:{sha256}",
        )
        yield server
        server.over.set()
        server.shutdown()


def test_a_broken_download_goes_on_where_it_stopped(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [20_000, 503, 10_000]
    seen: list[int] = []
    fetched = sets.fetch("fsdd", tmp_path, None, lambda here, _: seen.append(here))
    assert fetched.clips == 8
    assert publisher.ranges == [None, "bytes=20000-", "bytes=20000-", "bytes=30000-"]
    assert max(seen) == len(publisher.content)
    assert not list((cache_folder() / "data").glob("*.download"))
    sets.fetch("fsdd", tmp_path)
    assert len(publisher.ranges) == 4  # not again


def test_a_download_that_was_given_up_is_continued_by_the_next(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.script = [20_000, 500, 500, 500, 500]
    text = refusal("fsdd", tmp_path)
    assert ": HTTP 500" in text
    assert "Run the same command again to continue where it stopped, or download it els" in text
    assert sets.fetch("fsdd", tmp_path).clips == 8
    assert publisher.ranges[-1] == "bytes=20000-"


def test_a_wrong_download_is_refused_and_thrown_away(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_archive(monkeypatch, "fsdd", digest="md5:" + "0" * 32)
    text = refusal("fsdd", tmp_path)
    assert "differs from the published FSDD: MD5 " in text
    assert "not the published 000" in text
    assert not list((cache_folder() / "data").glob("*.download"))
    assert not (tmp_path / "FSDD").exists()


def test_offline_nothing_is_fetched(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    assert "EARMARK_OFFLINE=1 forbids downloading http://127.0.0.1" in refusal("fsdd")
    assert not publisher.ranges


# Archives that will not do


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_no_name_leads_outside(tmp_path: Path, kind: str) -> None:
    bad = ["../evil.wav", "x/audio/../../evil.wav", "/audio/evil.wav", "..\\audio\\evil.wav"]
    bad += ["x/audio/..wav", "../../../meta/esc50.csv/../../evil.wav", "C:/audio/evil.wav"]
    archive = archive_of("esc50", tmp_path, kind, **dict.fromkeys(bad, b"evil"))
    fetched = sets.fetch("esc50", tmp_path / "deep" / "er", archive)
    inside = fetched.manifest.parent
    evil = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"evil"]
    assert all(path.parent == inside / "audio" for path in evil)  # the pattern said where
    assert fetched.clips == 4


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    out = io.BytesIO(packed(fsdd(), "tar.gz"))
    plain = io.BytesIO()
    with tarfile.open(fileobj=out) as old, tarfile.open(fileobj=plain, mode="w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("x/recordings/9_eve_1.wav")
            info.type, info.linkname = kind, "/etc/passwd"
            new.addfile(info)
    (tmp_path / "a.tar").write_bytes(plain.getvalue())
    fetched = sets.fetch("fsdd", tmp_path, tmp_path / "a.tar")
    assert not (fetched.manifest.parent / "recordings" / "9_eve_1.wav").exists()
    link = zipfile.ZipInfo("x/recordings/9_eve_1.wav")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        for name, content in fsdd().items():
            archive.writestr(name, content)
    fetched = sets.fetch("fsdd", tmp_path / "b", tmp_path / "a.zip")
    assert not (fetched.manifest.parent / "recordings" / "9_eve_1.wav").exists()


@pytest.mark.parametrize(
    "name",
    [
        *("../../secret.wav", "/secret.wav", "..\\secret.wav", "..", "a/b.wav", ""),
        *("C:\\secret.wav", "C:secret.wav", "secret\0.wav", "secret.wav\n", "\x1b[31m.wav"),
    ],
)
def test_a_table_names_nothing_outside(tmp_path: Path, name: str) -> None:
    """Not even where a file is there, and the numbers of rows and files agree."""
    (tmp_path / "secret.wav").write_bytes(WAV)
    files = esc50()
    table = next(key for key in files if key.endswith("esc50.csv"))
    rows = list(csv.reader(io.StringIO(files[table].decode())))
    rows[1][0] = name.replace("/secret", f"{tmp_path}/secret") if name[:1] == "/" else name
    rows[1][0] = rows[1][0].replace("\0", "\N{SYMBOL FOR NULL}")  # csv of Python 3.10 refuses NUL
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    text = out.getvalue().replace("\N{SYMBOL FOR NULL}", "\0")
    archive = archive_of("esc50", tmp_path, **{table: text.encode()})
    text = refusal("esc50", tmp_path / "to", archive)
    assert "does not have the files of ESC-50" in text and text.isprintable()
    assert not list((tmp_path / "to").iterdir())


def test_a_fold_leads_nowhere(tmp_path: Path) -> None:
    table = "UrbanSound8K/metadata/UrbanSound8K.csv"
    text = urbansound8k()[table].decode().replace(",5,", ",/../../x,", 1)
    archive = archive_of("urbansound8k", tmp_path, **{table: text.encode()})
    assert "which cannot be a file in audio" in refusal("urbansound8k", tmp_path, archive)


@pytest.mark.parametrize("damage", [b"filename,fold\n1.wav\n", b"filename\n" + b"x" * 200_000])
def test_a_table_of_another_layout_is_refused(tmp_path: Path, damage: bytes) -> None:
    table = next(key for key in esc50() if key.endswith("esc50.csv"))
    archive = archive_of("esc50", tmp_path, **{table: damage})
    assert "does not have the files of ESC-50" in refusal("esc50", tmp_path, archive)


def test_links_in_an_unpacked_folder_do_not_count(tmp_path: Path) -> None:
    inside = sets.fetch("fsdd", tmp_path, archive_of("fsdd", tmp_path)).manifest.parent
    (tmp_path / "elsewhere.wav").write_bytes(WAV)
    recording = next((inside / "recordings").iterdir())
    recording.unlink()
    recording.symlink_to(tmp_path / "elsewhere.wav")
    assert "has 7 clips, but" in refusal("fsdd", tmp_path)
    (inside / sets.NOTE).write_text("[]")
    recording.unlink()
    recording.write_bytes(WAV)
    assert "earmark.json is damaged. Delete the folder" in refusal("fsdd", tmp_path)


def test_a_link_in_the_place_of_the_unfinished_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "kept").touch()
    (tmp_path / ".FSDD.part").symlink_to(tmp_path / "private")
    sets.fetch("fsdd", tmp_path, archive_of("fsdd", tmp_path))
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["kept"]


@pytest.mark.parametrize("again", ["x/recordings/{}", "y/recordings/{}", "x/recordings/{upper}"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_two_members_of_one_name_are_refused(tmp_path: Path, kind: str, again: str) -> None:
    taken = Path(next(name for name in fsdd() if "recordings" in name)).name
    other = {again.format(taken, upper=taken.replace(".wav", "").upper() + ".wav"): b"other"}
    if next(iter(other)) in fsdd():
        with (
            pytest.warns(UserWarning, match="Duplicate name")
            if kind == "zip"
            else contextlib.nullcontext()
        ):
            content = packed_twice(fsdd(), other, kind)
    else:
        content = packed(fsdd() | other, kind)
    (tmp_path / "a").write_bytes(content)
    assert "twice, so it is damaged" in refusal("fsdd", tmp_path / "to", tmp_path / "a")


def packed_twice(files: Files, others: Files, kind: str) -> bytes:
    """Pack ``others`` after ``files``, under names that may be there already."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in [*files.items(), *others.items()]:
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, content in [*files.items(), *others.items()]:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_what_is_not_wanted_is_not_unpacked(tmp_path: Path) -> None:
    """Members that nobody could unpack do not matter: encrypted, of no known method, damaged."""
    content = bytearray(packed(fsdd() | {"x/secret.bin": b"s" * 99, "x/odd.bin": b"o" * 99}))
    for name, at, value in ((b"x/secret.bin", 8, 1), (b"x/odd.bin", 10, 99)):
        entry = content.rindex(name) - 46  # in the central directory
        assert content[entry : entry + 4] == b"PK\1\2"
        content[entry + at] = value
    (tmp_path / "a.zip").write_bytes(content)
    fetched = sets.fetch("fsdd", tmp_path, tmp_path / "a.zip")
    assert not list(fetched.manifest.parent.glob("*.bin"))


@pytest.mark.parametrize("name", ["x/skipped.bin", "x/recordings/1_a_1.wav"])
@pytest.mark.parametrize("size", [1 << 40, 200_000_000])
def test_a_size_that_lies_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = size
        tar.fileobj.write(info.tobuf())  # type: ignore[union-attr]
    (tmp_path / "a").write_bytes(out.getvalue())
    assert "unpacks to more than 100,000,000 bytes" in refusal("fsdd", tmp_path, tmp_path / "a")


def test_a_header_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 60_000_000
    (tmp_path / "a").write_bytes(gzip.compress(info.tobuf() + bytes(60_000_000), 1))
    tracemalloc.start()
    try:
        assert "is not a complete zip or tar archive" in refusal("fsdd", tmp_path, tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_mutants_are_refused_in_a_sentence_or_whole(tmp_path: Path, kind: str) -> None:
    whole = bytearray(packed(fsdd(), "zip" if kind == "zip" else "tar.gz"))
    if kind in ("tar.xz", "tar.bz2"):
        module = {"tar.xz": lzma, "tar.bz2": bz2}[kind]
        whole = bytearray(module.compress(gzip.decompress(bytes(whole))))
    rng = np.random.default_rng(0)
    for number in range(75):
        mutant = bytearray(whole)
        for at in rng.integers(len(mutant), size=rng.integers(1, 4)):
            mutant[at] = rng.integers(256)
        (tmp_path / "a").write_bytes(mutant)
        with contextlib.suppress(DataError):
            assert sets.fetch("fsdd", tmp_path / str(number), tmp_path / "a").clips == 8


def test_a_useless_download_is_thrown_away_even_if_no_hash_is_published(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_archive(monkeypatch, "fsdd", digest="")
    good, publisher.content = publisher.content, gzip.compress(b"not an archive")
    assert "is not a complete zip or tar archive" in refusal("fsdd", tmp_path)
    publisher.content = good
    assert sets.fetch("fsdd", tmp_path).clips == 8


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_swells_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    change_archive(monkeypatch, "fsdd", unpacked_bytes=1_000_000)
    bomb = archive_of("fsdd", tmp_path, kind, **{"x/recordings/1_a_1.wav": bytes(50_000_000)})
    assert bomb.stat().st_size < 100_000
    assert "unpacks to more than 1,000,000 bytes, the most expected" in refusal(
        "fsdd", tmp_path, bomb
    )
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 5)
    assert "has more than 5 names, the most expected" in refusal(
        "fsdd", tmp_path, archive_of("fsdd", tmp_path, kind)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fsdd.archive"]  # nothing is left


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_broken_archive_is_refused(tmp_path: Path, kind: str) -> None:
    noise_in_it = {"x/README.md": np.random.default_rng(0).bytes(100_000)}
    whole = archive_of("fsdd", tmp_path, kind, **noise_in_it).read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 2 : len(whole) // 2 + 20] = bytes(20)
    for content in (whole[: len(whole) // 2], bytes(middle), b"", b"hello" * 1_000):
        (tmp_path / "broken").write_bytes(content)
        text = refusal("fsdd", tmp_path / "to", tmp_path / "broken")
        assert "broken is not a complete zip or tar archive (" in text
        assert not list((tmp_path / "to").iterdir())
    assert sets.fetch("fsdd", tmp_path / "to", tmp_path / "fsdd.archive").clips == 8


def test_another_data_set_and_a_part_of_one_are_refused(tmp_path: Path) -> None:
    text = refusal("esc50", tmp_path, archive_of("fsdd", tmp_path))
    assert "fsdd.archive does not have the files of ESC-50, environmental sounds (" in text
    text = refusal("fsdd", tmp_path, archive_of("esc50", tmp_path))
    assert "esc50.archive has 0 clips, but FSDD, spoken digits (" in text
    part = {name: content for name, content in esc50().items() if "2-7-A" not in name}
    (tmp_path / "part").write_bytes(packed(part))
    assert "part has 3 clips, but ESC-50, environmental sounds (K. J. Piczak, 2015) has 4." in (
        refusal("esc50", tmp_path, tmp_path / "part")
    )
    assert "none does not exist. Give the archive from https://" in refusal(
        "esc50", tmp_path, tmp_path / "none"
    )
    assert (
        "no data set is called 'esc'. Did you mean 'esc50'? Give one of esc50, esc10, fsdd"
        in refusal("esc")
    )


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of("fsdd", tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    text = refusal("fsdd", tmp_path / "to", archive)
    assert ": No space left on device. Free some space there, or name another" in text
    assert not list((tmp_path / "to").iterdir())


# Commands


def test_the_commands(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["data", "list"])
    assert [line.split()[0] for line in ran.stdout.splitlines()] == list(FAKES)
    assert "CC BY-NC 3.0" in ran.stdout
    listed = json.loads(CliRunner().invoke(app, ["data", "list", "--json"]).stdout)["data"]
    assert {known["name"]: known["clips"] for known in listed}["esc10"] == 3
    archive = archive_of("esc50", tmp_path)
    ran = CliRunner().invoke(
        app, ["data", "fetch", "esc50", "--to", str(tmp_path), "--from", str(archive)]
    )
    assert ran.exit_code == 0
    assert ran.stdout == f"{tmp_path / 'ESC-50' / 'esc50.csv'}\n"
    assert "licence: CC BY-NC 3.0; see https://github.com/karolpiczak/ESC-50" in ran.stderr
    assert "there is no published hash" in ran.stderr


def test_the_table_is_in_order() -> None:
    for known in catalogue.KNOWN.values():
        archive = known.archive
        assert archive.url.startswith("https://")
        assert known.page.startswith("https://")
        assert archive.unpacked_bytes > archive.bytes > 10**6
        assert known.licence.startswith("CC BY")


def test_the_docs_list_them_all() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in catalogue.KNOWN)


@pytest.mark.parametrize("name", FAKES)
def test_a_folder_that_is_not_earmarks_is_refused_and_stays(name: str, tmp_path: Path):
    folder = tmp_path / catalogue.KNOWN[name].archive.name
    (folder / "recordings").mkdir(parents=True)
    (folder / "recordings" / "mine.wav").write_bytes(WAV)
    with pytest.raises(DataError, match=r"already exists and has no earmark.json.*--to"):
        sets.fetch(name, tmp_path, archive_of(name, tmp_path))
    assert [path.read_bytes() for path in folder.rglob("*.wav")] == [WAV]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_or_link_in_the_place_of_a_data_set_stays(kind: str, tmp_path: Path):
    place, mine = tmp_path / "FSDD", tmp_path / "mine"
    mine.mkdir()
    if kind == "file":
        place.write_bytes(b"notes")
    else:
        place.symlink_to(mine)
    with pytest.raises(DataError, match="already exists"):
        sets.fetch("fsdd", tmp_path, archive_of("fsdd", tmp_path))
    assert place.is_symlink() if kind == "link" else place.read_bytes() == b"notes"


def test_an_empty_folder_is_filled(tmp_path: Path):
    (tmp_path / "FSDD").mkdir()
    assert sets.fetch("fsdd", tmp_path, archive_of("fsdd", tmp_path)).clips == 8
