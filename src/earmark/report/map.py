"""A map of embeddings: points in the plane, near each other where the clips sound alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earmark import backbones, layersets
from earmark.classifier import Classifier
from earmark.dataset import Clip
from earmark.embed import embed
from earmark.store import Store

MOST_TSNE = 5_000  # clips; beyond, t-SNE takes minutes and the principal components stand in
COMPONENTS = 50  # t-SNE sees so many principal components (van der Maaten and Hinton 2008, 4.2)
PERPLEXITY = 30.0


def features(classifier: Classifier, clips: Sequence[Clip], store: Store) -> np.ndarray:
    """Return (N, D): what the classifier reads of ``clips``, which the store has already."""
    found = []
    for use in classifier.backbones:
        network = backbones.create(use.name, precision=use.fingerprint.rsplit("/", 1)[1])
        found.append(embed(clips, network, store, options=classifier.audio))
    return layersets.features(found, tuple(use.layers for use in classifier.backbones))


def project(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return positions (N, 2) for ``features`` (N, D): t-SNE up to 5,000 clips, else principal
    components of the standardised features.

    The same features and seed give the same map. Fewer than 8 clips have no neighbourhoods, and
    get their principal components too.
    """
    components = principal(features, COMPONENTS, seed)
    if not 8 <= len(features) <= MOST_TSNE:
        return np.pad(components[:, :2], ((0, 0), (0, max(0, 2 - components.shape[1]))))
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, random_state=seed).fit_transform(components))


def principal(features: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return the first ``count`` principal components (N, <= count) of standardised features."""
    from sklearn.decomposition import PCA

    x = np.asarray(features, np.float32)
    x = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    reduction = PCA(min(count, *x.shape), svd_solver="randomized", random_state=seed)
    return np.asarray(reduction.fit_transform(x))
