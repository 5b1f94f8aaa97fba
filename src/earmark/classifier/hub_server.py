"""The server of the Hugging Face Hub, through the package ``huggingface_hub``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from earmark.classifier.hub_address import HubAddress
from earmark.errors import HubError, first_line
from earmark.system import extras
from earmark.system.cache import is_offline
from earmark.system.http import printable
from earmark.version import __version__

ANSWER_S = 4.0  # how long the first answer of the Hub may take
UPLOAD_S = 60.0  # how long the Hub may be silent during an upload


def is_hub_offline() -> str | None:
    """Return the setting that forbids to ask the Hub, or None."""
    if is_offline():
        return "EARMARK_OFFLINE=1"
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    is_forbidden = importlib.import_module("huggingface_hub.constants").HF_HUB_OFFLINE
    return "HF_HUB_OFFLINE=1" if is_forbidden else None


class Server:
    """The Hub at ``HF_ENDPOINT``, asked with ``HF_TOKEN`` or the token of ``hf auth login``."""

    @property
    def hub(self) -> Any:
        return extras.load("huggingface_hub", "hub", "the Hugging Face Hub", HubError)

    @property
    def errors(self) -> Any:
        return importlib.import_module("huggingface_hub.errors")

    @property
    def endpoint(self) -> str:
        given = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/")
        return given or "https://huggingface.co"

    @property
    def host(self) -> str:
        try:
            return printable(urlsplit(self.endpoint).netloc.rpartition("@")[2]) or "the Hub"
        except ValueError:
            return "the Hub"

    @property
    def key(self) -> str:
        """The name of the server's folder in the cache."""
        return hashlib.sha256(self.endpoint.encode()).hexdigest()[:16]

    def api(self) -> Any:
        """Return the client of the Hub."""
        own = {"library_name": "earmark", "library_version": __version__}
        return self.hub.HfApi(endpoint=self.endpoint, **own)

    def info(self, address: HubAddress, revision: str | None = None) -> Any:
        """Return commit and files of a repository; errors are those of the package."""
        settings = {"revision": revision, "files_metadata": True, "timeout": ANSWER_S}
        return _in_time(lambda: self.api().model_info(address.repo, **settings))

    def url(self, repo: str, commit: str, name: str) -> str:
        """Return the address of a file."""
        return f"{self.endpoint}/{repo}/resolve/{commit}/{quote(name)}"

    def headers(self) -> dict[str, str]:
        """Return the header with the token, if there is one."""
        with _no_telemetry():
            every = self.hub.utils.build_hf_headers(library_name="earmark")
        return {k: v for k, v in every.items() if k.lower() == "authorization"}

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """In the block, stop waiting for a silent server after UPLOAD_S, and show no bars."""
        utils = self.hub.utils
        session = self.hub.utils.get_session()
        before, had_bars = session.timeout, not utils.are_progress_bars_disabled()
        session.timeout = UPLOAD_S
        utils.disable_progress_bars()
        try:
            yield
        finally:
            session.timeout = before
            if had_bars:
                utils.enable_progress_bars()


def _in_time(ask: Callable[[], Any]) -> Any:
    """Return what ``ask`` returns; TimeoutError after ANSWER_S.

    The package's own timeout begins anew with each byte, and does not cover the name server.
    """
    answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=ANSWER_S)
    except queue.Empty:
        raise TimeoutError(f"no answer within {ANSWER_S:g} s") from None
    if error is not None:
        raise error
    return answer


@contextlib.contextmanager
def refusals(address: HubAddress, server: Server, done: str = "read") -> Iterator[None]:
    """Turn what ``huggingface_hub`` raises into a HubError that says what to do.

    ``done`` says what was to be done with the address: it was to be 'read' or 'published'.
    """
    _ = server.hub  # a missing package is said once, here
    errors, host = server.errors, server.host
    try:
        with _no_telemetry():
            yield
    except HubError:
        raise
    except errors.GatedRepoError as error:
        raise HubError(
            f"{address} is gated: its owner must first let you in. Ask for access on {host}, and"
            " set HF_TOKEN."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{host} has no {address}, or it is private and no token that may read it was sent."
            " Check the name, or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f"{address.repo} has no revision {address.revision!r}. Give a branch, a tag or a"
            " commit that it has, or leave it out."
        ) from error
    except errors.HfHubHTTPError as error:
        raise HubError(_answer(error, address, host, done)) from error
    except errors.HFValidationError as error:
        raise HubError(f"{address} does not name a repository: {first_line(error)}.") from error
    except Exception as error:  # of the network, of the server's JSON, of the upload
        reason = printable(first_line(error)) or type(error).__name__
        raise HubError(
            f"{address} could not be {done}, because {host} cannot be reached or answers wrongly:"
            f" {reason}. Check the network and HF_ENDPOINT, and run the command again."
        ) from error


@contextlib.contextmanager
def _no_telemetry() -> Iterator[None]:
    """Keep the package from asking the Hub for a list of programs that may be calling it."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before


def _answer(error: Any, address: HubAddress, host: str, done: str) -> str:
    """Say what an HTTP error of the server means."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    said = f"{address} could not be {done}: {host} answers HTTP {code}"
    if code in (401, 403):
        access = "write to" if done == "published" else "read"
        return f"{said}. Set HF_TOKEN to a token that may {access} the repository."
    if code == 404:
        return f"{said}. Check the name and the revision."
    own = printable(str(getattr(error, "server_message", "") or ""))
    return f"{said}{f' ({own})' if own else ''}. Run the command again later."
