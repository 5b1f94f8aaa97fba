"""The statuses of many objects at once: a page of a listing has a thousand of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from earmark.system.objects import ObjectError, ObjectStatus

PAGE = 1_000  # objects in a page
SINGLE = 16  # objects of a bucket that are asked for one by one before a page is
LEAST_USED = 40  # of a page: a page costs as much as that many single requests

Page = dict[str, ObjectStatus]


class Pages:
    """Statuses of the objects in a bucket, for names that are asked for in about their order.

    Pages follow each other. If few objects of a page are asked for, there are no more pages.
    Each status is given once, and several threads may ask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = self._used = 0
        self._is_off = False
        self._pages: list[Page] = []  # the last two, because threads ask in no exact order
        self._last = ""  # the last name in them

    def status(self, name: str, page_after: Callable[[str], Page]) -> ObjectStatus | None:
        """Return the status of an object from a page; None if it must be asked for alone.

        ``page_after`` returns the objects after a name, in the order of the listing.
        """
        with self._lock:
            self._asked += 1
            if self._is_off or self._asked <= SINGLE:
                return None
            if (status := self._taken(name)) is not None:
                return status
            if name <= self._last:  # it is not there, or lies before the first page
                return None
            if self._pages and self._used < LEAST_USED:
                self._is_off = True
                return None
            try:
                self._turn(name, page_after)
            except ObjectError as error:
                if error.is_passing:
                    raise
                self._is_off = True  # such as without the right to list
            return self._taken(name)

    def _turn(self, name: str, page_after: Callable[[str], Page]) -> None:
        """Add the page after the last one, or the one that begins at ``name``."""
        start = self._last if self._last and self._last < name else name[:-1]
        page = page_after(start)
        self._pages, self._used = [*self._pages[-1:], page], 0
        self._last = next(reversed(page), "")

    def _taken(self, name: str) -> ObjectStatus | None:
        for page in self._pages:
            if (status := page.pop(name, None)) is not None:
                self._used += 1
                return status
        return None
