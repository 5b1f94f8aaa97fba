"""Settings of the service: what it serves, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from earmark.errors import EarmarkError
from earmark.system.files import not_a_file

PREDICT, DETECT = "/v1/predict", "/v1/detect"  # paths that answer for classifiers, detectors
LISTEN = "/v1/listen"
TOKEN_VARIABLE = "EARMARK_TOKEN"
TOKEN_CHARACTERS = 16  # the fewest of a token
TOKEN_BYTES = 4096  # the most that are read of its file


@dataclass(frozen=True)
class Limits:
    """How much the service takes on.

    Attributes
    ----------
    seconds : float
        The longest recording.
    body_bytes : int
        The largest body of a request.
    bodies_bytes : int
        Memory of all bodies until their requests are answered.
    decoded_bytes : int
        The most memory of a recording's samples.
    waiting_bytes : int
        Memory of decoded recordings that wait or are computed, above which no more are decoded.
    queue_s : float
        Seconds of audio that may wait or be computed at once.
    requests : int
        Requests that may be read, decoded or computed at once.
    connections : int
        Open connections.
    streams : int
        Streams of live sound that may be open.
    header_s, body_s : float
        Seconds that a client may take to send the header and the body of a request; ``body_s`` is
        also the longest pause of a stream.
    decode_s : float
        Seconds after which the process that decodes a recording is ended.
    deadline_s : float
        Seconds from the end of a body to its answer.
    drain_s : float
        Seconds that requests may take after the service was asked to stop.
    """

    seconds: float = 120.0
    body_bytes: int = 32 * 2**20
    bodies_bytes: int = 256 * 2**20
    decoded_bytes: int = 128 * 2**20
    waiting_bytes: int = 512 * 2**20
    queue_s: float = 600.0
    requests: int = 64
    connections: int = 1_000
    streams: int = 8
    header_s: float = 10.0
    body_s: float = 30.0
    decode_s: float = 10.0
    deadline_s: float = 30.0
    drain_s: float = 60.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise EarmarkError(f"the limit {name} is {value:g}. Give a number above 0.")
        if self.queue_s < self.seconds:
            raise EarmarkError(
                f"the queue takes {self.queue_s:g} s of audio, but one recording may have"
                f" {self.seconds:g} s. Give --queue at least as many seconds as --max-seconds."
            )


@dataclass(frozen=True)
class Settings:
    """What one service does.

    Attributes
    ----------
    models : dict
        Files of classifiers by their names in requests.
    token_file : Path or None
        The file that the token came from; it is read again on a reload.
    watch : bool
        Whether a classifier is loaded again if its file changes.
    log : str
        The form of the log: ``json``, ``text`` or ``none``.
    """

    models: dict[str, Path]
    allow_remote: bool = False
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    workers: int = 1
    decoders: int | None = None  # two, or as many as compute
    certificate: Path | None = None
    key: Path | None = None
    watch: bool = False
    log: str = "none"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and self.token is None:
            raise EarmarkError(
                f"--host {self.host} can be reached from other machines, and there is no token."
                f" Give --token-file FILE or set {TOKEN_VARIABLE}, or leave out --host."
            )
        if self.key is not None and self.certificate is None:
            raise EarmarkError("--tls-key needs --tls-cert. Give both.")
        for origin in self.origins:
            if "://" not in origin or origin.endswith("/"):
                raise EarmarkError(
                    f"--allow-origin is {origin!r}. Give a scheme and a host, such as"
                    " https://example.org."
                )


def check_names(names: list[str]) -> None:
    """Raise EarmarkError if two classifiers have the same name in requests."""
    for name in names:
        if names.count(name) > 1:
            raise EarmarkError(
                f"{names.count(name)} classifiers are named {name!r} in requests. Rename a file."
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def token_of(given: str | None, path: Path | None) -> str | None:
    """Return the token: as given, in a file, or in the environment; None if there is none."""
    if given is not None and path is not None:
        raise EarmarkError("--token and --token-file exclude each other. Give only one.")
    where, token = "--token", given
    if path is not None:
        where, token = str(path), _token_in(path)
    elif given is None:
        where, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    if len(token) < TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise EarmarkError(
            f"the token of {where} must have at least {TOKEN_CHARACTERS} characters of ASCII, and"
            f" it has {len(token)}. Make one with: openssl rand -hex 32."
        )
    if " " in token:
        raise EarmarkError(
            f"the token of {where} has a blank. Make one with: openssl rand -hex 32."
        )
    return token


def _token_in(path: Path) -> str:
    """Return the text of a file that only its owner may read."""
    if problem := not_a_file(path):
        raise EarmarkError(f"{path} {problem}. Give a file that holds the token.")
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(TOKEN_BYTES)
    except OSError as error:
        raise EarmarkError(
            f"cannot read the token of {path}: {error.strerror}. Check the path."
        ) from error
    if os.name == "posix" and mode & stat.S_IROTH:
        raise EarmarkError(f"every user can read the token of {path}. Run: chmod 600 {path}.")
    return content.decode("utf-8", "replace").strip()
