"""Workers compute the bytes of one machine, and refuse other versions, weights and folders."""

import json
import sys
import types
from dataclasses import asdict
from pathlib import Path

import pytest

from command_line import earmark
from earmark.apps.cluster.worker import Worker, job_of
from earmark.audio.options import AudioOptions
from earmark.backbones import load_backbone
from earmark.data.blocks import blocks_of
from earmark.data.clip import Clip
from earmark.embeddings import shares
from earmark.embeddings.part import PartSettings, divide
from earmark.embeddings.part_folder import PartFolder
from earmark.embeddings.shares import ALL

pytest.importorskip("pyarrow")


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def embed(tones: Path, out: Path, *arguments: object) -> dict:
    options = ("--backbone", "logmel", "--layers", "last", "--json", *arguments)
    return json.loads(earmark("embed", tones, "-o", out, *options).stdout)


def test_the_bytes_are_those_of_one_machine_and_only_missing_parts_are_computed(
    stub, tones, tmp_path
):
    alone = embed(tones, tmp_path / "local")
    told = embed(tones, tmp_path / "ray", "--on", "ray")
    assert told["computed"] == alone["computed"] == 4 and told["clips"] == 12
    assert content(tmp_path / "ray") == content(tmp_path / "local")
    assert embed(tones, tmp_path / "ray", "--on", "ray:head:6379")["computed"] == 0
    assert len(stub) == 1  # nothing was missing
    next((tmp_path / "ray").glob("part-000002*")).unlink()
    assert embed(tones, tmp_path / "ray", "--on", "ray")["computed"] == 1
    assert len(stub[1].workers) == 1 and content(tmp_path / "ray") == content(tmp_path / "local")


def made_job(tones: Path, out: Path) -> tuple[dict, list]:
    """A job whose folder exists, and its parts."""
    settings = PartSettings.of(load_backbone("logmel"), AudioOptions())
    PartFolder(out, settings)
    clips = [Clip(path) for path in sorted(tones.rglob("*.wav"))]
    parts = divide(blocks_of(clips, shares.PART_CLIPS, ALL), settings, tones)
    how = {"backbone": "logmel", "layers": "all", "engine": {}, "audio": asdict(settings.audio)}
    return job_of(settings, how, out, tones), list(parts)


def test_other_versions_weights_and_folders_are_refused_with_a_sentence(tones, tmp_path):
    job, _ = made_job(tones, tmp_path / "out")
    assert Worker(job).prepare() is None
    assert "has earmark '" in Worker(job | {"version": "0.1"}).prepare()
    other = job["settings"] | {"fingerprint": "logmel/of-other-weights"}
    told = Worker(job | {"settings": other}).prepare()
    assert "has fingerprint 'logmel" in told and "'logmel/of-other-weights'. All" in told
    told = Worker(job | {"folder": str(tmp_path / "elsewhere")}).prepare()
    assert "does not see" in told and not (tmp_path / "elsewhere").exists()
    other = job["how"] | {"backbone": "no-such-network"}
    assert "cannot start: " in Worker(job | {"how": other}).prepare()


def test_a_part_that_is_there_by_now_is_not_computed_again(tones, tmp_path):
    job, parts = made_job(tones, tmp_path / "out")
    one, other = Worker(job), Worker(job)
    assert one.prepare() is None and other.prepare() is None
    first, second = one.compute(0, parts[0]), other.compute(0, parts[0])
    assert first.computed and not second.computed and first.summary == second.summary
    other.drop(1)
    assert other.compute(1, parts[0]).summary is None
    assert other.compute(2, parts[0]).summary == first.summary


def test_a_cluster_that_does_not_start_is_told(tones, tmp_path, monkeypatch):
    def init(**settings: object) -> None:
        raise Exception("The current node timed out during startup. Or so.")  # as Ray does

    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(init=init))
    arguments = ("embed", tones, "-o", tmp_path / "out", "--backbone", "logmel")
    for on, words in (("ray", "on this machine"), ("ray:head:6379", "at head:6379")):
        told = earmark(*arguments, "--on", on, expect=2).stderr
        assert f"cannot use Ray {words}: The current node timed out" in told


def test_ray_that_is_not_installed_and_a_wrong_value_are_told(tones, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ("embed", tones, "-o", tmp_path / "out", "--backbone", "logmel")
    told = earmark(*arguments, "--on", "ray", expect=2).stderr
    assert "--on ray needs the package ray" in told and "pip install '.[ray]'" in told
    for on in ("ray:", "spark"):
        assert f"--on is '{on}'" in earmark(*arguments, "--on", on, expect=2).stderr
