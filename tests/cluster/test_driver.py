"""The driver of a cluster: bounded queues, deaths, parts that are slow, refusals."""

import collections
import itertools
import random

import pytest

from cluster_stub import StubCluster, stub_parts
from earmark.apps.cluster.driver import AT_A_WORKER, MAX_DEATHS, Driver
from earmark.errors import EarmarkError


def run(cluster: StubCluster, count: int) -> list[int]:
    """Return the numbers of parts in the order in which they were done."""
    return [
        part.number for part, _ in Driver(cluster, stub_parts(count), lambda: cluster.now).run()
    ]


def test_every_part_is_done_once_and_few_are_read_ahead():
    cluster, read = StubCluster(3), []
    parts = (read.append(part.number) or part for part in stub_parts(40))
    done = []
    for part, _ in Driver(cluster, parts, lambda: cluster.now).run():
        done.append(part.number)
        assert len(read) - len(done) <= AT_A_WORKER * 3
    assert sorted(done) == read == [*range(40)]
    assert sorted(number for _, number in cluster.computed) == read
    assert cluster.most_at_a_worker == AT_A_WORKER and len(cluster.workers) == 3
    assert all(worker.is_dead for worker in cluster.workers)
    assert cluster.now < 2 + 40 / 3 + 2


def test_no_worker_is_started_without_a_part_for_it():
    cluster = StubCluster(8)
    assert sorted(run(cluster, 3)) == [0, 1, 2] and len(cluster.workers) == 3
    assert run(StubCluster(8), 0) == []


def test_the_parts_of_a_dead_worker_are_given_out_again():
    deaths = {3: itertools.count(), 9: itertools.count()}
    cluster = StubCluster(2, dies=lambda _, part: part in deaths and next(deaths[part]) < 2)
    assert sorted(run(cluster, 12)) == [*range(12)]
    assert sorted(number for _, number in cluster.computed) == [*range(12)]
    assert len(cluster.workers) > 2 + 2


def test_a_part_that_ends_workers_stops_the_run_with_its_recordings():
    cluster = StubCluster(2, dies=lambda worker, part: part == 5)
    with pytest.raises(EarmarkError, match=r"part 5 ended 4 workers \(it was killed\).*5\.wav to"):
        run(cluster, 12)
    assert len(cluster.workers) - 2 == MAX_DEATHS and all(w.is_dead for w in cluster.workers)


def test_workers_that_never_become_ready_stop_the_run():
    cluster = StubCluster(2, dies=lambda worker, part: part is None and worker != 0)
    with pytest.raises(EarmarkError, match="workers died before they were ready, 4 times in a row"):
        run(StubCluster(2, dies=lambda worker, part: part is None), 12)
    assert sorted(run(cluster, 3)) == [0, 1, 2]  # one that is ready counts


def test_workers_that_die_at_their_start_now_and_then_do_not_stop_the_run():
    def dies(worker: int, part: int | None) -> bool:
        return worker % 2 == 1 if part is None else part == worker + 1

    cluster = StubCluster(1, dies=dies)
    assert sorted(run(cluster, 12)) == [*range(12)]
    assert len(cluster.workers) // 2 > MAX_DEATHS


def test_a_slow_part_is_given_to_one_idle_worker_and_what_waits_behind_it_moves():
    def seconds(worker: int, part: int | None) -> float:
        return {6: 1_000.0 if worker == 0 else 12.0, 10: 60.0}.get(part, 1.0)

    cluster = StubCluster(4, seconds=seconds)
    assert sorted(run(cluster, 13)) == [*range(13)]
    begun = collections.Counter(number for _, number in cluster.begun)
    assert begun[6] == 2 and begun[10] == 2 and len(cluster.begun) == 13 + 2
    assert cluster.now < 100


def test_a_part_that_was_moved_is_not_begun_at_its_old_worker():
    cluster = StubCluster(2, seconds=lambda worker, part: {0: 9.0, 1: 9.5}.get(part, 1.0))
    assert sorted(run(cluster, 4)) == [0, 1, 2, 3]
    assert sorted(number for _, number in cluster.begun) == [0, 1, 2, 3]


