"""``earmark serve``: classifiers behind HTTP."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typer import Argument, Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import local_model
from earmark.apps.cli.options import ALLOW_REMOTE
from earmark.apps.cli.text import say
from earmark.errors import EarmarkError
from earmark.system import extras

if TYPE_CHECKING:
    from earmark.apps.service.settings import Limits, Settings


LogForm = Literal["json", "text", "none"]


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Where the service listens, and who may ask."""

    host: str = Option("127.0.0.1", help="Address to listen on; another one needs a token.")
    port: int = Option(8000, min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    token: str | None = Option(
        None,
        help="Token that requests must send (Bearer). Other users of this machine can see it; use"
        " --token-file or EARMARK_TOKEN.",
    )
    token_file: Path | None = Option(None, help="File that holds the token.")
    allow_host: list[str] = Option(
        [], help="Name of this host in requests, besides its addresses; may be repeated."
    )
    allow_origin: list[str] = Option(
        [], help="Origin of web pages that may ask, such as https://example.org; may be repeated."
    )
    tls_cert: Path | None = Option(None, help="Certificate for HTTPS (PEM).")
    tls_key: Path | None = Option(None, help="Key of the certificate (PEM).")

    def settings(self) -> dict[str, Any]:
        """Return the options as :class:`Settings` names them."""
        from earmark.apps.service.settings import token_of

        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise EarmarkError(f"{path} does not exist. Give a file in PEM format.")
        return {
            "host": self.host,
            "port": self.port,
            "token": token_of(self.token, self.token_file),
            "token_file": self.token_file,
            "hosts": tuple(self.allow_host),
            "origins": tuple(self.allow_origin),
            "certificate": self.tls_cert,
            "key": self.tls_key,
        }


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """How much the service takes on."""

    max_seconds: float = Option(120.0, help="Longest recording in seconds.")
    max_bytes: int = Option(32 * 2**20, help="Largest body of a request in bytes.")
    queue: float = Option(600.0, help="Seconds of audio that may wait; more gets status 503.")
    deadline: float = Option(30.0, help="Seconds for an answer; later ones get status 504.")
    connections: int = Option(1_000, min=1, help="Most open connections.")
    streams: int = Option(8, min=1, help="Most open streams of live sound.")
    header_timeout: float = Option(10.0, help="Seconds for the header of a request.")
    body_timeout: float = Option(
        30.0, help="Seconds for the body of a request, and for a pause of live sound."
    )

    def limits(self) -> Limits:
        """Return the options as limits."""
        from earmark.apps.service.settings import Limits

        return Limits(
            seconds=self.max_seconds,
            body_bytes=self.max_bytes,
            queue_s=self.queue,
            deadline_s=self.deadline,
            connections=self.connections,
            streams=self.streams,
            header_s=self.header_timeout,
            body_s=self.body_timeout,
        )


def serve(
    *,
    models: list[Path] = Argument(
        metavar="MODEL...",
        help="Classifiers and detectors: files, which requests name by their stems, or"
        " hf://OWNER/NAME[@REVISION].",
    ),
    allow_remote: bool = ALLOW_REMOTE,
    access: AccessOptions,
    limits: LimitOptions,
    workers: int | None = Option(
        None, min=1, max=64, help="Processes that compute; one for each core by default."
    ),
    decoders: int | None = Option(
        None, min=1, max=64, help="Processes that decode; two, or as many as compute, by default."
    ),
    watch: bool = Option(False, "--watch", help="Load a classifier again when its file changes."),
    log: LogForm | None = Option(
        None,
        help="Form of the log on standard error: lines of JSON, text or none. Text by default on"
        " a terminal, else JSON, which programs read.",
    ),
) -> None:
    """Answer requests over HTTP with the predictions of classifiers and the events of detectors.

    It runs until a signal stops it (Ctrl-C, TERM). What was accepted by then is answered first. HUP
    loads the classifiers, the token file and the certificate again, without a lost request.
    """
    from earmark.apps.service.settings import Settings, check_names
    from earmark.system.threads import available_cores

    names = [_name(model) for model in models]
    check_names(names)
    settings = Settings(
        models=dict(zip(names, map(local_model, models), strict=True)),
        allow_remote=allow_remote,
        limits=limits.limits(),
        workers=workers or available_cores(),
        decoders=decoders,
        watch=watch,
        log=log or ("text" if _is_terminal() else "json"),
        **access.settings(),
    )
    extras.load("fastapi", "serve", "earmark serve")
    extras.load("httptools", "serve", "earmark serve")
    extras.load("python_multipart", "serve", "earmark serve")
    extras.load("uvicorn", "serve", "earmark serve")
    extras.load("websockets", "serve", "earmark serve")
    from earmark.apps.service.server import run

    signals.unheed()
    run(settings, lambda address: _announce(settings, address))


def _announce(settings: Settings, address: str) -> None:
    if settings.log != "json":  # which has a line of its own for it
        say(f"serving {', '.join(settings.models)} on {address}")


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _name(model: Path) -> str:
    """Return the name of a classifier in requests: the stem of its file, or NAME on the Hub."""
    from earmark.classifier.hub_address import parse

    address = parse(model)
    return model.stem if address is None else address.repo.rpartition("/")[2]
