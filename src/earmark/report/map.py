"""A map of embeddings: points in the plane, near each other where the clips sound alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.classifier.features import compute_features
from earmark.data.clip import Clip
from earmark.embeddings.embedding import embed
from earmark.embeddings.store import Store

MOST_TSNE = 5_000  # clips; beyond, t-SNE takes minutes
SAMPLE = 2_500  # clips that stand for more
COMPONENTS = 50  # t-SNE sees so many principal components (van der Maaten and Hinton 2008, 4.2)
PERPLEXITY = 30.0


def sample(n_clips: int, seed: int = 0) -> np.ndarray:
    """Return the rows of the clips that have a place on the map: all, or 2,500 of over 5,000."""
    if n_clips <= MOST_TSNE:
        return np.arange(n_clips)
    return np.sort(np.random.default_rng(seed).choice(n_clips, SAMPLE, replace=False))


def features(classifier: Classifier, clips: Sequence[Clip], store: Store) -> np.ndarray | None:
    """Return (N, D): the features of ``clips`` that the classifier reads, by way of the store.

    None where a recording is gone.
    """
    embeddings = [
        embed(clips, network, store, options=classifier.audio) for network in classifier.networks()
    ]
    if any(e.failures for e in embeddings):
        return None
    matrices = [e.matrix[:] for e in embeddings]
    return compute_features([e.info for e in embeddings], matrices, classifier.features)


def project(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return positions (N, 2) for ``features`` (N, D): t-SNE up to 5,000 clips, else principal
    components of the standardised features.

    The same features and seed give the same map. Fewer than 8 clips, which have no neighbourhoods,
    and equal ones get their principal components too.
    """
    components = principal(features, COMPONENTS, seed)
    first = np.pad(components[:, :2], ((0, 0), (0, max(0, 2 - components.shape[1]))))
    if not 8 <= len(features) <= MOST_TSNE or not first.any():
        return first
    from sklearn.manifold import TSNE

    start = 1e-4 * first / first[:, 0].std()
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=start, random_state=seed)
    return np.asarray(tsne.fit_transform(components))


def principal(features: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return the first ``count`` principal components (N, <= count) of standardised features."""
    from sklearn.utils.extmath import randomized_svd

    x = np.asarray(features, np.float32)
    mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    varies = deviation > 1e-6 * np.abs(mean)  # else it is what rounding leaves of a constant
    x = ((x - mean) / np.where(varies, deviation, np.inf)).astype(np.float32)
    u, s, _ = randomized_svd(x, min(count, *x.shape), random_state=seed)
    return np.asarray(u * s)