def test_a_part_that_waited_long_is_not_slow():
    cluster = StubCluster(2, seconds=lambda worker, part: {0: 100.0, 1: 5.0}.get(part, 1.0))
    assert sorted(run(cluster, 105)) == [*range(105)]
    assert len(cluster.begun) == 105


def test_a_part_with_a_copy_elsewhere_is_not_given_out_again_when_its_worker_dies():
    def seconds(worker: int, part: int | None) -> float:
        return (15.0 if worker == 0 else 8.0) if part == 0 else 1.0

    cluster = StubCluster(3, seconds=seconds, dies=lambda worker, part: (worker, part) == (0, 0))
    assert sorted(run(cluster, 9)) == [*range(9)]
    assert [number for _, number in cluster.begun].count(0) == 2


def test_parts_that_take_equally_long_are_not_computed_twice():
    cluster = StubCluster(3, seconds=lambda worker, part: 50.0)
    run(cluster, 10)
    assert len(cluster.computed) == 10


def test_a_part_that_was_moved_comes_back_if_its_new_worker_dies():
    def seconds(worker: int, part: int | None) -> float:
        return 30.0 if part == 0 else 1.0

    cluster = StubCluster(2, seconds=seconds, dies=lambda worker, part: worker == 1 and part == 2)
    assert sorted(run(cluster, 3)) == [0, 1, 2]


def test_a_worker_that_is_refused_stops_the_run():
    cluster = StubCluster(2, refusal="the worker on node7 has earmark '0.1.0'. Install another.")
    with pytest.raises(EarmarkError, match="the worker on node7 has earmark"):
        run(cluster, 12)
    assert all(worker.is_dead for worker in cluster.workers) and not cluster.computed


def test_a_cluster_that_grows_is_asked_for_more_workers_than_it_has_room_for():
    cluster = StubCluster(1, grows=True, room=6)
    assert sorted(run(cluster, 200)) == [*range(200)]
    assert len({number for number, _ in cluster.computed}) == 6
    assert 6 < len(cluster.workers) <= 12
    assert cluster.now < 200 / 6 + 20


def test_nothing_is_lost_whatever_dies_or_dawdles():
    for seed in range(200):
        rng = random.Random(seed)
        deaths: collections.Counter[int] = collections.Counter()

        def dies(worker: int, part: int | None, rng=rng, deaths=deaths) -> bool:
            is_due = part is not None and deaths[part] < MAX_DEATHS - 1 and rng.random() < 0.15
            deaths[part] += is_due
            return is_due

        cluster = StubCluster(
            rng.randint(1, 6),
            grows=rng.random() < 0.5,
            room=rng.randint(1, 8),
            seconds=lambda worker, part, rng=rng: rng.choice((0.5, 1.0, 1.0, 3.0, 60.0)),
            dies=dies,
        )
        assert sorted(run(cluster, 25)) == [*range(25)], seed
        assert cluster.most_at_a_worker <= AT_A_WORKER


def test_a_machine_that_dies_with_all_its_starting_workers_is_one_failed_start():
    first = set(range(8))
    cluster = StubCluster(8, dies=lambda worker, part: part is None and worker in first)
    assert sorted(run(cluster, 20)) == [*range(20)] and len(cluster.workers) == 16


def test_many_idle_workers_are_looked_after_together(monkeypatch):
    """One look at all errands for each step, not one for each idle worker."""
    cluster = StubCluster(100, seconds=lambda worker, part: 500.0 if part == 7 else 1.0)
    looks, steps, to_take_over, wait = [], [], Driver._to_take_over, cluster.wait
    monkeypatch.setattr(Driver, "_to_take_over", lambda *a: (looks.append(a), to_take_over(*a))[1])
    cluster.wait = lambda *a: (steps.append(a), wait(*a))[1]
    assert sorted(run(cluster, 150)) == [*range(150)]
    assert 0 < len(looks) <= len(steps) + 1
    twice = collections.Counter(number for _, number in cluster.begun)
    assert [number for number, count in twice.items() if count > 1] == [7] and twice[7] == 2
