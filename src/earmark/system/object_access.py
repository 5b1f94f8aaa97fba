"""How each kind of store of objects is asked for a status and for a part, through fsspec."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from earmark.errors import EarmarkError
from earmark.system import extras
from earmark.system.cache import is_offline
from earmark.system.files import open_file
from earmark.system.http import MOST_REDIRECTS
from earmark.system.object_pages import PAGE, Page, Pages
from earmark.system.objects import NAMED, ChangedError, ObjectError, ObjectStatus, Part, scheme_of

CONNECTIONS = 128  # at once to one store; more than there are threads that read
VERSIONS = (  # names under which stores tell a version, the best first
    *("ETag", "etag", "generation", "md5Hash", "content_md5"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created"),
)
PROTOCOLS = ("http", "s3", "gs", "abfs", "memory")  # of fsspec
PACKAGES = {"gs": "gcsfs", "abfs": "adlfs"}  # that speak a protocol and are in no extra
_ALIASES = {
    "https": "http",
    "s3a": "s3",
    "gcs": "gs",
    "az": "abfs",
    "abfss": "abfs",
}  # other schemes of a protocol

T = TypeVar("T")


class Access(Protocol):
    """Asks one store, in at most ``limit_s`` seconds. Raises ObjectError."""

    def status(self, uri: str, limit_s: float) -> ObjectStatus:
        """Return the size and version of an object."""

    def part(
        self, uri: str, first: int, last: int, known: ObjectStatus | None, limit_s: float
    ) -> Part:
        """Return some bytes of an object; ``known`` is what its status should be."""


class WritableAccess(Access, Protocol):
    """Also changes what a store has."""

    def put(self, uri: str, path: Path, limit_s: float) -> None:
        """Write the content of a file to an object, which others see when it is complete."""

    def names(self, uri: str, limit_s: float) -> list[str]:
        """Return the names of the objects directly below a URI that ends with a slash."""

    def delete(self, uri: str, limit_s: float) -> None:
        """Delete an object."""


def access_to(uri: str) -> Access:
    """Return the access to the store that has an object, or to the file at a path.

    Raises EarmarkError as :func:`writable_access_to` does.
    """
    return writable_access_to(uri) if scheme_of(uri) else _Local()


def writable_access_to(uri: str) -> WritableAccess:
    """Return the access to the store that has an object.

    Raises EarmarkError if a package is missing or ``EARMARK_OFFLINE`` forbids it.
    """
    scheme = scheme_of(uri) or ""
    protocol = _ALIASES.get(scheme, scheme)
    if protocol not in PROTOCOLS:
        raise ObjectError(f"{scheme}:// cannot be read; use {NAMED}, or a path")
    if protocol != "memory" and is_offline():
        raise EarmarkError(
            f"EARMARK_OFFLINE=1 forbids reading {scheme}://. Unset it, or copy the recordings to"
            " this machine."
        )
    options: dict[str, Any] = {}
    if protocol == "abfs":  # the account may stand in the URI
        options = _file_system(protocol)._get_kwargs_from_urls(uri)
    return _access(protocol, tuple(sorted(options.items())))


@functools.lru_cache(maxsize=64)
def _access(protocol: str, options: tuple[tuple[str, Any], ...]) -> WritableAccess:
    kind = {"s3": _S3, "http": _Web}.get(protocol, _Other)
    settings: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    settings |= dict(options)
    if protocol == "s3":  # repeating is done here
        given = _fsspec(protocol).config.conf.get("s3", {}).get("config_kwargs", {})
        retries = {"total_max_attempts": 1, "mode": "standard"}
        settings["config_kwargs"] = {
            "max_pool_connections": CONNECTIONS,
            **given,
            "retries": retries,
        }
    return kind(_file_system(protocol)(**settings))


def _file_system(protocol: str) -> Any:
    return _fsspec(protocol).get_filesystem_class(protocol)


def _fsspec(protocol: str) -> Any:
    """Return fsspec, once it can use ``protocol``."""
    purpose = f"reading {protocol}://"
    fsspec = extras.load("fsspec", "remote", purpose)
    if protocol == "http":
        extras.load("aiohttp", "remote", purpose)
    elif protocol == "s3":
        extras.load("s3fs", "remote", purpose)
    elif protocol in PACKAGES:
        extras.first_of([PACKAGES[protocol]], purpose)
    return fsspec


class _Local:
    """Files of this machine, which are read like objects elsewhere."""

    def status(self, uri: str, limit_s: float) -> ObjectStatus:
        try:
            s = os.stat(uri)
        except (OSError, ValueError) as error:
            raise _not_opened(error) from error
        return ObjectStatus(s.st_size, f"{s.st_dev} {s.st_ino} {s.st_mtime_ns} {s.st_ctime_ns}")

    def part(
        self, uri: str, first: int, last: int, known: ObjectStatus | None, limit_s: float
    ) -> Part:
        try:
            with open_file(Path(uri)) as file:
                file.seek(first)
                return Part(file.read(max(0, last - first)), self.status(uri, limit_s))
        except (OSError, ValueError) as error:
            raise _not_opened(error) from error


def _not_opened(error: Exception) -> ObjectError:
    reason = getattr(error, "strerror", None) or str(error)
    return ObjectError(f"cannot be opened: {reason}; check the path")


class _Base:
    """The access through one file system of fsspec, which works in a thread of its own."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        if hasattr(fs, "retries"):
            fs.retries = 1

    def status(self, uri: str, limit_s: float) -> ObjectStatus:
        return self._wait(self._status(uri), limit_s)

    def part(
        self, uri: str, first: int, last: int, known: ObjectStatus | None, limit_s: float
    ) -> Part:
        return self._wait(self._part(uri, first, last, known), limit_s)

    def put(self, uri: str, path: Path, limit_s: float) -> None:
        self._wait(self._ask("put_file", str(path), self.fs._strip_protocol(uri)), limit_s)

    def names(self, uri: str, limit_s: float) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            places = self._wait(self._ask("find", self.fs._strip_protocol(uri)), limit_s)
            return [place.rpartition("/")[2] for place in places]
        return []

    def delete(self, uri: str, limit_s: float) -> None:
        self._wait(self._ask("rm_file", self.fs._strip_protocol(uri)), limit_s)

    async def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the file system, which may be one that is awaited."""
        if self.fs.async_impl:
            return await getattr(self.fs, f"_{method}")(*arguments, **options)
        return getattr(self.fs, method)(*arguments, **options)

    async def _status(self, uri: str) -> ObjectStatus:
        raise NotImplementedError

    async def _part(self, uri: str, first: int, last: int, known: ObjectStatus | None) -> Part:
        raise NotImplementedError

    def _wait(self, task: Coroutine[Any, Any, T], limit_s: float) -> T:
        from fsspec.asyn import get_loop

        with _explained(limit_s):
            limited = asyncio.wait_for(task, limit_s)
            return asyncio.run_coroutine_threadsafe(limited, get_loop()).result()


class _S3(_Base):
    """S3 and what speaks its language; a request states the ETag that it expects."""

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self._pages: dict[str, Pages] = collections.defaultdict(Pages)

    def status(self, uri: str, limit_s: float) -> ObjectStatus:
        """Return the status; if many are asked for, it comes from a listing of the bucket."""
        bucket, name = self._place(uri).values()

        def page_after(start: str) -> Page:
            return self._wait(self._page(bucket, start), limit_s)

        return self._pages[bucket].status(name, page_after) or super().status(uri, limit_s)

    async def _page(self, bucket: str, start: str) -> Page:
        answer = await self.fs._call_s3(
            "list_objects_v2", Bucket=bucket, StartAfter=start, MaxKeys=PAGE
        )
        return {
            entry["Key"]: ObjectStatus(entry["Size"], _version(entry))
            for entry in answer.get("Contents", ())
        }

    async def _status(self, uri: str) -> ObjectStatus:
        answer = await self.fs._call_s3("head_object", **self._place(uri))
        return ObjectStatus(answer["ContentLength"], _version(answer))

    async def _part(self, uri: str, first: int, last: int, known: ObjectStatus | None) -> Part:
        is_tag = known is not None and known.version.startswith('"')
        match = {"IfMatch": known.version} if known is not None and is_tag else {}
        answer = await self.fs._call_s3(
            "get_object", Range=f"bytes={first}-{last - 1}", **self._place(uri), **match
        )
        total = answer.get("ContentRange", "").rpartition("/")[2]
        size = int(total) if total.isdigit() else answer["ContentLength"]
        content = bytearray()
        try:
            while len(content) < last - first:
                block = await answer["Body"].read(last - first - len(content))
                if not block:
                    break
                content += block
        finally:
            answer["Body"].close()
        return Part(bytes(content), ObjectStatus(size, _version(answer)), bool(total))

    def _place(self, uri: str) -> dict[str, str]:
        bucket, key, _ = self.fs.split_path(self.fs._strip_protocol(uri))
        return {"Bucket": bucket, "Key": key}


class _Web(_Base):
    """Web servers."""

    async def _status(self, uri: str) -> ObjectStatus:
        try:
            async with self._request("head", uri) as answer:
                if "Content-Length" in answer.headers:
                    size = int(answer.headers["Content-Length"])
                    return ObjectStatus(size, _version(answer.headers))
        except ObjectError as error:
            if error.is_passing:
                raise
        # Some servers answer HEAD with an error or without a length.
        return (await self._part(uri, 0, 1, None)).status

    async def _part(self, uri: str, first: int, last: int, known: ObjectStatus | None) -> Part:
        headers = {"Range": f"bytes={first}-{last - 1}"}
        if known is not None and known.version.startswith('"'):
            headers["If-Match"] = known.version
        async with self._request("get", uri, **headers) as answer:
            if answer.status == 416:  # only an empty file has no byte 0
                return Part(b"", ObjectStatus(0, _version(answer.headers)))
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            length = total if total.isdigit() else answer.headers.get("Content-Length", "")
            skipped = 0 if total.isdigit() else first
            content = bytearray()
            async for block in answer.content.iter_any():
                content += block
                if len(content) >= last - first + skipped:
                    break
            if not length.isdigit():
                raise ObjectError("its server does not tell the size; copy it to this machine")
            size = int(length)
            status = ObjectStatus(size, _version(answer.headers))
            return Part(bytes(content[skipped : skipped + last - first]), status, total.isdigit())

    @contextlib.asynccontextmanager
    async def _request(self, method: str, uri: str, **headers: str) -> Any:
        """Send a request, whose answer is not compressed; refuse to leave HTTPS."""
        session = await self.fs.set_session()
        more = dict(self.fs.kwargs)
        more["headers"] = {**more.get("headers", {}), "Accept-Encoding": "identity", **headers}
        url = self.fs.encode_url(uri)
        async with getattr(session, method)(
            url, max_redirects=MOST_REDIRECTS + 1, allow_redirects=True, **more
        ) as answer:
            if scheme_of(uri) == "https" and any(
                step.url.scheme != "https" for step in (*answer.history, answer)
            ):
                raise ObjectError("the server redirects to HTTP, which is not safe to follow")
            if answer.status >= 400 and answer.status != 416:
                raise _of_code(answer.status)
            yield answer


class _Other(_Base):
    """All other stores; the status is asked before and after the bytes."""

    async def _status(self, uri: str) -> ObjectStatus:
        about = await self._ask("info", self.fs._strip_protocol(uri))
        if about.get("type") == "directory":
            raise ObjectError("is a folder; name a recording")
        return ObjectStatus(int(about["size"]), _version(about))

    async def _part(self, uri: str, first: int, last: int, known: ObjectStatus | None) -> Part:
        status = await self._status(uri)
        end = min(last, status.size)
        path = self.fs._strip_protocol(uri)
        content = await self._ask("cat_file", path, start=first, end=end) if end > first else b""
        if await self._status(uri) != status:
            raise ChangedError
        return Part(content, status)


def _version(about: Any) -> str:
    return next((str(about[name]) for name in VERSIONS if about.get(name)), "")


@contextlib.contextmanager
def _explained(limit_s: float) -> Iterator[None]:
    """Turn what packages raise into an ObjectError that says what to do."""
    try:
        yield
    except (ObjectError, EarmarkError):
        raise
    except (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError) as error:
        raise ObjectError(f"no answer within {limit_s:g} s", is_passing=True) from error
    except Exception as error:  # of many packages, with many types
        raise _of_error(error) from error


def _of_error(error: Exception) -> ObjectError:
    if (code := _code(error)) is not None:
        return _of_code(code)
    if isinstance(error, FileNotFoundError):
        return _of_code(404)
    if isinstance(error, PermissionError):
        return _of_code(403)
    name = type(error).__name__
    if name == "TooManyRedirects":
        return ObjectError(f"its server redirects more than {MOST_REDIRECTS} times; check the URI")
    if "Credentials" in name or "Credential" in str(error):
        return ObjectError("there are no credentials for it; set those of its store")
    if isinstance(error, (ValueError, TypeError, KeyError)) and "Client" not in name:
        return ObjectError(f"cannot be read ({_text(error)}); check the URI")
    return ObjectError(f"the connection failed ({_text(error)})", is_passing=True)


def _code(error: BaseException | None) -> int | None:
    """Return the status that a server answered with, from the error of a package or its causes."""
    for _ in range(8):
        if error is None:
            return None
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            code = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(code, int) and code >= 400:
                return code
        is_answer = not type(error).__module__.endswith("http_exceptions")  # else a broken one
        names = (name for name in ("status", "status_code", "code") if hasattr(error, name))
        code = getattr(error, next(names, ""), None)
        if is_answer and isinstance(code, int) and 400 <= code < 600:
            return code
        error = error.__cause__ or error.__context__
    return None


def _of_code(code: int) -> ObjectError:
    if code in (404, 410):
        return ObjectError(f"does not exist there ({code}); check the URI")
    if code in (401, 403):
        return ObjectError(
            f"access is denied ({code}); check the credentials and what they may read"
        )
    if code == 412:
        return ChangedError()
    if code == 416:
        return ObjectError("the file is empty (0 bytes); copy it again or remove it", kind="empty")
    is_passing = code in (408, 429) or code >= 500
    advice = "" if is_passing else "; check the URI"
    return ObjectError(f"the server answers {code}{advice}", is_passing=is_passing)


def _text(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
