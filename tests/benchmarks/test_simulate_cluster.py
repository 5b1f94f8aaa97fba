"""The simulated cluster: with everything dying, no part is lost and few are computed twice."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PARTS = 200


@pytest.fixture
def simulation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("simulate_cluster"), importlib.import_module("simulated_cluster")


def test_no_part_is_lost_and_few_are_computed_twice(simulation):
    simulate, simulated = simulation
    world = simulated.World(
        32, node_life_s=600.0, driver_life_s=120.0, node_s=(20.0, 0.5), straggler=(0.02, 10.0)
    )
    cluster, _ = simulate.simulate(world, lambda: simulate.made_parts(PARTS), seed=3)
    tally = cluster.tally
    assert cluster.done == set(range(PARTS))
    assert tally.node_deaths > 0 and tally.worker_deaths > 0 and tally.driver_deaths > 0
    assert PARTS <= tally.completed < 1.05 * PARTS
    assert tally.useful_s < tally.busy_s < 2 * tally.useful_s


def test_without_trouble_the_time_is_the_work_divided_by_the_workers(simulation):
    simulate, simulated = simulation
    world = simulated.World(
        8, part_s=(20.0, 0.0), straggler=(0.0, 1.0), slow_node=(0.0, 1.0), error=0.0,
        node_life_s=1e12, driver_life_s=1e12,
    )  # fmt: skip
    cluster, _ = simulate.simulate(world, lambda: simulate.made_parts(PARTS))
    assert cluster.tally.attempts == cluster.tally.completed == PARTS
    assert cluster.tally.busy_s == pytest.approx(PARTS * 20.0)
    assert simulate.work_s(world, PARTS) == pytest.approx(PARTS * 20.0)
    assert PARTS * 20.0 / 8 < cluster.now < PARTS * 20.0 / 8 + 60.0


@pytest.mark.parametrize("count", [PARTS, 3 * PARTS])
def test_the_driver_reads_as_many_parts_ahead_for_more_clips(simulation, monkeypatch, count):
    simulate, simulated = simulation
    cluster = simulated.SimulatedCluster(simulated.World(8, driver_life_s=1e12))
    monkeypatch.setattr(simulate, "SimulatedCluster", lambda *_: cluster)
    ahead = []

    def parts():
        for part in simulate.made_parts(count):
            ahead.append(part.number + 1 - len(cluster.done))
            yield part

    simulate.simulate(cluster.world, parts)
    assert 16 <= max(ahead) <= 8 * 2 + 8
