"""``earmark studio``: a folder of recordings in the browser."""

from __future__ import annotations

import html
import os
import webbrowser
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from typer import Argument, Option

from earmark.apps.cli import signals
from earmark.apps.cli.text import say, show
from earmark.errors import EarmarkError, amount
from earmark.system import extras

if TYPE_CHECKING:
    from earmark.apps.studio.entry import Entry
    from earmark.apps.studio.settings import StudioSettings

OPENER = "open.html"  # in the private folder of the studio


def studio(
    *,
    folder: Path = Argument(
        metavar="FOLDER", help="Folder of recordings; it is made if it does not exist."
    ),
    host: str = Option(
        "127.0.0.1", help="Address to listen on; one that others reach needs --tls-cert."
    ),
    port: int = Option(0, min=0, max=65535, help="Port to listen on; 0 takes a free one."),
    allow_host: list[str] = Option(
        [], help="Name of this host in requests, besides its addresses; may be repeated."
    ),
    tls_cert: Path | None = Option(None, help="Certificate for HTTPS (PEM)."),
    tls_key: Path | None = Option(None, help="Key of the certificate (PEM)."),
    token_file: Path | None = Option(
        None,
        help="File that holds a token which works any number of times; without it, each address"
        " lets in one browser.",
    ),
    recordings: list[Path] = Option(
        [], help="Another folder whose recordings Find may search and play; may be repeated."
    ),
    browser: bool = Option(True, "--browser/--no-browser", help="Open the page in the browser."),
) -> None:
    """Record, label, train, try and export in a page on this machine.

    It prints the address of the page on standard output, and runs until a signal stops it (Ctrl-C).
    Trainings go on then. Run it again with the same folder for another address while it runs, such
    as for another browser.
    """
    settings = _settings(host, port, allow_host, tls_cert, tls_key, token_file, recordings)
    extras.load("fastapi", "studio", "earmark studio")
    extras.load("httptools", "studio", "earmark studio")
    extras.load("python_multipart", "studio", "earmark studio")
    extras.load("uvicorn", "studio", "earmark studio")
    extras.load("websockets", "studio", "earmark studio")
    from earmark.apps.studio import running

    path = _made(folder)
    with running.claimed(path) as is_ours:
        if is_ours:
            _run(path, settings, browser)
            return
    if recordings:
        raise EarmarkError(
            f"{folder} is open in a studio already, which keeps the folders that it was given. Stop"
            " it with Ctrl-C, and start it with --recordings."
        )
    address = running.invitation(path)
    say(f"{folder} is open in a studio already. This address lets one browser in:")
    show(address)
    if browser:
        _open(path, running.invitation(path))


def _settings(
    host: str,
    port: int,
    hosts: list[str],
    certificate: Path | None,
    key: Path | None,
    token_file: Path | None,
    recordings: list[Path],
) -> StudioSettings:
    from earmark.apps.service.settings import token_of
    from earmark.apps.studio.settings import StudioSettings

    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise EarmarkError(f"{path} does not exist. Give a file in PEM format.")
    for path in recordings:
        if not path.is_dir():
            raise EarmarkError(f"--recordings {path} is no folder. Give a folder of recordings.")
    return StudioSettings(
        host=host,
        port=port,
        token=None if token_file is None else token_of(None, token_file),
        hosts=tuple(hosts),
        certificate=certificate,
        key=key,
        recordings=tuple(path.absolute() for path in recordings),
    )


def _made(folder: Path) -> Path:
    """Return the folder with all its names; make it if only itself is missing."""
    path = folder.absolute()
    if path.exists() and not path.is_dir():
        raise EarmarkError(f"{folder} is a file. Give a folder of recordings.")
    if not path.exists():
        try:
            path.mkdir()
        except OSError as error:
            raise EarmarkError(
                f"cannot make the folder {folder}: {error.strerror}. Give another."
            ) from error
        say(f"{folder} did not exist, and is an empty folder now")
    return path


def _run(path: Path, settings: StudioSettings, browser: bool) -> None:
    from earmark.apps.studio.server import run

    def announce(address: str, entry: Entry) -> None:
        if settings.token is None:
            say(f"{path.name} is open. This address lets one browser in; Ctrl-C ends the studio.")
            show(f"{address}/?token={entry.invite()}")
        else:
            say(f"{path.name} is open. Add the token to this address; Ctrl-C ends the studio.")
            show(f"{address}/?token=")
        if browser:
            _open(path, f"{address}/?token={entry.invite()}")

    signals.unheed()
    going_on = run(path, settings, announce)
    if going_on:
        verb, them = ("goes", "it") if going_on == 1 else ("go", "them")
        say(f"{amount(going_on, 'job')} {verb} on. Start the studio again to see {them}.")


def _open(path: Path, address: str) -> None:
    """Open the page in the browser by a file: others could read an address in the process list."""
    from earmark.apps.studio.places import PRIVATE

    page = path / PRIVATE / OPENER
    quoted = html.escape(address, quote=True)
    text = f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={quoted}">'
    try:
        page.unlink(missing_ok=True)
        with open(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        browser = webbrowser.get()
        if type(browser) is webbrowser.GenericBrowser:  # one in this terminal
            raise webbrowser.Error("there is no window for it")
        Thread(target=browser.open, args=(page.as_uri(),), daemon=True).start()
    except (OSError, webbrowser.Error) as error:
        why = getattr(error, "strerror", None) or error
        say(f"the browser cannot be opened: {why}. Open the address yourself.")
