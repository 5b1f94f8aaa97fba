"""Work ahead: in order, and never more of it than asked for."""

import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from earmark.system.threads import map_ahead


def test_results_come_in_order_and_items_that_are_done_need_no_thread():
    used = set()

    def double(number: int) -> int:
        used.add(number)
        time.sleep(0.001 * (number % 3))
        return 2 * number

    with ThreadPoolExecutor(2) as pool:
        results = list(map_ahead(pool, double, range(50), 5, is_done=lambda n: n % 4 == 0))
    assert results == [n if n % 4 == 0 else 2 * n for n in range(50)]
    assert used == {n for n in range(50) if n % 4}


class AtOnce(Executor):
    """Does what it is given while that is submitted."""

    def submit(self, function, /, *arguments, **keywords):
        future = Future()
        future.set_result(function(*arguments, **keywords))
        return future


@pytest.mark.parametrize(("most", "waiting"), [(30, 5), (2, 3)])
def test_no_more_is_taken_while_much_waits(most, waiting):
    """A result of 10 bytes counts from when it is there until it is handed on."""
    taken: list[int] = []

    def items():
        for number in range(40):
            taken.append(number)
            yield b"1"

    ahead = [
        len(taken) - number
        for number, _ in enumerate(map_ahead(AtOnce(), lambda x: 10 * x, items(), most, len, 45))
    ]
    assert ahead[0] == ahead[20] == max(ahead) == waiting


def test_an_item_that_fails_ends_it():
    def fail(item: int) -> int:
        if item == 3:
            raise ValueError(item)
        return item

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="3"):
        list(map_ahead(pool, fail, range(9), 2, lambda _: 1, 100))


def test_results_that_are_not_there_yet_count_too():
    """One slow worker: without their expected size, all 32 would be begun, and then held."""
    gate, begun = threading.Event(), []

    def read(number):
        if number:
            gate.wait(10)
        return bytes(10)

    numbers = (begun.append(number) or number for number in range(50))
    with ThreadPoolExecutor(1) as pool:
        results = map_ahead(
            pool, read, numbers, 32, lambda x: len(x) if isinstance(x, bytes) else 0, 40
        )
        assert next(results) == bytes(10)
        assert len(begun) == 5
        gate.set()
        assert len(list(results)) == 49
