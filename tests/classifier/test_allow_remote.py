"""A network that a classifier's file names is not fetched from elsewhere without leave."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

import earmark
from command_line import earmark as command
from earmark.backbones import registry
from earmark.classifier.networks import only_from_here
from earmark.errors import EarmarkError, ModelError, WeightsError
from earmark.system.cache import is_offline
from hub import Hub, running_hub, use_hub

NETWORK = "hf:bob/tiny"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running_hub() as server:
        use_hub(monkeypatch, server.url)
        constants = importlib.import_module("huggingface_hub.constants")
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        yield server


@pytest.fixture
def model(hub: Hub, folders, tones, tmp_path) -> Path:
    """A classifier whose file names a network on the hub; it was trained with another one."""
    files = {path.name: path.read_bytes() for path in (folders / "wav2vec2-group").iterdir()}
    hub.add("bob/tiny", files)
    trained = earmark.train(tones, backbone="logmel", head="prototype", compare=False).classifier
    use = replace(trained.backbones[0], name=NETWORK, fingerprint=f"{NETWORK}/2/{'0' * 8}/float32")
    replace(trained, backbones=(use,)).save(tmp_path / "named.earmark")
    return tmp_path / "named.earmark"


def refusal(model: Path, **settings: bool) -> str:
    with pytest.raises(ModelError) as refused:
        earmark.load(model, **settings).networks()
    return str(refused.value)


def test_a_named_network_is_fetched_with_leave_only(model: Path, hub: Hub):
    text = refusal(model)
    assert "names the network 'hf:bob/tiny', which is not on this machine" in text
    assert "--allow-remote" in text
    assert not hub.requests
    assert "but this machine has hf:bob/tiny" in refusal(model, allow_remote=True)
    asked = len(hub.requests)
    assert asked
    assert "but this machine has hf:bob/tiny" in refusal(model)  # what was fetched is here
    assert len(hub.requests) == asked


def test_offline_counts_with_leave_too(model: Path, hub: Hub, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    with pytest.raises(EarmarkError, match="EARMARK_OFFLINE=1 forbids downloading it"):
        earmark.load(model, allow_remote=True).networks()
    assert not hub.requests


def test_the_command_line_asks_for_leave(model: Path, hub: Hub, tones):
    sound = next(tones.rglob("*.wav"))
    for words in (("predict", model, sound), ("evaluate", model, tones), ("detect", model, sound)):
        assert "--allow-remote" in command(*words, expect=2).stderr, words
    assert not hub.requests
    done = command("predict", model, sound, "--allow-remote", expect=2)
    assert "but this machine has hf:bob/tiny" in done.stderr
    assert hub.requests


def test_review_fetches_no_network_that_a_file_names(model: Path, hub: Hub, tones):
    loaded = earmark.load(model)
    arguments = {**loaded.provenance["arguments"], "backbone": NETWORK}
    provenance = {**loaded.provenance, "arguments": arguments}
    replace(loaded, provenance=provenance).save(model)
    assert "--allow-remote" in command("review", model, expect=2).stderr
    assert not hub.requests


def test_leave_is_part_of_no_file(model: Path, tmp_path):
    loaded = earmark.load(model, allow_remote=True)
    loaded.save(tmp_path / "copy.earmark")
    assert not earmark.load(tmp_path / "copy.earmark").allow_remote
    assert loaded.digest == earmark.load(model).digest


@pytest.mark.parametrize(
    "name", [r"onnx:\\host\share\x.onnx", "hf://host/share", "onnx:\\/host/x.onnx", "hf: //host/x"]
)
def test_a_path_to_another_machine_is_not_followed(name: str):
    with pytest.raises(ModelError, match="on another machine"), only_from_here(name):
        pytest.fail("was followed")
    with only_from_here(name, allow_remote=True):
        pass


@pytest.mark.parametrize("name", ["yamnet", "vggish@0.48", "efficientat-mn05", "auto"])
def test_networks_that_earmark_knows_by_hash_need_no_leave(name: str, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "0")
    with only_from_here(name):
        assert not is_offline()
    with only_from_here("of-another-package"):
        assert is_offline()
    assert not is_offline()


def test_a_network_of_another_package_downloads_with_leave_only(monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "0")
    assert "of-another-package" not in registry.BUILT_IN
    with pytest.raises(ModelError, match="--allow-remote"), only_from_here("of-another-package"):
        raise WeightsError("it is missing", "fetch it")
