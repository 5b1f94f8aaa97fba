"""Answer a request: take a place, read its body, decode it, compute the answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from starlette.types import Receive

from earmark.apps.service import frames
from earmark.apps.service.admission import Admission, BusyError, Memory, Place, Turns
from earmark.apps.service.bodies import Bodies, check_head, read_recording
from earmark.apps.service.hearers import Hearers
from earmark.apps.service.identity import CURRENT
from earmark.apps.service.logs import Log
from earmark.apps.service.metrics import Metrics
from earmark.apps.service.plain import plain_wav_s
from earmark.apps.service.pool import EndedError, LateError, Pool
from earmark.apps.service.problems import RETRY, ProblemError
from earmark.apps.service.reloading import Computers, Reloader, digests_of, process_replaced
from earmark.apps.service.settings import Settings

GRACE_S = 0.5  # that a place is kept for a body that comes slowly
PATIENCE_S = 1.0  # that such a body waits for another place once it is whole
STATUS_OF = {"length": 413, "memory": 413}  # of kinds of errors; others have 422


class Service:
    """The processes, the queue and the figures of one running service.

    ``decoders``, ``computers`` and ``hearers`` are the processes that decode, compute and listen,
    if not new ones.
    """

    def __init__(
        self,
        settings: Settings,
        decoders: Pool | None = None,
        computers: Pool | None = None,
        hearers: Hearers | None = None,
        log: Log | None = None,
    ) -> None:
        self.settings, limits = settings, settings.limits
        self.metrics, self.admission = Metrics(), Admission(limits)
        self._memory, self._bodies = Memory(limits.waiting_bytes), Bodies(limits.bodies_bytes)
        decoding = {
            "seconds": limits.seconds,
            "decoded_bytes": limits.decoded_bytes,
            "body_bytes": limits.body_bytes,
            "decode_s": limits.decode_s,
        }
        self.log = log or Log()
        n_decoders = settings.decoders or max(2, settings.workers)
        self._decoders = decoders or Pool("decode", n_decoders, decoding)
        self._decoding = Turns(n_decoders)
        self._decoders.on_replaced = process_replaced(self.log)
        self.computers = Computers(settings, self.log, computers)
        self.hearers = hearers or Hearers(settings)
        self.hearers.on_replaced = process_replaced(self.log)
        self.token: bytes | None = None
        if settings.token is not None:
            self.set_token(settings.token)
        self.reloader = Reloader(settings, self.computers, self.log, self.set_token)
        self.reloader.on_reload.append(self._renew_hearers)

    def set_token(self, token: str) -> None:
        """Set what requests must send."""
        self.token = token.encode()

    async def _renew_hearers(self) -> None:
        self.hearers.paths = self.computers.paths
        await self.hearers.renew()

    @property
    def is_ready(self) -> bool:
        """Whether a recording could be decoded and computed now."""
        return self._decoders.is_ready and self.computers.pool.is_ready

    @property
    def models(self) -> list[dict[str, Any]]:
        """What ``/v1/models`` says of each classifier."""
        return _models(self.computers.pool)

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each classifier."""
        return digests_of(self.computers.pool)

    async def start(self) -> None:
        """Start the processes; EarmarkError if that fails."""
        try:
            await asyncio.gather(self._decoders.start(), self.computers.start())
        except BaseException:
            await self.close()
            raise
        self.hearers.paths = self.computers.paths
        self.reloader.start()

    async def close(self) -> None:
        """End the processes."""
        await self.reloader.close()
        await asyncio.gather(self._decoders.close(), self.computers.close(), self.hearers.close())

    async def answer(
        self,
        receive: Receive,
        headers: Mapping[str, str],
        path: str,
        model: str | None,
        options: Mapping[str, Any],
    ) -> bytes:
        """Return the JSON that answers a request to ``path``.

        Raises a problem, or DisconnectError if the client has gone.
        """
        began = asyncio.get_running_loop().time()
        with self.computers.held() as computers:
            name = _model(_models(computers), path, model)
            if (request := CURRENT.get()) is not None:
                request.model = name
            check_head(headers, self.settings.limits)
            with self._place() as place, self._bodies.one() as count:
                values = {"model": name, **options}
                receiving = self._receive(receive, headers, place, count)
                answer, seconds = await self._answer(computers, place, await receiving, values)
        self.metrics.computed(seconds, asyncio.get_running_loop().time() - began)
        return answer

    async def _receive(
        self,
        receive: Receive,
        headers: Mapping[str, str],
        place: Place,
        count: Callable[[int], None],
    ) -> bytes:
        """Return the recording of a request; its place waits for ``GRACE_S``."""
        timer = asyncio.get_running_loop().call_later(GRACE_S, place.leave)
        try:
            recording = await read_recording(receive, headers, self.settings.limits, count)
        finally:
            timer.cancel()
        with _as_problem():
            await place.take_again(PATIENCE_S)
        return recording

    def _place(self) -> Place:
        with _as_problem():
            return self.admission.enter()

    def check_place(self) -> None:
        """Raise a problem if there is no place for another request."""
        with _as_problem():
            self.admission.check()

    async def _answer(
        self, computers: Pool, place: Place, recording: bytes, options: dict[str, Any]
    ) -> tuple[bytes, float]:
        """Decode and compute a recording; return the answer and its seconds."""
        deadline = asyncio.get_running_loop().time() + self.settings.limits.deadline_s
        seconds = plain_wav_s(recording, self.settings.limits)
        is_decoded = seconds is None
        if seconds is None:
            decoded, recording = await self._decode(recording, deadline)
            seconds = float(decoded["seconds"])
        place.count(seconds)
        if (request := CURRENT.get()) is not None:
            request.audio_s = seconds
        self.admission.observe_length(seconds)
        message = frames.pack({**options, "is_decoded": is_decoded}, recording)
        del recording
        with self._memory.hold(len(message)):
            return await self._compute(computers, message, seconds, deadline), seconds

    async def _compute(
        self, computers: Pool, message: bytes, seconds: float, deadline: float
    ) -> bytes:
        loop, begins = asyncio.get_running_loop(), list[float]()
        try:
            value, answer = await computers.ask(
                message, deadline, lambda: begins.append(loop.time())
            )
        except LateError:
            raise _late(self.settings.limits.deadline_s) from None
        except EndedError:
            raise _failed("compute") from None
        _check(value)
        self.admission.observe_speed(seconds, loop.time() - begins[0], computers.size)
        return answer

    async def _decode(self, recording: bytes, deadline: float) -> tuple[dict[str, Any], bytes]:
        limits = self.settings.limits
        try:
            async with self._decoding.turn(deadline):  # no more are decoded than there is memory
                await self._memory.wait(deadline)
                value, packed = await self._decoders.ask_within(
                    frames.pack({}, recording), limits.decode_s, deadline
                )
        except asyncio.TimeoutError:
            raise _late(limits.deadline_s) from None
        except LateError:
            raise _late(min(limits.decode_s, limits.deadline_s), "decoded") from None
        except EndedError:
            raise ProblemError(
                422,
                "The recording cannot be decoded: its decoder failed, or took more memory than is"
                " allowed. Convert it to WAV or FLAC.",
            ) from None
        _check(value)
        return value, packed

    def metrics_text(self) -> str:
        """Return the figures for Prometheus."""
        admission = self.admission
        return self.metrics.text(
            {
                "queue_seconds": ("gauge", "Audio that waits or is computed.", admission.seconds),
                "requests": ("gauge", "Requests that were admitted.", admission.requests),
                "waiting": ("gauge", "Requests that wait for a place.", len(admission.room)),
                "decoders_replaced_total": (
                    "counter", "Decoders that were ended or failed.", self._decoders.replaced
                ),
                "computers_replaced_total": (
                    "counter", "Computing processes that were ended or failed.",
                    self.computers.replaced,
                ),
                "reloads_total": (
                    "counter", "Times that the classifiers were loaded again.",
                    self.reloader.reloads,
                ),
                "reload_failures_total": (
                    "counter", "Reloads of classifiers, token or certificate that failed.",
                    self.reloader.failures,
                ),
                "streams": ("gauge", "Streams of live sound that are open.", self.hearers.streams),
                "heard_seconds_total": (
                    "counter", "Live sound that was scored, in seconds.", self.hearers.heard_s
                ),
                "hearers_replaced_total": (
                    "counter", "Processes for live sound that failed.", self.hearers.replaced
                ),
            }
        )  # fmt: skip

    def models_json(self) -> bytes:
        """Return the JSON of ``/v1/models``."""
        return json.dumps({"models": self.models}, ensure_ascii=False).encode()


