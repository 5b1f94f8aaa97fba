"""What the estimators of scikit-learn have in common: they take recordings and embed them."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.embedding import Embeddings, embed
from earmark.embeddings.store import Store
from earmark.errors import EarmarkWarning, InputError, amount
from earmark.training.sklearn_inputs import clips_of

_ANY_LENGTH = "waveforms may have any length, so a wider or narrower 2-D array is no mistake"
_FULL_SCALE = "the full scale of int64 is not known: give float32, float64, int16 or int32"
EXPECTED_FAILED_CHECKS = {  # of ``sklearn.utils.estimator_checks.check_estimator``, with reasons
    "check_n_features_in_after_fitting": _ANY_LENGTH,
    "check_classifiers_train": _ANY_LENGTH,
    "check_transformer_general": _ANY_LENGTH,
    "check_estimators_dtypes": _FULL_SCALE,
    "check_classifier_data_not_an_array": _FULL_SCALE,
}


class TakesRecordings(BaseEstimator):  # type: ignore[misc]
    """What both estimators do with X and with their parameters."""

    rate_hz: int | None
    store: Any

    def _clips(self, X: Any, *, is_fit: bool = False) -> list[Clip]:
        """Return the clips of ``X``; fitting notes how wide a 2-D array is."""
        clips, width = clips_of(X, self.rate_hz)
        if is_fit:
            if width is not None:
                self.n_features_in_ = width
            elif hasattr(self, "n_features_in_"):
                del self.n_features_in_
        return clips

    def _open_store(self) -> contextlib.AbstractContextManager[Store | None]:
        """Open the store; several processes may have it open."""
        if self.store is None or self.store is False:
            return contextlib.nullcontext()
        if self.store is True:
            return Store()
        if isinstance(self.store, (str, os.PathLike)) and os.fspath(self.store):
            return Store(Path(os.fspath(self.store)))
        raise InputError(
            f"store is a {type(self.store).__name__}. Give its path, or True for the store of the"
            " commands; every process opens it by itself."
        )

    def _embed(
        self, clips: Sequence[Clip], networks: Sequence[Backbone], options: AudioOptions
    ) -> list[Embeddings]:
        """Embed the clips with each network; raise AudioError for one that cannot be read."""
        with self._open_store() as store:
            embeddings = [embed(list(clips), net, store, options=options) for net in networks]
        for each in embeddings:
            if each.failures:
                raise each.failures[0].error
        warn([text for each in embeddings for text in each.warnings])
        return embeddings

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True  # a path; one_d_array would exclude 2-D arrays
        return tags


def warn(texts: Sequence[str]) -> None:
    """Warn once about all recordings from which something is missing."""
    if texts:
        left = amount(len(texts) - 1, "more warning")
        more = f" ({left} of this kind)" if len(texts) > 1 else ""
        warnings.warn(f"{texts[0].rstrip('.')}{more}.", EarmarkWarning, stacklevel=3)
