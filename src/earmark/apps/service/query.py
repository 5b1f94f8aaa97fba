"""The options of a request, which stand in its query: ``?top=5&coverage=0.9``."""

from __future__ import annotations

import collections
from collections.abc import Collection
from urllib.parse import parse_qsl

from earmark.apps.service.problems import ProblemError

MOST = 16  # options of one request


def check_query(query: bytes, options: Collection[str]) -> None:
    """Raise a problem for an option that is not one of ``options``, or that is given twice.

    A framework would ignore the first, and choose one of the second. A client that has mistyped an
    option would not notice.
    """
    try:
        pairs = parse_qsl(query.decode("latin-1"), True, max_num_fields=MOST)
    except ValueError:
        raise ProblemError(422, f"The request has more than {MOST} options.") from None
    known = " and ".join(filter(None, [", ".join(list(options)[:-1]), list(options)[-1]]))
    for name, count in collections.Counter(name for name, _ in pairs).items():
        if name not in options:
            raise ProblemError(422, f"?{name[:80]} is no option of this path. It takes {known}.")
        if count > 1:
            raise ProblemError(422, f"?{name} is given {count} times. Give it once.")
