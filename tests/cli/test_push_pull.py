"""``earmark push`` and ``pull``, and ``hf://`` where a command takes MODEL."""

import json
import shutil
from pathlib import Path

import pytest

import earmark as library
from command_line import earmark
from earmark.apps.cli import push
from hub import Hub, running_hub, use_hub

REPO = "alice/street-sounds"


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as server:
        use_hub(monkeypatch, server.url)
        yield server


@pytest.fixture
def model(tones, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    training = library.train(tones, backbone="logmel", head="prototype", compare=False)
    training.classifier.save("mine.earmark")
    return Path("mine.earmark")


def sound() -> str:
    return str(Path("tones", "low", "0.wav"))


def test_push_predict_and_pull(hub: Hub, model: Path):
    done = earmark("push", model, REPO, "--licence", "cc-by-4.0")
    address = done.stdout.strip()
    assert address == f"hf://{REPO}@{hub.repositories[REPO].branches['main']}"
    assert "left out: the path of the training data" in done.stderr
    assert "hashes of training clips" in done.stderr and hub.repositories[REPO].private
    card = hub.repositories[REPO].commits[address.rpartition("@")[2]]["README.md"].decode()
    assert "license: cc-by-4.0" in card

    ours = json.loads(earmark("predict", model, sound(), "--json").stdout)
    theirs = earmark("predict", f"hf://{REPO}", sound(), "--json")
    assert json.loads(theirs.stdout) == ours and ours["label"] == "low"
    assert f"note: hf://{REPO} is " in theirs.stderr

    assert "Classifier(2 classes" in earmark("pull", REPO, "-o", "new/o.earmark").stdout
    assert json.loads(earmark("predict", "new/o.earmark", sound(), "--json").stdout) == ours
    pulled = json.loads(earmark("pull", f"{REPO}@main", "--json").stdout)
    assert pulled["model"] == "street-sounds.earmark" and pulled["commit"] in address


@pytest.mark.parametrize(
    "words",
    [("evaluate", "{}", "tones"), ("detect", "{}", "tones/low/0.wav"), ("push", "{}", "b/c")],
)
def test_every_command_takes_an_address(hub: Hub, model: Path, words):
    hub.add(REPO, {"model.earmark": model.read_bytes()})
    expect = 2 if words[0] == "evaluate" else 0  # it was trained on all of them
    done = earmark(*(word.format(f"hf://{REPO}") for word in words), expect=expect)
    assert f"note: hf://{REPO} is " in done.stderr
    if expect:
        assert "trained on all" in done.stderr or "was trained on" in done.stderr


def test_stream_takes_an_address(hub: Hub, model: Path):
    hub.add(REPO, {"model.earmark": model.read_bytes()})
    done = earmark("stream", f"hf://{REPO}", sound(), "--until", 0.3)
    assert f"note: hf://{REPO} is " in done.stderr


def test_a_wrong_address_is_one_sentence(hub: Hub, model: Path):
    for command in ("predict", "evaluate", "detect", "stream"):
        done = earmark(command, "hf://street", "tones", expect=2)
        assert done.stderr.startswith("error: 'hf://street' does not name a repository"), command
        assert len(done.stderr.splitlines()) == 1
    assert "does not name a repository" in earmark("push", model, "../x", expect=2).stderr
    assert "has no hf://a/b" in earmark("pull", "a/b", expect=2).stderr
    assert not Path("b.earmark").exists()


def test_hashes_need_a_yes(hub: Hub, model: Path, monkeypatch):
    refused = earmark("push", model, REPO, "--keep-hashes", expect=2)
    assert "there is no terminal" in refused.stderr and "Add --yes" in refused.stderr
    monkeypatch.setattr(push, "_is_terminal", lambda: True)
    refused = earmark("push", model, REPO, "--keep-hashes", stdin="n\n", expect=2)
    assert "nothing was published" in refused.stderr
    assert (
        "nothing was published"
        in earmark("push", model, REPO, "--keep-hashes", stdin="", expect=2).stderr
    )
    assert not hub.repositories


def test_a_script_may_say_yes(hub: Hub, model: Path):
    earmark("push", model, REPO, "--keep-hashes", "--yes")
    assert library.load(f"hf://{REPO}").known is not None


def test_a_terminal_may_say_yes(hub: Hub, model: Path, monkeypatch):
    monkeypatch.setattr(push, "_is_terminal", lambda: True)
    done = earmark("push", model, REPO, "--keep-hashes", "--public", stdin="y\n")
    assert "Publish them? [y/N]" in done.stderr
    assert not hub.repositories[REPO].private
    assert library.load(f"hf://{REPO}").known is not None


def test_offline_is_told_before_anything_is_loaded(hub: Hub, model: Path, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    assert "forbids publishing" in earmark("push", model, REPO, expect=2).stderr
    assert "forbids downloading" in earmark("pull", REPO, expect=2).stderr
    assert not hub.requests


def test_pull_overwrites_only_classifiers(hub: Hub, model: Path):
    hub.add(REPO, {"model.earmark": model.read_bytes()})
    Path("notes.txt").write_text("keep me")
    assert "is not a classifier" in earmark("pull", REPO, "-o", "notes.txt", expect=2).stderr
    assert Path("notes.txt").read_text() == "keep me"
    shutil.copy(model, "old.earmark")
    earmark("pull", REPO, "-o", "old.earmark")
    assert not hub.repositories[REPO].private


def test_a_licence_that_limits_is_said(hub: Hub, model: Path, monkeypatch):
    from earmark.classifier.network_licences import NetworkLicence

    limited = [NetworkLicence("logmel", "CC-BY-NC-4.0", "somewhere")]
    monkeypatch.setattr("earmark.classifier.hub.licences_of", lambda _: limited)
    done = earmark("push", model, REPO)
    assert "warning: logmel: its licence, CC-BY-NC-4.0, does not allow commercial" in done.stderr


def test_the_size_of_the_cache_counts_the_hub(hub: Hub, model: Path):
    hub.add(REPO, {"model.earmark": model.read_bytes()})
    earmark("pull", REPO)
    shown = json.loads(earmark("cache", "show", "--json").stdout)
    assert shown["hub_bytes"] > model.stat().st_size
    earmark("cache", "clear")
    assert json.loads(earmark("cache", "show", "--json").stdout)["hub_bytes"] == shown["hub_bytes"]
