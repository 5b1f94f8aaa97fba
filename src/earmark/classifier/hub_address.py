"""``hf://OWNER/NAME@REVISION#FILE``: the address of a classifier on the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from earmark.errors import HubError

SCHEME = "hf://"
SUFFIX = ".earmark"
MOST_CHARACTERS = 96  # of OWNER/NAME; the Hub allows no more

_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)
_ADDRESS = re.compile(r"(?P<repo>[^@#]*)(@(?P<revision>[^@#]+))?(#(?P<file>[^#]+))?", re.S)
_REVISION = re.compile(r"[A-Za-z0-9_][\w./-]{0,199}", re.ASCII)
_FILE = re.compile(r"[^\x00-\x1f\x7f\\:*?\"<>|]{1,200}")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """A classifier on the Hub: repository, revision (None is the newest) and file (if several)."""

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repo}{revision}{f'#{self.file}' if self.file else ''}"


def is_address(path: Any) -> bool:
    """Return whether a path is meant as an address on the Hub."""
    return _text(path).startswith("hf:/")


def parse(path: Any) -> HubAddress | None:
    """Return the address that ``path`` is, or None; HubError for one that cannot be right.

    A ``Path`` has lost one slash of ``hf://``; ``hf:/`` is read alike.
    """
    if not is_address(path):
        return None
    text = _text(path).removeprefix("hf:").lstrip("/")
    match = _ADDRESS.fullmatch(text)
    repo = match["repo"] if match else text
    check_repo(repo, f"{SCHEME}{text}")
    assert match is not None  # a repository's name has neither @ nor #
    revision, file = match["revision"], match["file"]
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise HubError(
            f"{revision!r} in {SCHEME}{text} is not a revision. Give a branch, a tag or a commit,"
            f" such as {SCHEME}{repo}@main."
        )
    if file is not None and not is_plain(file):
        raise HubError(
            f"{file!r} in {SCHEME}{text} is not a file of a repository. Give a name that ends in"
            f" {SUFFIX}, such as {SCHEME}{repo}#model{SUFFIX}."
        )
    return HubAddress(repo, revision, file)


def check_repo(repo: str, given: str = "") -> None:
    """Raise HubError unless ``repo`` is OWNER/NAME; ``given`` is what the user wrote."""
    is_right = _REPO.fullmatch(repo) and not re.search(r"--|\.\.|\.git$|\.ipynb$", repo)
    if not is_right or len(repo) > MOST_CHARACTERS:
        raise HubError(
            f"{given or repo!r} does not name a repository. Give OWNER/NAME, such as"
            " alice/street-sounds; each has letters, digits, '-', '_' and '.', and together at most"
            f" {MOST_CHARACTERS}."
        )


def address_of(repo: str) -> HubAddress:
    """Return the address for ``OWNER/NAME[@REVISION][#FILE]``, with or without ``hf://``."""
    address = parse(repo if repo.startswith("hf:/") else f"{SCHEME}{repo}")
    assert address is not None
    return address


def file_of(address: HubAddress) -> Path:
    """Return the file that a classifier gets by default: NAME.earmark in the current folder."""
    return Path(f"{address.repo.rpartition('/')[2]}{SUFFIX}")


def check_licence(licence: str | None) -> None:
    """Refuse a licence that is not an identifier of the Hub."""
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,59}", licence):
        raise HubError(
            f"the licence {licence!r} is not an identifier of the Hub. Give one such as apache-2.0,"
            " cc-by-4.0 or other."
        )


def is_plain(file: str) -> bool:
    """Return whether a name that a server gave is a classifier inside the repository."""
    parts = file.split("/")
    is_inside = all(part.strip(". ") for part in parts) and not file.startswith("/")
    return bool(_FILE.fullmatch(file)) and is_inside and file.endswith(SUFFIX)


def _text(path: Any) -> str:
    return path.as_posix() if isinstance(path, PurePath) else path if isinstance(path, str) else ""
