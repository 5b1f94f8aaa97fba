"""A toy problem: features of four classes without recordings, and the search over them."""

import numpy as np

from earmark.backbones.info import BackboneInfo, Layer
from earmark.classifier.features import FeatureSpec
from earmark.classifier.targets import Targets
from earmark.training.candidates import candidates
from earmark.training.kernels import FeatureTable
from earmark.training.selection import Search


def blobs(seed=0, size=120, noise=1.0):
    """Four classes; layer set 'good' tells them apart, 'bad' is noise and smaller."""
    rng = np.random.default_rng(seed)
    truth = np.arange(size) % 4
    good = rng.normal(0, noise, (size, 20)) + np.eye(4)[truth] @ rng.normal(0, 1, (4, 20))
    features = {"bad": rng.normal(size=(size, 10)), "good": good}
    return {k: v.astype(np.float32) for k, v in features.items()}, truth, np.arange(size) // 4 % 5


def search_of(features, truth, classes, fold, **options):
    """Search over arrays of features, each a layer of its own whose deviations are not read."""
    layers = tuple(Layer(name, x.shape[1]) for name, x in features.items())
    info = BackboneInfo("toy", "", 16_000, 1, 1, layers, 0, "", "", is_logarithmic=True)
    matrix = np.hstack([part for x in features.values() for part in (x, np.zeros_like(x))])
    readings = {name: FeatureSpec(((name,),), spread=False) for name in features}
    bank = FeatureTable([info], [matrix], readings)
    return Search(bank, Targets.single(truth, classes), fold, **options)


def two_networks(seed=0, size=120, noise=1.0, units=6, is_second_deaf=True):
    """Return a search over two made backbones of three layers; the second may know nothing.

    Their layers tell four classes apart the better, the higher they are.
    """
    rng = np.random.default_rng(seed)
    truth, fold = np.arange(size) % 4, np.arange(size) // 4 % 5
    infos, matrices = [], []
    for name, is_deaf in (("one", False), ("two", is_second_deaf)):
        layers = (Layer("a", units, 2), Layer("b", units, 2), Layer("c", units))
        halves = []
        for number, layer in enumerate(layers):
            classes = np.eye(4)[truth] @ rng.normal(size=(4, layer.size)) * (1 + number) / 2
            x = rng.normal(0, noise, (size, layer.size)) + (0 if is_deaf else classes)
            halves += [x, np.abs(rng.normal(1, 0.3, (size, layer.size)))]
        infos.append(BackboneInfo(name, "", 16_000, 1, 1, layers, 0, "", ""))
        matrices.append(np.hstack(halves).astype(np.float32))
    table = FeatureTable(infos, matrices, candidates(infos, "auto"))
    return Search(table, Targets.single(truth, 4), fold)
