"""Values that were made last, and locks so that each is made once."""

from __future__ import annotations

import collections
import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most ``most`` values by key, those that were added last; several threads may use this."""

    def __init__(self, most: int, n_locks: int = 256) -> None:
        self._most, self._lock = most, threading.Lock()
        self._making = [threading.Lock() for _ in range(n_locks)]
        self._values: collections.OrderedDict[K, V] = collections.OrderedDict()

    def making(self, key: Hashable) -> threading.Lock:
        """Return a lock: one thread makes a value, and others wait. Two keys may share one."""
        return self._making[hash(key) % len(self._making)]

    def get(self, key: K) -> V | None:
        with self._lock:
            return self._values.get(key)

    def add(self, key: K, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
