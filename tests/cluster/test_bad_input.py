"""What can go wrong with parts: changed data, two drivers, recordings elsewhere, cut files."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.embeddings import parts as parts_module
from earmark.embeddings import sections
from earmark.embeddings.part_files import write_part
from object_store import SECRET, open_store
from tones import RATE_HZ, noise, tone

pytest.importorskip("pyarrow")
SLOW = pytest.mark.slow  # for those that would run the same lines again
WORK = [pytest.param("embed", marks=SLOW), "predict", pytest.param("detect", marks=SLOW)]


@pytest.fixture
def here(stub, tmp_path, monkeypatch) -> Path:
    """A current folder with eight recordings and a manifest, ``meta.csv``."""
    monkeypatch.chdir(tmp_path)
    names = [f"{k}.wav" for k in range(8)]
    for k, name in enumerate(names):
        x = np.concatenate([noise(0.6, k), tone("high", 0.7), noise(0.5, k)])
        soundfile.write(name, x, RATE_HZ)
    write_manifest(names)
    return tmp_path


def write_manifest(names: list[str]) -> None:
    Path("meta.csv").write_text("\n".join(["path", *names]) + "\n")


def command(work: str, models: Path, out: str, *options: object) -> tuple:
    """The command that computes ``meta.csv`` into parts."""
    if work == "embed":
        return ("embed", "meta.csv", "--backbone", "logmel", "-o", out, *options)
    on = ("--on", "local") if "--on" not in options else ()
    return (work, models / f"{work}.earmark", "meta.csv", "-o", out, *on, *options)


def told(*arguments: object, expect: int = 0) -> dict:
    return json.loads(earmark(*arguments, "--json", expect=expect).stdout)


def content(out: str) -> dict[str, bytes]:
    """The files of parts and the tables; nothing else may be there, hidden or not."""
    return {path.name: path.read_bytes() for path in Path(out).iterdir()}


def parts(out: str) -> list[Path]:
    return sorted(Path(out).glob("part-*"))


@pytest.mark.parametrize("work", WORK)
def test_a_manifest_that_changes_between_runs(here, models, work):
    assert told(*command(work, models, "out"))["computed"] == 3
    write_manifest([f"{k}.wav" for k in (0, 1, 2, 5, 4, 3, 6, 7)])
    done = earmark(*command(work, models, "out"))
    assert "3 parts, 1 computed now" in done.stdout and "1 file in out belongs to no" in done.stderr
    assert told(*command(work, models, "new"))["computed"] == 3
    new = content("new")
    assert {name: data for name, data in content("out").items() if name in new} == new


@pytest.mark.parametrize("work", ["predict", "detect"])
def test_a_manifest_that_changes_while_it_is_read(here, models, work, monkeypatch):
    compute = parts_module.compute_parts

    def then_changed(*arguments, **settings):
        done = compute(*arguments, **settings)
        write_manifest([f"{k}.wav" for k in (0, 1, 2, 5, 4, 3, 6, 7)])
        return done

    monkeypatch.setattr(parts_module, "compute_parts", then_changed)
    failed = earmark(*command(work, models, "out"), expect=2)
    assert "meta.csv has changed while it was read. Run the same command again." in failed.stderr
    monkeypatch.undo()
    monkeypatch.chdir(here)


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("on", [pytest.param("local", marks=SLOW), "ray"])
def test_two_drivers_on_one_folder(here, models, work, on, monkeypatch):
    told(*command(work, models, "alone"))
    others = []

    def other_first(path, part, *rest):
        """Before the first file is written, another driver does all the work."""
        if not others:
            others.append(part.number)
            others.append(told(*command(work, models, "out", "--on", on))["computed"])
        return write_part(path, part, *rest)

    monkeypatch.setattr(parts_module, "write_part", other_first)
    done = told(*command(work, models, "out"))
    assert others == [0, 3] and 1 <= done["computed"] <= 3 and done["parts"] == 3
    assert content("out") == content("alone")


@pytest.mark.parametrize("work", WORK)
def test_part_files_that_were_cut_or_exchanged(here, models, work):
    told(*command(work, models, "out"))
    whole = content("out")
    for options in ((), ("--on", "ray")):
        first, second, third = parts("out")
        first.write_bytes(first.read_bytes()[:-9])
        shutil.copy(third, second)
        done = earmark(*command(work, models, "out", *options))
        assert f"{first} has changed since it was written" in done.stderr
        assert f"{second} has changed since it was written" in done.stderr
        assert "3 parts, 2 computed now" in done.stdout and content("out") == whole
        (Path("out") / "parts.csv").unlink()
        first.write_bytes(first.read_bytes()[:-9])
        second.write_bytes(b"")
        done = earmark(*command(work, models, "out", *options))
        assert f"{first} is cut or damaged" in done.stderr and f"{second} is cut" in done.stderr
        assert "3 parts, 2 computed now" in done.stdout and content("out") == whole


@pytest.mark.parametrize("work", WORK)
def test_a_bucket_without_permission(here, models, work):
    pytest.importorskip("moto")
    with open_store() as store:
        for bucket, name in (("recordings", "0.wav"), ("recordings", "1.wav"), (SECRET, "2.wav")):
            store.put(name, Path(name).read_bytes(), bucket)
        uris = [store.uri("0.wav"), store.uri("1.wav", "http"), store.uri("2.wav", bucket=SECRET)]
        write_manifest([*uris, "3.wav"])
        failed = told(*command(work, models, "out", "--allow-remote"), expect=1)
        ((path, reason),) = [(row["path"], row["reason"]) for row in failed["skipped"]]
        assert path == uris[2] and reason.startswith("access is denied (403); check the")
        assert (failed["computed"], failed["failures"]) == (2, 1)
        assert told(*command(work, models, "out", "--allow-remote"), expect=1)["computed"] == 0
        again = ("--allow-remote", "--retry-failed")
        assert told(*command(work, models, "out", *again), expect=1)["computed"] == 1
        refused = earmark(*command(work, models, "out"), expect=2).stderr
        assert "Nothing was fetched." in refused


@pytest.mark.parametrize("work", WORK[:2])
@pytest.mark.parametrize("is_long", [False, True])
def test_a_recording_that_changes_while_it_is_read(here, models, work, is_long, monkeypatch):
    if is_long:
        monkeypatch.setattr(sections, "LONG_S", 1.0)
    Path("meta.csv").write_text("path,start,end\n0.wav,,\n1.wav,0.1,\n1.wav,0,1.5\n")
    cut, changed = sections._cut, []

    def cut_and_change(backbone, request, *rest):
        if request.clip.start == 0.1 and not changed:
            changed.append(request.clip.name)
            shutil.copy("2.wav", "other")
            os.replace("other", "1.wav")
        return cut(backbone, request, *rest)

    monkeypatch.setattr(sections, "_cut", cut_and_change)
    failed = told(*command(work, models, "out"), expect=1)
    reasons = {row["reason"] for row in failed["skipped"]}
    assert changed and reasons == {"changed while it was read; run the same command again."}
    assert 1 <= failed["failures"] <= 2 and failed["clips"] == 3
    done = told(*command(work, models, "out", "--retry-failed"))
    assert (done["computed"], done["failures"]) == (1, 0)
    told(*command(work, models, "new"))
    assert content("out") == content("new")
