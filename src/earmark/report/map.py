"""A map of embeddings: each clip is a point, and similar clips lie near each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.classifier.features import compute_features
from earmark.data.clip import Clip
from earmark.embeddings.embedding import embed
from earmark.embeddings.store import Store

MOST_TSNE = 5_000  # with more clips, t-SNE takes minutes
SAMPLE = 2_500  # of more clips, this many are drawn
COMPONENTS = 50  # principal components that t-SNE gets (van der Maaten and Hinton 2008, 4.2)
PERPLEXITY = 30.0


def sample(n_clips: int, seed: int = 0) -> np.ndarray:
    """Return the rows of the clips on the map: all, or a random 2,500 if there are over 5,000."""
    if n_clips <= MOST_TSNE:
        return np.arange(n_clips)
    return np.sort(np.random.default_rng(seed).choice(n_clips, SAMPLE, replace=False))


def features(classifier: Classifier, clips: Sequence[Clip], store: Store) -> np.ndarray | None:
    """Return the features (N, D) of ``clips`` that the classifier reads, from the store.

    None if a recording can no longer be read.
    """
    embeddings = [
        embed(clips, network, store, options=classifier.audio) for network in classifier.networks()
    ]
    if any(e.failures for e in embeddings):
        return None
    matrices = [e.matrix[:] for e in embeddings]
    return compute_features([e.info for e in embeddings], matrices, classifier.features)


def project(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return positions (N, 2) for ``features`` (N, D), from t-SNE.

    More than 5,000 clips, fewer than 8 clips and clips that are all equal get their first two
    principal components instead. The same features and seed give the same map.
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
    varies = deviation > 1e-6 * np.abs(mean)  # smaller deviations are rounding errors
    x = ((x - mean) / np.where(varies, deviation, np.inf)).astype(np.float32)
    u, s, _ = randomized_svd(x, min(count, *x.shape), random_state=seed)
    return np.asarray(u * s)
