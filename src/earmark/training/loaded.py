"""Networks that estimators of scikit-learn share in a process, because an estimator is copied."""

from __future__ import annotations

import collections
import os
import threading

from earmark.backbones.base import Backbone
from earmark.backbones.registry import load_backbone
from earmark.classifier.classifier import Classifier
from earmark.classifier.networks import check_layers, load_networks

MOST = 4  # networks that stay loaded

_Key = tuple[str, str, str]  # name, precision, engine


class _Loaded:
    """The networks that were used last, of one process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.networks: collections.OrderedDict[_Key, Backbone] = collections.OrderedDict()


_loaded = _Loaded()


def load(name: str, precision: str, engine: str) -> Backbone:
    """Return a network with all layers, loaded at most once in a process while it is in use.

    Threads of OpenMP and of engines do not survive a fork. So a forked process loads it again, and
    computes with one thread.
    """
    global _loaded
    if _loaded.process != os.getpid():
        import torch

        torch.set_num_threads(1)
        _loaded = _Loaded()
    mine, key = _loaded, (name, precision, engine)
    with mine.lock:
        if key not in mine.networks:
            mine.networks[key] = load_backbone(name, precision, engine)
        mine.networks.move_to_end(key)
        if len(mine.networks) > MOST:
            mine.networks.popitem(last=False)
        return mine.networks[key]


def networks_of(classifier: Classifier, precision: str, engine: str) -> list[Backbone]:
    """Return the networks of a classifier; ModelError if those here differ from its training."""
    networks = [load(use.name, precision, engine) for use in classifier.backbones]
    own = [network.fingerprint for network in networks]
    if own != [use.fingerprint for use in classifier.backbones]:
        return load_networks(classifier)  # which says what differs
    check_layers(classifier, [network.info for network in networks])
    return networks
