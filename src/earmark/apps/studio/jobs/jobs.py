"""Long work of the page: child processes that are the command line, one at a time.

A job goes on when the page is closed, and when the server is killed; a new server takes it up
again (:meth:`Jobs.attach`).
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from earmark.apps.studio.jobs import processes, progress
from earmark.apps.studio.jobs.commands import KINDS, Choices, free_name
from earmark.apps.studio.jobs.files import (
    DONE,
    FAILED,
    PRINTS_NO_JSON,
    RUNNING,
    STOPPED,
    WAITING,
    Job,
    JobFiles,
    check_no_links,
    error_of,
    ids_in,
    jobs_folder,
    new_id,
    now_text,
    says_why,
)
from earmark.apps.studio.jobs.results import keep
from earmark.apps.studio.learned.digest import training_digest
from earmark.apps.studio.places import MODEL_SUFFIX, MODELS
from earmark.errors import EarmarkError

JOB_KINDS = ("doctor", "fix", "train", "review", "export", "push", "fetch", "index")
MOST_JOBS = 50  # that have ended; older ones are deleted, but never what they made
MOST_WAITING = 20
POLL_S = 0.2
GRACE_S = 8.0  # from the request to stop to the end; a command ends itself after 5 s
NOT_BEGUN = "the studio ended before this began. Start it again."
WAITS = "Waiting for another job"

OnJob = Callable[[dict[str, Any]], None]


class _Run:
    """A job in memory: its record, its files, its progress and, if we started it, its process."""

    def __init__(self, folder: Path, job: Job, recordings: Mapping[str, Path]) -> None:
        self.job, self.files = job, JobFiles(folder, job.id, recordings)
        self.reader = progress.ProgressReader(self.files.progress)
        self.plan = progress.planned(job.kind, job.choices)
        self.command = self.files.text(job)
        self.child: subprocess.Popen[bytes] | None = None
        self.told: dict[str, Any] = {}

    def public(self) -> dict[str, Any]:
        """Return the job as the page gets it, to which a job that waits is one that runs."""
        job, stages = self.job, self.reader.stages()
        is_running, is_waiting = job.state == RUNNING, job.state == WAITING
        return {
            "id": job.id,
            "kind": job.kind,
            "choices": job.choices,
            "command": self.command,
            "state": RUNNING if is_waiting else job.state,
            "is_waiting": is_waiting,
            "stage": self._stage(stages),
            "stages": progress.listed(stages, self.plan, is_over=job.is_over),
            "left_s": progress.left_s(stages, self.plan, time.time()) if is_running else None,
            "started_at": job.started_at,
            "ended_at": job.ended_at,
            "error": job.error,
            "said": job.said,
        }

    def _stage(self, stages: list[progress.Stage]) -> str | None:
        if self.job.state == WAITING:
            return WAITS
        if self.job.state != RUNNING:
            return None
        if self.job.is_to_stop:
            return "Stopping"
        return stages[-1].name if stages else progress.STARTING

    def is_running(self) -> bool:
        """Return whether its process still runs."""
        if self.child is not None:
            return self.child.poll() is None
        return processes.is_running(self.job.pid, self.job.process)


class Jobs:
    """The jobs of a folder. Call its methods on one event loop.

    Parameters
    ----------
    folder : Path
    on_job : callable
        Is called with a job as the page gets it, after each change.
    recordings : mapping of str to Path, optional
        The folders besides ``folder`` that a job may read, by their names.

    Attributes
    ----------
    trouble : list of str
        Sentences on jobs whose files cannot be read.
    """

    def __init__(
        self, folder: Path, on_job: OnJob, recordings: Mapping[str, Path] | None = None
    ) -> None:
        self.folder, self.on_job = folder.absolute(), on_job
        self.recordings = recordings or {}
        self.trouble: list[str] = []
        self._runs: dict[str, _Run] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()  # around changes of a state

    # What the page asks for

    async def start(self, kind: str, choices: Choices) -> dict[str, Any]:
        """Start a job, or let it wait until the others have ended; return it.

        Raises
        ------
        EarmarkError
            The kind or a choice is impossible, the name of the classifier is taken, too many jobs
            wait, or the folder cannot be written.
        """
        if kind not in JOB_KINDS:
            raise EarmarkError(f"{kind!r} is no job. Choose of {', '.join(JOB_KINDS)}.")
        async with self._lock:
            chosen = self._named(kind, dict(choices))
            run = self._run(Job(new_id(), kind, chosen, started_at=now_text()))
            await asyncio.to_thread(self._begin, run)
            self._runs[run.job.id] = run
        await self._launch(run)
        self._tell(run)
        self._watch()
        await asyncio.to_thread(self._prune)
        return run.public()

    def list(self) -> list[dict[str, Any]]:
        """Return all jobs, the newest first."""
        return [self._runs[id].public() for id in sorted(self._runs, reverse=True)]

    def get(self, id: str) -> dict[str, Any]:
        """Return a job with its ``result`` and ``messages``; KeyError for an unknown one.

        Reads files, so call it in a thread. The result is what the command printed as JSON, None
        until then; messages are the lines that it printed for people.
        """
        run = self._runs[id]
        result = run.files.result() if run.job.is_over else None
        return {**run.public(), "result": result, "messages": run.files.lines()}

    def files(self, id: str) -> JobFiles:
        """Return the files of a job; KeyError for an unknown one."""
        return self._runs[id].files

    async def stop(self, id: str) -> dict[str, Any]:
        """Stop a job, and return it when it has ended. One that is over stays as it is.

        A process that the system cannot end yet is returned as one that still stops.
        """
        run = self._runs[id]
        async with self._lock:
            if run.job.state == WAITING:
                await self._end(run, STOPPED)
            elif run.job.state == RUNNING:
                run.job.is_to_stop = True
                with contextlib.suppress(EarmarkError):  # it is to stop, also with a full disk
                    await asyncio.to_thread(run.files.save, run.job)
                self._signal(run, processes.ask_to_stop)
                self._tell(run)
        self._watch()
        begun = time.monotonic()
        while run.job.state == RUNNING and time.monotonic() < begun + 2 * GRACE_S:
            await asyncio.sleep(POLL_S / 2)
            if time.monotonic() > begun + GRACE_S:
                self._signal(run, processes.end)
        return run.public()

    async def resume(self, id: str) -> dict[str, Any]:
        """Run a stopped or failed job again, and return it.

        It is the same command; what it had stored is not computed again.
        """
        run = self._runs[id]
        async with self._lock:
            if run.job.state not in (STOPPED, FAILED):
                raise EarmarkError(f"this job is {run.job.state}. Only stopped jobs can go on.")
            job = Job(run.job.id, run.job.kind, run.job.choices, started_at=now_text())
            run = self._run(job)
            run.files.argv(job)  # its choices may have come from a file
            await asyncio.to_thread(run.files.clear)
            await asyncio.to_thread(run.files.save, job)
            self._runs[id] = run
        self._tell(run)
        self._watch()
        return run.public()

    async def say(self, id: str, sentence: str, error: str | None = None) -> None:
        """Add what the studio did with a job's result: ``sentence``, or the ``error``."""
        run = self._runs[id]
        run.job.said, run.job.error = sentence or None, error
        await asyncio.to_thread(run.files.save, run.job)
        self._tell(run)

    async def attach(self) -> None:
        """Take up the jobs of an earlier server: those that still run are followed."""
        for id in await asyncio.to_thread(ids_in, self.folder):
            if id in self._runs:
                continue
            try:
                job = await asyncio.to_thread(JobFiles(self.folder, id).load)
            except EarmarkError as error:
                self.trouble.append(str(error))
                continue
            run = self._runs[id] = self._run(job)
            while await asyncio.to_thread(run.reader.read):
                pass
            if job.state == WAITING:  # a folder that was copied here must not start work
                async with self._lock:
                    await self._end(run, STOPPED, NOT_BEGUN)
            self._tell(run)
        self._watch()

    async def close(self) -> None:
        """Stop following. Jobs that run go on; those that wait are found by :meth:`attach`."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        for run in self._runs.values():
            if run.child is not None and run.child.poll() is None:
                run.child.returncode = 0  # Python would warn that it still runs

    @property
    def is_busy(self) -> bool:
        """Whether a job runs or waits."""
        return any(not run.job.is_over for run in self._runs.values())

    @property
    def _is_running(self) -> bool:
        return any(run.job.state == RUNNING for run in self._runs.values())

    # How jobs run

    def _run(self, job: Job) -> _Run:
        return _Run(self.folder, job, self.recordings)

    def _named(self, kind: str, choices: dict[str, Any]) -> dict[str, Any]:
        """Return the choices with a name, so that the same command can run again."""
        live = [run.job for run in self._runs.values() if not run.job.is_over]
        if len(live) > MOST_WAITING:
            raise EarmarkError(f"{MOST_WAITING} jobs wait already. Stop some of them.")
        taken = {job.choices.get("name") for job in live if job.kind == kind}
        if kind == "review" and choices.get("name") is None:
            choices["name"] = free_name(self.folder, taken=taken)
        name = choices.get("name")
        if kind == "train" and isinstance(name, str):
            path = self.folder / MODELS / f"{name}{MODEL_SUFFIX}"
            if name in taken or path.exists():
                raise EarmarkError(f"there is a classifier {name!r} already. Choose another name.")
        return choices

    def _begin(self, run: _Run) -> None:
        """Write a new job to the disk; refuse choices that make no command."""
        run.files.argv(run.job)
        check_no_links(self.folder)
        run.files.save(run.job)

    def _watch(self) -> None:
        """Follow the jobs while there are any to follow."""
        if self.is_busy and (self._watcher is None or self._watcher.done()):
            self._watcher = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while self.is_busy:
            runs = [self._runs[id] for id in sorted(self._runs)]
            for run in runs:
                if run.job.state == RUNNING:
                    await self._look(run)
            waiting = next((run for run in runs if run.job.state == WAITING), None)
            if waiting is not None:
                await self._launch(waiting)
            await asyncio.sleep(POLL_S)

    async def _look(self, run: _Run) -> None:
        """Read what is new of a running job, and see whether it has ended."""
        has_ended = not await asyncio.to_thread(run.is_running)
        while await asyncio.to_thread(run.reader.read):
            pass
        if has_ended:
            async with self._lock:
                await self._finish(run)
        self._tell(run)

    async def _launch(self, run: _Run) -> None:
        async with self._lock:
            if run.job.state != WAITING or self._is_running:  # it was stopped, or was too late
                return
            try:
                is_launched = await asyncio.to_thread(self._start_process, run)
            except (EarmarkError, OSError) as error:
                sentence = str(error) if isinstance(error, EarmarkError) else _not_started(error)
                await self._end(run, FAILED, sentence)
                return
        if is_launched:
            self._tell(run)

    def _start_process(self, run: _Run) -> bool:
        """Start the process of a job; False if a second server on this folder runs one now."""
        check_no_links(self.folder)
        try:
            with FileLock(jobs_folder(self.folder) / "lock", timeout=0):
                if self._is_taken():
                    return False
                files, job = run.files, run.job
                if job.kind in ("train", "fix"):
                    job.data = training_digest(self.folder, job.choices.get("archive"))
                more = {"EARMARK_PROGRESS": str(files.progress)}
                argv = files.argv(job)
                argv += [] if job.kind in PRINTS_NO_JSON else ["--json"]
                run.child = processes.start(argv, files.output, files.messages, more)
                job.pid = run.child.pid
                job.process = processes.started(job.pid) or ""
                job.state, job.started_at = RUNNING, now_text()
                files.save(job)
        except Timeout:
            return False
        return True

    def _is_taken(self) -> bool:
        """Return whether a job runs that another server started."""
        for id in ids_in(self.folder):
            if id not in self._runs:
                with contextlib.suppress(EarmarkError):
                    job = JobFiles(self.folder, id).load()
                    if job.state == RUNNING and processes.is_running(job.pid, job.process):
                        return True
        return False

    async def _finish(self, run: _Run) -> None:
        """Give a job whose process has ended its last state."""
        job, files = run.job, run.files
        code = None if run.child is None else run.child.returncode
        if job.kind in PRINTS_NO_JSON:
            is_done = code == 0 or (code is None and files.has_printed())
        else:
            is_done = await asyncio.to_thread(files.result) is not None
        lines = await asyncio.to_thread(files.lines)
        was_stopped = job.is_to_stop or any(line.startswith("stopped") for line in lines[-3:])
        was_killed = code is None and not says_why(lines)  # with the server that had started it
        if is_done:
            with contextlib.suppress(EarmarkError):  # a full disk; what it made is there
                await asyncio.to_thread(keep, self.folder, job, files)
            await self._end(run, DONE)
        elif was_stopped or was_killed:
            await self._end(run, STOPPED)
        else:
            await self._end(run, FAILED, error_of(lines, code))

    async def _end(self, run: _Run, state: str, error: str | None = None) -> None:
        job = run.job
        job.state, job.error, job.ended_at, job.is_to_stop = state, error, now_text(), False
        with contextlib.suppress(EarmarkError):  # a full disk, or the folder has gone
            await asyncio.to_thread(run.files.save, job)
        self._tell(run)

    def _signal(self, run: _Run, send: Callable[[int], None]) -> None:
        """Signal the process of a job, unless its number is another process by now."""
        if run.is_running():
            send(run.job.pid)

    def _tell(self, run: _Run) -> None:
        public = run.public()
        if public != run.told:
            run.told = public
            self.on_job(public)

    def _prune(self) -> None:
        """Forget and delete the oldest jobs that have ended."""
        ended = sorted(id for id, run in self._runs.items() if run.job.is_over)
        for id in ended[:-MOST_JOBS]:
            self._runs.pop(id).files.delete()


def _not_started(error: OSError) -> str:
    return f"the command could not be started: {error.strerror}. Free some memory or space."


assert set(JOB_KINDS) <= set(KINDS)
