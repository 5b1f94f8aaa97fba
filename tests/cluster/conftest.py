"""A stub in place of Ray with small parts, and two classifiers."""

import contextlib
import json
import sys
import types
from pathlib import Path

import pytest

import earmark
from cluster_stub import StubCluster
from earmark.apps.cluster import ray_cluster
from earmark.detection import detect_work
from earmark.embeddings import shares
from tones import tone_detector


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder with ``detect.earmark``, a detector of tones, and ``predict.earmark``."""
    folder = tmp_path_factory.mktemp("models")
    tone_detector(folder / "clips").rename(folder / "detect.earmark")
    training = earmark.train(folder / "clips", backbone="logmel", head="linear", compare=False)
    training.classifier.save(folder / "predict.earmark")
    return folder


@pytest.fixture
def stub(monkeypatch) -> list[StubCluster]:
    """A stub in place of Ray, with parts of three; the list has the clusters that were opened."""
    opened: list[StubCluster] = []

    @contextlib.contextmanager
    def cluster(address: str, job: dict):
        opened.append(StubCluster(2, job=json.loads(json.dumps(job))))
        yield opened[-1]

    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    monkeypatch.setattr(ray_cluster, "ray_cluster", cluster)
    monkeypatch.setattr(shares, "PART_CLIPS", 3)
    monkeypatch.setattr(detect_work, "PART_RECORDINGS", 3)
    return opened
