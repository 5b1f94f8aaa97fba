"""`earmark studio` is killed, with and without its training: what was there is there again."""

import contextlib
import json
import os
import signal
import sqlite3
import time

import numpy as np
import pytest
import soundfile

from earmark.apps.studio.jobs import processes
from studio_events import Events
from studios import command

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")]
CHOICES = {"name": "m", "backbone": "logmel", "unknown": False, "no_compare": True}


@pytest.fixture
def noises(tmp_path):
    """Two classes whose clips are some minutes in all: several shards of embeddings."""
    rng = np.random.default_rng(0)
    for label, width in (("loud", 0.3), ("soft", 0.03)):
        (tmp_path / "noises" / label).mkdir(parents=True)
        for k in range(40):
            x = width * rng.uniform(-1, 1, 16_000 * 5)
            soundfile.write(tmp_path / "noises" / label / f"{k}.wav", x, 16_000)
    return tmp_path / "noises"


def entered(studio):
    assert studio.enter(studio.address.rpartition("token=")[2]).status == 200
    return studio


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return value


def killed(studio):
    studio.process.send_signal(signal.SIGKILL)
    studio.process.wait()


def record(folder, id):
    return json.loads((folder / ".studio" / "jobs" / id / "job.json").read_text())


def over(studio, id):
    job = studio.get(f"/api/jobs/{id}").json
    return None if job["state"] == "running" else job


def keys(db, table):
    return {key for (key,) in db.execute(f"SELECT key FROM {table}")}


@contextlib.contextmanager
def held_when_begun(file):
    """Keep others from storing embeddings, from the moment at which there are some."""
    until(file.exists)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:

        def has_begun():
            with contextlib.suppress(sqlite3.OperationalError):  # the table is being made
                db.execute("BEGIN IMMEDIATE")
                if keys(db, "embedding"):
                    return True
            if db.in_transaction:
                db.execute("ROLLBACK")
            return False

        until(has_begun)
        yield
        db.execute("ROLLBACK")


def test_a_training_outlives_the_studio_and_reaches_the_page_of_the_next(noises):
    with command(noises) as first:
        id = entered(first).post("/api/jobs", {"kind": "train", "choices": CHOICES}).json["id"]
        until(lambda: first.get(f"/api/jobs/{id}").json["stages"][0]["done"])
        killed(first)
    job = record(noises, id)
    assert processes.is_running(job["pid"], job["process"])
    with command(noises) as second:
        page, states, stages = Events(entered(second)), [], set()
        while not states or states[-1] == "running":
            kind, data = page.next()
            if kind == "job":
                assert data["id"] == id
                states.append(data["state"])
                stages |= {stage["name"] for stage in data["stages"] if stage["done"]}
        page.close()
        assert states[0] == "running" and states[-1] == "done" and len(stages) > 2
        assert record(noises, id)["pid"] == job["pid"]
        assert second.get("/api/state").json["models"] == ["m"]
        assert second.get("/api/models/m/summary").json["labels"] == ["loud", "soft"]


def test_a_training_that_was_killed_as_well_goes_on_with_what_it_had_stored(
    noises, tmp_path, monkeypatch
):
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "cache" / "embeddings.sqlite"
    with command(noises) as first:
        id = entered(first).post("/api/jobs", {"kind": "train", "choices": CHOICES}).json["id"]
        with held_when_begun(file):
            killed(first)
            pid = record(noises, id)["pid"]
            os.killpg(pid, signal.SIGKILL)
            until(lambda: processes.started(pid) is None)
    assert not (noises / "models" / "m.earmark").exists()
    with contextlib.closing(sqlite3.connect(file)) as db:
        before = keys(db, "embedding")
        db.execute("CREATE TABLE again (key BLOB)")
        db.execute(
            "CREATE TRIGGER noted BEFORE INSERT ON embedding"
            " BEGIN INSERT INTO again VALUES (NEW.key); END"
        )
        db.commit()
    with command(noises) as second:
        entered(second)
        until(lambda: second.get(f"/api/jobs/{id}").status == 200)
        job = until(lambda: over(second, id))
        assert (job["state"], job["error"]) == ("stopped", None)
        assert second.post(f"/api/jobs/{id}/resume").status == 200
        assert until(lambda: over(second, id))["state"] == "done"
        assert second.get("/api/state").json["models"] == ["m"]
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert 0 < len(before) < 80
        assert keys(db, "again") == keys(db, "embedding") - before
