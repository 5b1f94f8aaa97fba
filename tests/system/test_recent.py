"""The values that were added last stay, and one thread makes each."""

import concurrent.futures

from earmark.system.recent import Recent


def test_the_values_added_last_stay():
    recent: Recent[str, int] = Recent(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        recent.add(key, value)
    assert [recent.get(key) for key in "abc"] == [3, None, 4]


def test_each_is_made_once():
    recent: Recent[str, int] = Recent(2, n_locks=1)
    made = []

    def get(_: int) -> int | None:
        with recent.making("a"):
            if recent.get("a") is None:
                made.append(1)
                recent.add("a", 1)
        return recent.get("a")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(get, range(100))) == [1] * 100
    assert made == [1]
