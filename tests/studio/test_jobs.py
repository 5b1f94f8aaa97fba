"""Jobs of the studio: states, order, stop, resume, and a server that is killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from earmark.apps.studio.jobs import files as job_files
from earmark.apps.studio.jobs import jobs, processes
from earmark.apps.studio.jobs.jobs import Jobs
from earmark.errors import EarmarkError

STUB = Path(__file__).parents[1] / "helpers" / "job_stub.py"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stub sets handlers of POSIX signals")


@pytest.fixture(autouse=True)
def _stub(monkeypatch):
    monkeypatch.setattr(processes, "EARMARK", (sys.executable, str(STUB)))
    monkeypatch.setattr(jobs, "POLL_S", 0.02)


@pytest.fixture
def folder(tmp_path):
    plan(tmp_path, print={"clips": 1})
    return tmp_path


def plan(folder, **what):
    (folder / "plan.json").write_text(json.dumps(what))


async def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        await asyncio.sleep(0.01)


async def over(all_jobs, id):
    await until(lambda: all_jobs.get(id)["state"] != "running")
    return all_jobs.get(id)


def test_a_job_is_the_command_and_its_result_what_it_printed(folder, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "1")

    async def main():
        heard = []
        all_jobs = Jobs(folder, lambda job: heard.append(job))
        job = await all_jobs.start("doctor", {"quick": True})
        assert job["command"] == f"earmark doctor {folder} --quick" and job["error"] is None
        ended = await over(all_jobs, job["id"])
        await until(lambda: heard[-1]["state"] == "done")  # told a moment later
        return heard, ended

    heard, job = asyncio.run(main())
    assert job["state"] == "done" and job["result"]["clips"] == 1
    about = job["result"]["about"]
    assert about["argv"] == ["doctor", str(folder), "--quick", "--json"]
    assert about["OMP_WAIT_POLICY"] == "passive" and about["EARMARK_OFFLINE"] == "1"
    assert about["session"] != os.getsid(0) and about["nice"] > os.getpriority(os.PRIO_PROCESS, 0)
    states = list(dict.fromkeys(told["state"] for told in heard))
    assert states == ["running", "done"] and "result" not in heard[-1]
    stage = {"name": "Reading the recordings", "steps": 4.0, "done": 1.0, "seconds": 0.0}
    assert heard[-1]["stages"] == [stage] and heard[-1]["ended_at"].endswith("Z")


def test_one_job_runs_at_a_time_and_the_others_are_shown_as_waiting(folder):
    plan(folder, wait="go", print={})

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        first = (await all_jobs.start("doctor", {}))["id"]
        second = (await all_jobs.start("train", {"name": "a"}))["id"]
        await until(lambda: (folder / "doctor.started").exists())
        waiting = all_jobs.get(second)
        assert waiting["is_waiting"] and waiting["state"] == "running"
        assert waiting["stage"] == "Waiting for another job"
        assert not all_jobs.get(first)["is_waiting"]
        assert not (folder / "train.started").exists() and waiting["started_at"].endswith("Z")
        assert [job["id"] for job in all_jobs.list()] == [second, first]
        (folder / "go").touch()
        assert (await over(all_jobs, second))["state"] == "done"
        assert all_jobs.get(first)["ended_at"] <= all_jobs.get(second)["started_at"]
        assert not all_jobs.is_busy

    asyncio.run(main())


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"say": "note: x\nerror: a has no b. Do c.", "code": 2}, "a has no b. Do c."),
        ({"say": "Usage: x\nError: No such option: -x", "code": 2}, "No such option: -x"),
        ({"kill": signal.SIGKILL.value}, "memory ran out"),
        ({"say": "Traceback (most recent):\n  x\nValueError: y", "code": 1}, "ValueError: y"),
        ({"code": 0}, "it ended without a result"),
    ],
)
def test_a_failed_job_says_why_in_the_words_of_the_command(folder, what, says):
    plan(folder, **what)

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        return await over(all_jobs, (await all_jobs.start("doctor", {}))["id"])

    job = asyncio.run(main())
    assert job["state"] == "failed" and says in job["error"] and job["result"] is None


def test_a_result_counts_whatever_the_exit_code_says(folder):
    plan(folder, print={"skipped": ["a.wav"]}, code=1)

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        return await over(all_jobs, (await all_jobs.start("doctor", {}))["id"])

    assert asyncio.run(main())["state"] == "done"


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_stop_ends_the_process_and_resume_runs_the_same_command(folder, monkeypatch, is_stubborn):
    monkeypatch.setattr(jobs, "GRACE_S", 0.2)
    plan(folder, wait="go", print={}, ignore=is_stubborn)

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        id = (await all_jobs.start("review", {}))["id"]
        await until(lambda: (folder / "review.started").exists())
        pid = int((folder / "review.started").read_text())
        stopped = await all_jobs.stop(id)
        assert stopped["state"] == "stopped" and stopped["error"] is None
        assert processes.started(pid) is None
        assert (await all_jobs.stop(id))["state"] == "stopped"
        (folder / "go").touch()
        again = await all_jobs.resume(id)
        assert again["command"] == stopped["command"]
        done = await over(all_jobs, id)
        assert done["state"] == "done" and len(done["stages"]) == 1
        with pytest.raises(EarmarkError, match="Only stopped jobs can go on"):
            await all_jobs.resume(id)

    asyncio.run(main())


def test_a_waiting_job_is_stopped_before_it_begins(folder):
    plan(folder, wait="go", print={})

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        first = (await all_jobs.start("doctor", {}))["id"]
        second = (await all_jobs.start("export", {"model": "a"}))["id"]
        assert (await all_jobs.stop(second))["state"] == "stopped"
        (folder / "go").touch()
        assert (await over(all_jobs, first))["state"] == "done"
        assert not (folder / "export.started").exists()

    asyncio.run(main())


SERVER = """
import asyncio, sys
from pathlib import Path
from earmark.apps.studio.jobs import jobs, processes
processes.EARMARK = (sys.executable, sys.argv[2])
async def main():
    all_jobs = jobs.Jobs(Path(sys.argv[1]), lambda job: print(job["state"], flush=True))
    await all_jobs.start("doctor", {})
    await all_jobs.start("train", {"name": "next"})
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_job_goes_on_when_the_server_is_killed_and_a_new_one_takes_it_up(folder):
    plan(folder, wait="go", print={"clips": 7})
    command = [sys.executable, "-c", SERVER, str(folder), str(STUB)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    async def main():
        await until(lambda: (folder / "doctor.started").exists())
        await until(lambda: len(list((folder / ".studio" / "jobs").glob("*/job.json"))) == 2)
        server.send_signal(signal.SIGKILL)
        server.wait()
        heard = []
        all_jobs = Jobs(folder, lambda job: heard.append(job))
        await all_jobs.attach()
        second, first = all_jobs.list()
        assert (first["state"], first["stage"]) == ("running", "Reading the recordings")
        assert second["state"] == "stopped" and "Start it again" in second["error"]
        (folder / "go").touch()
        done = await over(all_jobs, first["id"])
        assert (done["state"], done["result"]["clips"]) == ("done", 7)
        await until(lambda: heard[-1]["state"] == "done")  # told when it is saved
        third = Jobs(folder, lambda job: None)
        await third.attach()
        assert third.get(first["id"])["state"] == "done" and not third.is_busy
        await third.resume(second["id"])
        assert (await over(third, second["id"]))["state"] == "done"

    try:
        asyncio.run(main())
    finally:
        server.kill()
        server.wait()


def test_a_number_that_another_process_has_by_now_is_not_taken_for_the_job(folder):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    job = job_files.Job(job_files.new_id(), "doctor", {}, "running", pid=other.pid, process="1 2")
    job_files.JobFiles(folder, job.id).save(job)

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        await all_jobs.attach()
        stopped = await all_jobs.stop(job.id)
        assert stopped["state"] in ("failed", "stopped")

    asyncio.run(main())
    assert other.poll() is None
    assert processes.is_running(other.pid, processes.started(other.pid))
    other.communicate(b"\n")
    assert processes.started(other.pid) is None


def test_files_of_jobs_from_elsewhere_start_nothing_and_break_nothing(folder):
    files = job_files.JobFiles(folder, job_files.new_id())
    files.save(job_files.Job(files.id, "push", {"model": "a", "repo": "thief/a"}))
    bad = job_files.jobs_folder(folder) / job_files.new_id()
    bad.mkdir()
    (bad / "job.json").write_text('{"id": "x", "kind": 3}')
    odd = job_files.JobFiles(folder, job_files.new_id())
    odd.save(job_files.Job(odd.id, "doctor", {"quick": "; rm -rf /"}, "failed"))

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        await all_jobs.attach()
        states = {job["kind"]: job["state"] for job in all_jobs.list()}
        assert states == {"push": "stopped", "doctor": "failed"} and not all_jobs.is_busy
        (trouble,) = all_jobs.trouble
        assert "job.json is damaged" in trouble
        with pytest.raises(EarmarkError, match="true or false"):
            await all_jobs.resume(odd.id)
        with pytest.raises(KeyError):
            all_jobs.get("../../etc")

    asyncio.run(main())


def test_old_jobs_are_deleted_and_what_they_made_stays(folder, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_JOBS", 2)
    (folder / "models").mkdir()
    (folder / "models" / "a.earmark").touch()

    async def main():
        all_jobs = Jobs(folder, lambda job: None)
        ids = []
        for _ in range(4):
            job = await all_jobs.start("doctor", {})
            ids.append(job["id"])
            await over(all_jobs, job["id"])
        await all_jobs.start("doctor", {})
        assert len(all_jobs.list()) == 3
        return ids

    ids = asyncio.run(main())
    left = set(job_files.ids_in(folder))
    assert not {*sorted(ids)[:2]} & left and (folder / "models" / "a.earmark").exists()


def test_a_name_in_use_and_a_linked_folder_are_refused(folder, tmp_path_factory):
    (folder / "models").mkdir()
    (folder / "models" / "a.earmark").touch()

    async def start(kind, choices):
        return await Jobs(folder, lambda job: None).start(kind, choices)

    with pytest.raises(EarmarkError, match="there is a classifier 'a' already"):
        asyncio.run(start("train", {"name": "a"}))
    with pytest.raises(EarmarkError, match="is no job"):
        asyncio.run(start("predict", {"model": "a"}))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / ".studio").symlink_to(elsewhere)
    with pytest.raises(EarmarkError, match="is a link"):
        asyncio.run(start("doctor", {}))
    assert not any(elsewhere.iterdir())
