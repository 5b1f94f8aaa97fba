"""Results of earlier comparisons of two clips, saved in the store."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence

from earmark.data.doctor.likely_copies import RowPair
from earmark.data.doctor.near_duplicates import VERSION
from earmark.embeddings.hashes import KEY_BYTES
from earmark.embeddings.store import Store
from earmark.errors import EarmarkWarning, StoreDamageError, StoreError


class Comparisons:
    """The seconds of audio that two clips share, by pairs of rows of ``keys`` (N,).

    The keys are those of embeddings: each identifies recording, stretch, decoder, options and
    backbone. If the store cannot be used, nothing is known and nothing is saved.
    """

    def __init__(self, store: Store, keys: Sequence[bytes]) -> None:
        self._store, self._keys = store, keys

    def get(self, pairs: Sequence[RowPair]) -> dict[RowPair, float]:
        """Return the shared seconds of those ``pairs`` that were compared before."""
        by_key = {self._key(pair): pair for pair in pairs}
        with _without_store():
            compared = self._store.get_compared(list(by_key))
            return {by_key[key]: shared_s for key, shared_s in compared.items()}
        return {}

    def put(self, shared_s: Mapping[RowPair, float]) -> None:
        """Save the shared seconds of pairs."""
        with _without_store():
            self._store.put_compared({self._key(pair): s for pair, s in shared_s.items()})

    def _key(self, pair: RowPair) -> bytes:
        ends = sorted(self._keys[row] for row in pair)
        return hashlib.sha256(b"%d " % VERSION + b"".join(ends)).digest()[:KEY_BYTES]


@contextlib.contextmanager
def _without_store() -> Iterator[None]:
    try:
        yield
    except StoreDamageError as error:
        warnings.warn(f"{error} Clips are compared again.", EarmarkWarning, stacklevel=4)
    except StoreError:
        pass
