"""Well-known public data sets, with their official folds."""

from earmark.data.known.catalogue import KNOWN, KnownData
from earmark.data.known.sets import Fetched, fetch

__all__ = ["KNOWN", "Fetched", "KnownData", "fetch"]
