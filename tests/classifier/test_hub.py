"""Classifiers on the Hugging Face Hub: publish, fetch, offline, and a hub that misbehaves."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import earmark
from earmark.classifier import hub_files, hub_server
from earmark.classifier.hub import Repository
from earmark.classifier.hub_address import HubAddress, parse
from earmark.errors import HubError, ModelError
from hub import TOKEN, Hub, running_hub, use_hub

REPO = "alice/street-sounds"


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as server:
        use_hub(monkeypatch, server.url)
        yield server


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> earmark.Classifier:
    """A classifier of clips by three speakers, from a manifest in a folder with a telling name."""
    import soundfile

    root, rng = tmp_path_factory.mktemp("clinic-of-dr-who"), np.random.default_rng(0)
    rows, t = ["path,label,patient"], np.arange(8_000) / 16_000
    for label, hz in (("high", 1_800), ("low", 240)):
        for k in range(6):
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=8_000)
            soundfile.write(root / f"{label}{k}.wav", x, 16_000)
            rows.append(f"{label}{k}.wav,{label},Mrs Jones {k % 3}")
    (root / "m.csv").write_text("\n".join(rows))
    data = earmark.Dataset.read(root / "m.csv", group="patient")
    return earmark.train(data, backbone="logmel", head="prototype", compare=False).classifier


def sample(seconds: float = 0.5) -> np.ndarray:
    t = np.arange(round(16_000 * seconds)) / 16_000
    return (0.3 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)


def refusal(*arguments: object, **named: object) -> str:
    with pytest.raises(HubError) as refused:
        earmark.load(*arguments, **named)
    return str(refused.value)


def content(classifier: earmark.Classifier, folder: Path) -> bytes:
    classifier.save(folder / "x.earmark")
    return (folder / "x.earmark").read_bytes()


# Publishing


def test_a_published_classifier_gives_the_same_scores(hub: Hub, trained, tmp_path):
    address = earmark.push(trained, REPO)
    assert parse(address).repo == REPO
    loaded = earmark.load(f"hf://{REPO}")
    assert loaded.digest != trained.digest
    ours, theirs = (c.predict_proba([sample()], rate_hz=16_000) for c in (trained, loaded))
    assert np.array_equal(ours, theirs)
    assert loaded.labels == trained.labels and loaded.estimate.interval == trained.estimate.interval
    assert earmark.load(address).digest == loaded.digest
    files = hub.repositories[REPO].commits[address.rpartition("@")[2]]
    assert sorted(files) == ["LICENSES.txt", "README.md", "model.earmark"]


def test_nothing_private_is_published(hub: Hub, trained):
    source = Path(trained.provenance["source"]["data"])
    assert trained.known is not None and "Mrs Jones 0" in str(trained.estimate.folds)
    earmark.push(trained, REPO)
    for name, stored in hub.repositories[REPO].commits[last(hub)].items():
        for secret in (b"clinic", b"Jones", b"patient", str(source).encode(), b"m.csv"):
            assert secret not in stored, (name, secret)
    published = earmark.load(f"hf://{REPO}")
    assert published.known is None
    assert published.provenance["source"] == {"separator": None}
    assert [fold["fold"] for fold in published.estimate.folds] == ["1", "2", "3"]


def test_a_later_field_stays_private(trained):
    later = replace(
        trained,
        provenance={
            **trained.provenance,
            "operator": "Bob",
            "candidates": [{"who": "Bob"}],
            "arguments": {"backbone": "logmel", "background": "/home/Bob"},
        },
    )
    repository = Repository.of(later, REPO)
    assert b"Bob" not in b"".join(repository.files.values())
    assert "the field 'operator' of the provenance" in repository.left_out
    assert "the argument 'background'" in repository.left_out


def test_what_is_left_out_is_listed(trained):
    left_out = Repository.of(trained, REPO).left_out
    assert "the path of the training data" in left_out
    assert "the columns of the training data" in left_out
    assert any("names of 3 folds" in line for line in left_out)
    assert any("hashes of training clips" in line for line in left_out)
    kept = Repository.of(trained, REPO, hashes=True)
    assert not any("hashes" in line for line in kept.left_out)


def test_hashes_are_published_on_request(hub: Hub, trained):
    earmark.push(trained, REPO, hashes=True)
    assert earmark.load(f"hf://{REPO}").known == trained.known


def test_the_folder_of_a_network_is_not_published(trained):
    for path in ("/home/bob/nets/birds.onnx", r"C:\Users\bob\birds.onnx"):
        use = replace(
            trained.backbones[0], name=f"onnx:{path}", fingerprint=f"onnx:{path}/1/none/float32"
        )
        provenance = trained.provenance | {"arguments": {"backbone": f"onnx:{path}"}}
        repository = Repository.of(replace(trained, backbones=(use,), provenance=provenance), REPO)
        text = b"".join(repository.files.values())
        assert b"bob" not in text and b"onnx:birds.onnx" in text
        assert "the folders of 1 network; the names of files stay" in repository.left_out


def test_a_path_in_a_sentence_is_refused(trained):
    verdict = {"word": "use", "why": f"all is well in {trained.provenance['source']['data']}."}
    told = replace(trained, estimate=replace(trained.estimate, verdict=verdict))
    with pytest.raises(ModelError, match="would be published"):
        Repository.of(told, REPO)


def test_a_new_repository_is_private(hub: Hub, trained):
    earmark.push(trained, REPO)
    assert hub.repositories[REPO].private
    earmark.push(trained, "alice/open", public=True)
    assert not hub.repositories["alice/open"].private
    earmark.push(trained, "alice/open")  # what exists stays as it is
    assert not hub.repositories["alice/open"].private


def test_an_upload_that_is_cut_is_said(hub: Hub, trained):
    hub.cuts_uploads = True
    with pytest.raises(HubError, match=r"could not be published, because 127.0.0.1:\d+ cannot be"):
        earmark.push(trained, REPO)
    assert not hub.repositories[REPO].commits


def test_an_upload_that_is_stored_in_part_is_said(hub: Hub, trained):
    hub.keeps_half = True
    with pytest.raises(HubError, match=r"has not stored model.earmark of hf://alice/street-sou"):
        earmark.push(trained, REPO)


def test_a_token_that_may_not_write_is_said(hub: Hub, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(HubError, match=r"answers HTTP 403. Set HF_TOKEN to a token that may write"):
        earmark.push(trained, REPO)


def test_offline_nothing_is_published(hub: Hub, trained, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    with pytest.raises(HubError, match="EARMARK_OFFLINE=1 forbids publishing"):
        earmark.push(trained, REPO)
    assert not hub.requests


# Fetching


def last(hub: Hub, repo: str = REPO) -> str:
    return hub.repositories[repo].branches["main"]


def test_a_commit_is_fetched_once(hub: Hub, trained, tmp_path):
    commit = hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    first = earmark.load(f"hf://{REPO}@{commit}")
    asked = len(hub.requests)
    assert earmark.load(f"hf://{REPO}@{commit}").digest == first.digest == trained.digest
    assert len(hub.requests) == asked


def test_a_branch_is_asked_for_and_not_fetched_again(hub: Hub, trained, tmp_path):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    earmark.load(f"hf://{REPO}")
    before = len(hub.requests)
    earmark.load(f"hf://{REPO}")
    assert [path.split()[1] for path in hub.requests[before:]] == [f"/api/models/{REPO}?blobs=true"]
    other = replace(trained, known=None)
    hub.add(REPO, {"model.earmark": content(other, tmp_path)})
    assert earmark.load(f"hf://{REPO}").digest == other.digest


def test_offline_the_last_commit_is_taken(hub: Hub, trained, tmp_path, monkeypatch):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    earmark.load(f"hf://{REPO}@main")
    asked = len(hub.requests)
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    assert earmark.load(f"hf://{REPO}@main").digest == trained.digest
    assert len(hub.requests) == asked
    assert "not in the cache, and EARMARK_OFFLINE=1 forbids" in refusal(f"hf://{REPO}@v2")
    assert "not in the cache" in refusal("hf://alice/other")


def test_a_damaged_file_of_the_cache_is_fetched_again(hub: Hub, trained, tmp_path, monkeypatch):
    commit = hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    path = hub_files.fetch(HubAddress(REPO, commit))
    path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    assert earmark.load(f"hf://{REPO}@{commit}").digest == trained.digest
    path.write_bytes(b"damaged")
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    assert "not in the cache" in refusal(f"hf://{REPO}@{commit}")


def test_a_path_object_is_an_address_too(hub: Hub, trained, tmp_path):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    assert earmark.load(Path(f"hf://{REPO}")).digest == trained.digest


def test_one_of_several_files_is_named(hub: Hub, trained, tmp_path):
    data = content(trained, tmp_path)
    hub.add(REPO, {"a.earmark": data, "sub/b.earmark": data, "../c.earmark": data})
    assert "has several classifiers: a.earmark, sub/b.earmark. Name one" in refusal(f"hf://{REPO}")
    assert earmark.load(f"hf://{REPO}#sub/b.earmark").digest == trained.digest
    assert "has no file c.earmark" in refusal(f"hf://{REPO}#c.earmark")


def test_a_small_file_is_checked_by_its_hash_of_git(hub: Hub, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("hub.is_large", lambda _: False)
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    assert earmark.load(f"hf://{REPO}").digest == trained.digest


def test_a_repository_without_a_classifier(hub: Hub):
    hub.add(REPO, {"README.md": b"hello", "model.safetensors": b"x"})
    assert "has no classifier: none of its files ends in .earmark" in refusal(f"hf://{REPO}")


def test_a_file_that_is_no_classifier(hub: Hub):
    hub.add(REPO, {"model.earmark": b"hello"})
    with pytest.raises(ModelError, match="is not a classifier, or the file is incomplete"):
        earmark.load(f"hf://{REPO}")


def test_another_file_than_the_listed_one(hub: Hub, trained, tmp_path):
    data = content(trained, tmp_path)
    hub.add(REPO, {"model.earmark": data})
    for sent in (data[:-8] + b"attacks!", data[:-8], data * 3):
        hub.sends = sent
        assert "model.earmark of hf://alice/street-sounds" in refusal(f"hf://{REPO}")
    assert not list((Path(hub_files.hub_folder())).rglob("*.earmark"))


def test_a_file_that_is_too_large(hub: Hub, trained, tmp_path):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    hub.claims_bytes = 10**15
    assert "has 1,000,000,000,000,000 bytes, and a classifier has" in refusal(f"hf://{REPO}")
    assert not any("resolve" in path for path in hub.requests)


def test_what_does_not_exist(hub: Hub, trained, tmp_path):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    assert "has no revision 'v9'" in refusal(f"hf://{REPO}@v9")
    assert "has no hf://alice/none, or it is private" in refusal("hf://alice/none")


def test_a_private_and_a_gated_repository(hub: Hub, trained, tmp_path, monkeypatch):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)}, private=True)
    hub.add("alice/gated", {"model.earmark": content(trained, tmp_path)}, gated=True)
    assert earmark.load(f"hf://{REPO}").digest == trained.digest
    use_hub(monkeypatch, hub.url, token=None)
    hub_files.hub_folder().rename(tmp_path / "gone")
    assert "Check the name, or set HF_TOKEN" in refusal(f"hf://{REPO}")
    assert "is gated: its owner must first let you in" in refusal("hf://alice/gated")


def test_the_token_stays_with_the_hub(hub: Hub, trained, tmp_path):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)}, private=True)
    with running_hub() as store:
        hub.store = store
        assert earmark.load(f"hf://{REPO}").digest == trained.digest
        assert store.tokens_at_store == [None]


def test_a_dead_endpoint(monkeypatch, trained):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    use_hub(monkeypatch, f"http://127.0.0.1:{port}")
    assert f"127.0.0.1:{port} cannot be reached" in refusal(f"hf://{REPO}")
    with pytest.raises(HubError, match="cannot be reached"):
        earmark.push(trained, REPO)
    use_hub(monkeypatch, "not a url")
    assert "cannot be reached or answers wrongly" in refusal(f"hf://{REPO}")


def test_a_silent_endpoint_is_given_up(monkeypatch, trained):
    assert hub_server.ANSWER_S < 5
    monkeypatch.setattr(hub_server, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_hub(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "cannot be reached or answers wrongly" in refusal(f"hf://{REPO}")
        with pytest.raises(HubError, match="cannot be reached"):
            earmark.push(trained, REPO)


def test_nothing_but_the_classifier_is_asked_for(hub: Hub, trained, tmp_path, monkeypatch):
    """The package would also ask for a list of programs that may be calling it."""
    detect = pytest.importorskip("huggingface_hub.utils._detect_agent")
    monkeypatch.setattr(detect, "_registry", None)
    monkeypatch.setattr(detect.constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(detect.constants, "AGENT_HARNESSES_PATH", str(tmp_path / "list.json"))
    address = earmark.push(trained, REPO)
    earmark.load(address)
    allowed = ("/api/models/", "/api/repos/", "/api/validate-yaml", f"/{REPO}", "/upload/")
    assert [path for path in hub.requests if not path.split()[1].startswith(allowed)] == []


def test_an_answer_without_an_end_is_given_up(hub: Hub, trained, tmp_path, monkeypatch):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    hub.drips = True
    monkeypatch.setattr(hub_server, "ANSWER_S", 0.3)
    assert "no answer within 0.3 s" in refusal(f"hf://{REPO}")


def test_a_file_that_may_not_be_read(hub: Hub, trained, tmp_path):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    hub.locked = True
    assert "HTTP 403 Forbidden. Ask its owner for access, and set HF_TOKEN" in refusal(
        f"hf://{REPO}"
    )


def test_an_answer_that_is_no_description(hub: Hub, trained, tmp_path):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    hub.repositories[REPO].branches["main"] = "../../etc"
    hub.repositories[REPO].commits["../../etc"] = {"model.earmark": b"x"}
    assert "names no commit" in refusal(f"hf://{REPO}")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("hf://street", "does not name a repository"),
        ("hf://", "does not name a repository"),
        ("hf://a/b/c", "does not name a repository"),
        ("hf://../b", "does not name a repository"),
        ("hf://a/b--c", "does not name a repository"),
        ("hf://a b/c", "does not name a repository"),
        (f"hf://a/{'b' * 100}", "does not name a repository"),
        ("hf://a/b@", "does not name a repository"),
        ("hf://a/b@x y", "is not a revision"),
        ("hf://a/b@../x", "is not a revision"),
        ("hf://a/b@x/../y", "is not a revision"),
        ("hf://a/b#model.bin", "is not a file of a repository"),
        ("hf://a/b#../m.earmark", "is not a file of a repository"),
    ],
)
def test_an_address_that_cannot_be_right(address: str, why: str):
    assert why in refusal(address)


@pytest.mark.parametrize(
    "text", ["hf://a/b", "hf://a/b@refs/pr/1", "hf://a-1/b.c_d@v1#x/m.earmark"]
)
def test_an_address_is_read_and_written(text: str):
    assert str(parse(text)) == text == str(parse(Path(text)))


def test_without_the_package_the_install_line_is_said(hub: Hub, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    assert "needs the package huggingface_hub" in refusal(f"hf://{REPO}")
    assert "pip install '.[hub]'" in refusal(f"hf://{REPO}")


def test_pull_copies_a_classifier(hub: Hub, trained, tmp_path, monkeypatch):
    hub.add(REPO, {"model.earmark": content(trained, tmp_path)})
    monkeypatch.chdir(tmp_path)
    assert earmark.pull(REPO) == Path("street-sounds.earmark")
    path = earmark.pull(f"hf://{REPO}@main", tmp_path / "o.earmark")
    assert earmark.load(path).digest == trained.digest


def test_pull_writes_no_file_that_is_no_classifier(hub: Hub, tmp_path):
    hub.add(REPO, {"model.earmark": b"hello"})
    with pytest.raises(ModelError):
        earmark.pull(REPO, tmp_path / "o.earmark")
    assert not (tmp_path / "o.earmark").exists()


def test_the_header_has_the_right_digest(hub: Hub, trained):
    earmark.push(trained, REPO)
    path = hub_files.fetch(HubAddress(REPO))
    with safe_open(path, "numpy") as file:
        header = json.loads(file.metadata()["earmark"])
    assert header["digest"] == earmark.load(path).digest
    assert TOKEN not in str(header)