def _models(computers: Pool) -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = computers.hello["models"]
    return models


def _model(models: list[dict[str, Any]], path: str, name: str | None) -> str:
    """Return a model that answers ``path``: the one of that name, or the first."""
    paths = {model["name"]: model["path"] for model in models}
    names = [model for model, own in paths.items() if own == path]
    if name is None and not names:
        raise ProblemError(422, f"No model here answers {path}. /v1/models lists all.")
    if name is None or name in names:
        return name or names[0]
    if name in paths:
        raise ProblemError(422, f"The model {name!r} does not answer {path}. Ask {paths[name]}.")
    known = ", ".join(paths)
    raise ProblemError(422, f"There is no model {name[:80]!r}. Give one of: {known}.")


@contextlib.contextmanager
def _as_problem() -> Iterator[None]:
    try:
        yield
    except BusyError as busy:
        text = f"The queue is full. Try again in {busy.retry_s} s."
        raise ProblemError(503, text, {"retry-after": str(busy.retry_s)}) from None


def _check(value: dict[str, Any]) -> None:
    """Raise the problem that a process reports."""
    if "error" in value:
        text = str(value["error"])
        status = STATUS_OF.get(value.get("kind", ""), 422)
        raise ProblemError(status, f"{text[:1].upper()}{text[1:]}")


def _late(seconds: float, what: str = "answered") -> ProblemError:
    return ProblemError(
        504, f"The recording was not {what} within {seconds:g} s. Send a shorter one."
    )


def _failed(what: str) -> ProblemError:
    return ProblemError(
        503,
        f"The process that should {what} has ended, and another starts. Try again.",
        RETRY,
    )
