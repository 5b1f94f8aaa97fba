"""Load the classifiers again while the service answers, without a lost request."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.apps.service.logs import Log
from earmark.apps.service.model_files import Copies, Status, copy_models, status_of
from earmark.apps.service.pool import Pool
from earmark.apps.service.settings import Settings, token_of
from earmark.errors import EarmarkError

WATCH_S = 1.0  # between two looks at the files


@dataclass(eq=False)
class Generation:
    """Processes with the same classifiers, and the number of requests that they still answer."""

    pool: Pool
    copies: Copies | None = None
    uses: int = 0

    async def close(self) -> None:
        """End the processes."""
        await self.pool.close()
        if self.copies is not None:
            await asyncio.to_thread(self.copies.delete)


class Computers:
    """The processes that compute, and those before them that still answer.

    ``pool`` computes at the beginning, if not a new one.
    """

    def __init__(self, settings: Settings, log: Log, pool: Pool | None = None) -> None:
        self._settings, self._log = settings, log
        self._now = Generation(pool or self._pool({}))
        self._has_pool = pool is not None
        self._before: set[Generation] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._replaced = 0  # of generations that have ended

    @property
    def pool(self) -> Pool:
        """The processes that compute for new requests."""
        return self._now.pool

    @property
    def copies(self) -> Copies | None:
        """The files that the processes have loaded."""
        return self._now.copies

    @property
    def paths(self) -> dict[str, str]:
        """The file of each classifier that a new process should load."""
        own = {name: str(path) for name, path in self._settings.models.items()}
        return own if self._now.copies is None else dict(self._now.copies.paths)

    @property
    def replaced(self) -> int:
        """How many processes were ended and started again."""
        alive = sum(generation.pool.replaced for generation in self._before)
        return self._replaced + alive + self._now.pool.replaced

    async def start(self) -> None:
        """Start the processes; EarmarkError if that fails."""
        if self._has_pool:
            await self._now.pool.start()
        else:
            copies = await self._copy()
            self._now = await self._load(copies)

    async def reload(self, if_changed: bool) -> dict[str, dict[str, str]] | None:
        """Compute with the classifiers that the files have now; EarmarkError if that fails.

        Returns the digests, old and new, of each; None if ``if_changed`` and nothing has changed.
        """
        copies, before = await self._copy(), self._now.copies
        if if_changed and before is not None and copies.hashes == before.hashes:
            copies.delete()
            return None
        new = await self._load(copies)
        old, self._now = self._now, new
        self._before.add(old)
        self._end_if_unused(old)
        digests = digests_of(old.pool)
        return {
            name: {"old": digests.get(name, ""), "new": digest}
            for name, digest in digests_of(new.pool).items()
        }

    @contextlib.contextmanager
    def held(self) -> Iterator[Pool]:
        """Return the processes for one request, which do not end before it does."""
        generation = self._now
        generation.uses += 1
        try:
            yield generation.pool
        finally:
            generation.uses -= 1
            if generation is not self._now:
                self._end_if_unused(generation)

    async def close(self) -> None:
        """End all processes."""
        await asyncio.gather(*self._ending)
        await asyncio.gather(*(one.close() for one in (self._now, *self._before)))

    def _end_if_unused(self, generation: Generation) -> None:
        if generation.uses or generation not in self._before:
            return
        self._before.discard(generation)
        self._replaced += generation.pool.replaced
        task = asyncio.get_running_loop().create_task(generation.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _copy(self) -> Copies:
        """Copy the files in a thread; if that is cancelled, the copies are deleted."""
        copying = asyncio.ensure_future(asyncio.to_thread(copy_models, self._settings.models))
        try:
            return await asyncio.shield(copying)
        except asyncio.CancelledError:
            with contextlib.suppress(EarmarkError):
                (await copying).delete()
            raise

    async def _load(self, copies: Copies) -> Generation:
        generation = Generation(self._pool(copies.paths), copies)
        try:
            await generation.pool.start()
        except BaseException as error:
            await generation.close()
            if isinstance(error, EarmarkError):
                raise EarmarkError(copies.explain(str(error))) from error
            raise
        return generation

    def _pool(self, paths: Mapping[str, str]) -> Pool:
        settings = {"models": dict(paths), "allow_remote": self._settings.allow_remote}
        pool = Pool("compute", self._settings.workers, settings)
        pool.on_replaced = process_replaced(self._log)
        return pool


class Reloader:
    """Reloads when it is asked to, one time after another.

    Attributes
    ----------
    on_reload : list of callables
        What to await once there are new classifiers.
    context : ssl.SSLContext or None
        Loads the certificate again, for new connections.
    """

    def __init__(
        self,
        settings: Settings,
        computers: Computers,
        log: Log,
        set_token: Callable[[str], None],
    ) -> None:
        self._settings, self._computers, self._log = settings, computers, log
        self._set_token = set_token
        self.on_reload: list[Callable[[], Awaitable[None]]] = []
        self.context: ssl.SSLContext | None = None
        self.reloads = self.failures = 0
        self._is_started = self._is_asked = self._is_changed = self._is_closed = False
        self._task: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Reload from now on, and watch the files if the settings say so."""
        self._is_started = True
        if self._settings.watch:
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        self._begin()

    def ask(self) -> None:
        """Load everything again: classifiers, token, certificate."""
        self._is_asked = True
        self._begin()

    async def close(self) -> None:
        """Reload no more; a reload that runs is given up."""
        self._is_closed = True
        for task in (self._watching, self._task):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _begin(self) -> None:
        is_free = self._task is None or self._task.done()
        if self._is_started and is_free and not self._is_closed:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._is_asked or self._is_changed:
            is_asked, self._is_asked, self._is_changed = self._is_asked, False, False
            if is_asked:
                await self._try("token", asyncio.to_thread(self._reload_token))
                await self._try("certificate", self._reload_certificate())
            await self._try("models", self._reload_models(if_changed=not is_asked))

    async def _try(self, what: str, work: Any) -> None:
        try:
            await work
        except Exception as error:  # it must not end the watching
            self.failures += 1
            reason = error if isinstance(error, (EarmarkError, OSError)) else repr(error)
            text = f"{reason} The service goes on with what it has. Mend it, and send HUP again."
            if self._settings.watch and what == "models":
                text = f"{reason} The service goes on with what it has. Mend the file."
            self._log.event("reload_failed", "error", what=what, error=text)

    async def _reload_models(self, if_changed: bool) -> None:
        digests = await self._computers.reload(if_changed)
        if digests is not None:
            self.reloads += 1
            self._log.event("reload", models=digests)
            for call in self.on_reload:
                await call()

    def _reload_token(self) -> None:
        if self._settings.token_file is not None:
            token = token_of(None, self._settings.token_file)
            assert token is not None
            self._set_token(token)

    async def _reload_certificate(self) -> None:
        certificate, key = self._settings.certificate, self._settings.key
        if self.context is None or certificate is None:
            return
        try:
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):  # a try first
                context.load_cert_chain(certificate, key, password=lambda: b"")  # asks nobody
        except OSError as error:  # also of SSL
            reason = error.strerror or str(error)
            raise EarmarkError(f"cannot use the certificate {certificate}: {reason}.") from error

    async def _watch(self) -> None:
        """Look at the files, and reload if one has changed and is stable since the last look."""
        copies = self._computers.copies
        done: dict[str, Status | None] = {} if copies is None else {**copies.statuses}
        last = await asyncio.to_thread(statuses_of, self._settings.models)
        while True:
            await asyncio.sleep(WATCH_S)
            now = await asyncio.to_thread(statuses_of, self._settings.models)
            if now == last and now != done:
                done, self._is_changed = now, True
                self._begin()
            last = now


def statuses_of(models: Mapping[str, Path]) -> dict[str, Status | None]:
    """Return the status of each file, None for one that is not there."""
    return {name: status_of(path) for name, path in models.items()}


def process_replaced(log: Log) -> Callable[[str, str], None]:
    """Return what a pool calls with its role and why it has replaced a process."""
    return lambda role, why: log.event("process_replaced", "warning", role=role, why=why)


def digests_of(pool: Pool) -> dict[str, str]:
    """Return the digest of each classifier that the processes have loaded."""
    return {model["name"]: model.get("digest", "") for model in pool.hello["models"]}
