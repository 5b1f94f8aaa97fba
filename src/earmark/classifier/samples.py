"""Read waveforms as Hugging Face's packages hand them on: an array with its rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earmark.errors import EarmarkError

ARRAYS = ("array", "raw")  # the keys of samples in a mapping
RATE = "sampling_rate"


def samples_of(item: Any, name: str) -> tuple[Any, int | None]:
    """Return the samples of ``item`` and their rate in Hz, or ``item`` and None.

    A mapping has 'array' or 'raw', and 'sampling_rate'. A decoder of torchcodec has both. Raises
    EarmarkError for another mapping; ``name`` is that of the recording.
    """
    if hasattr(item, "get_all_samples"):
        decoded = item.get_all_samples()
        return decoded.data.numpy().T, int(decoded.sample_rate)
    if not isinstance(item, Mapping):
        return item, None
    samples = next((item[key] for key in ARRAYS if item.get(key) is not None), None)
    if samples is None or item.get(RATE) is None:
        keys = ", ".join(map(repr, item)) or "none"
        raise EarmarkError(
            f"{name} is a mapping with the keys {keys}, but 'array' (or 'raw') and {RATE!r} are"
            " needed. Give both."
        )
    return samples, item[RATE]
