"""Take the pictures of the studio in docs/images/studio/, from the example that earmark ships.

    python docs/screens.py [--only NAME] [--to FOLDER]

It needs the packages of earmark[dev] and Chromium, and takes some minutes. It copies the example
into a folder, plants a few faults, and goes the way of a newcomer through the page: record, label,
examine, train, read the report, review, try, search, export. Every screen is seen at three widths.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from screens_sounds import fill, write_heard, write_night

import studios
from browser import FOR_PLAYWRIGHT, chromium
from fake_microphone import EXAMPLE

PICTURES = Path(__file__).parent / "images" / "studio"
LONG = "night.flac"
FIELD, NIGHTS, NIGHT_S = "field", 4, 300  # recordings beside the folder, that are searched
FOUND, DOZENS = "knock", 4  # the class that is searched, and how much of it is labelled
PATIENCE_S = 300
SETTLE_MS = 1_500  # until pictures of sounds are drawn
HEARD_S = 11  # of live sound
QUALITY = 78  # of WebP
# Screens that are seen in dark colours, too.
DARK = ("data", "doctor", "report", "review", "try-live", "editor", "round")


@dataclass(frozen=True)
class View:
    """A window of a browser: its size, the pixels of a picture for each of its own, its colours."""

    name: str
    width: int
    height: int
    scale: float = 1.0
    is_dark: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What a browser has to know."""
        options: dict[str, Any] = {"viewport": {"width": self.width, "height": self.height}}
        if self.width < 600:
            options |= {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}
        options["color_scheme"] = "dark" if self.is_dark else "light"
        return options | {"locale": "en-GB"}


VIEWS = (
    View("360", 360, 780, scale=2),
    View("1280", 1280, 800),
    View("1280-dark", 1280, 800, is_dark=True),
    View("2560", 2560, 1440, scale=0.5),
)


# The studio and its windows


@contextlib.contextmanager
def hearing(heard: Path) -> Iterator[Browser]:
    """Start a browser whose microphone plays a file."""
    with sync_playwright() as playwright:
        source = f"--use-file-for-fake-audio-capture={heard}"
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=[*FOR_PLAYWRIGHT, source]
        )
        yield browser
        browser.close()


class Windows:
    """One window for each view, all in one studio."""

    def __init__(self, browser: Browser, address: str, to: Path, only: str) -> None:
        self._to, self._only = to, only
        self.origin = address.partition("/?")[0]
        first = browser.new_context()
        page = first.new_page()
        page.goto(address)
        page.wait_for_selector("#nav a")
        entered = first.storage_state()
        first.close()
        self.pages = {
            v: self._open(browser.new_context(storage_state=entered, **v.options)) for v in VIEWS
        }

    def _open(self, context: BrowserContext) -> Page:
        context.grant_permissions(["microphone"], origin=self.origin)
        page = context.new_page()
        page.goto(f"{self.origin}/#/find")
        page.wait_for_selector("#nav a")
        return page

    @property
    def some(self) -> Page:
        return self.pages[VIEWS[1]]

    def get(self, path: str) -> Any:
        return self.some.request.get(f"{self.origin}{path}").json()

    def post(self, path: str, body: Any) -> Any:
        """Do what the page would do."""
        reply = self.some.request.post(f"{self.origin}{path}", data=body)
        assert reply.ok, reply.text()
        return reply.json()

    def job(self, kind: str, **choices: Any) -> dict[str, Any]:
        """Start a job, and wait for its end."""
        job = self.post("/api/jobs", {"kind": kind, "choices": choices})
        begun = time.monotonic()
        while job["state"] == "running":
            assert time.monotonic() < begun + PATIENCE_S, job
            time.sleep(0.2)
            job = self.get(f"/api/jobs/{job['id']}")
        assert job["state"] == "done", job
        return job

    def show(self, name: str, where: str, ready: str, *deeds: Callable[[Page], None]) -> None:
        """Open a screen in each window, do something there, and take its picture."""
        for view, page in self.each(name):
            page.evaluate("where => { location.hash = where; }", f"/{where}")
            page.locator(ready).first.wait_for()
            for deed in deeds:
                deed(page)
            self.take(name, view)

    def each(self, name: str) -> Iterator[tuple[View, Page]]:
        """Yield the windows in which a picture is taken."""
        for view, page in self.pages.items():
            if self._only in name and (name in DARK or not view.is_dark):
                yield view, page

    def take(self, name: str, view: View, settle_ms: float = SETTLE_MS) -> None:
        """Write the picture of a window."""
        page = self.pages[view]
        page.wait_for_timeout(settle_ms)
        at = page.evaluate("({ x: 0, y: scrollY })")
        clip = {**at, "width": view.width, "height": view.height, "scale": view.scale}
        how = {"format": "webp", "quality": QUALITY, "clip": clip}
        devtools = page.context.new_cdp_session(page)
        shot = devtools.send("Page.captureScreenshot", how)
        devtools.detach()
        self._to.mkdir(parents=True, exist_ok=True)
        (self._to / f"{name}-{view.name}.webp").write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Close all windows."""
        for page in self.pages.values():
            page.context.close()


# The way of a newcomer


def first_minutes(windows: Windows) -> None:
    """An empty folder, and a recording for it."""
    windows.show("first", "data", ".none .start")
    for view, page in windows.each("record"):
        page.locator(".classes .record").first.click()
        page.wait_for_selector(".recorder.on .record-what:has-text('Piece 3')")
        windows.take("record", view)
        page.keyboard.press("Escape")


def data(windows: Windows) -> None:
    """Clips with labels and without, and one of them chosen."""
    windows.show("data", "data", ".class canvas", lambda page: page.wait_for_timeout(2 * SETTLE_MS))
    windows.show(
        "chosen", "data", ".class canvas", lambda page: page.locator(".class .clip").nth(2).click()
    )


def doctor(windows: Windows) -> None:
    """What is wrong, and its remedies."""
    windows.show("doctor", "doctor", ".finding canvas", examined)
    windows.job("fix", kinds=["silent", "copies", "label conflict"])


def examined(page: Page) -> None:
    """Wait for an examination, which a new window begins by itself."""
    page.wait_for_timeout(2 * SETTLE_MS)
    page.get_by_role("button", name="Examine again").wait_for()


def train(windows: Windows) -> None:
    """The choices, and a training while it runs."""
    windows.job("train", name="quick", backbone="logmel", head="linear")
    windows.show("choices", "train/choose", ".choices")
    windows.post("/api/jobs", {"kind": "train", "choices": {"name": "words", "unknown": False}})
    for page in windows.pages.values():
        page.evaluate("location.hash = '/train'")
    for view, page in windows.each("train"):
        page.wait_for_selector(".stages .done")
        windows.take("train", view)
    windows.some.wait_for_url("**/report/words", timeout=1_000 * PATIENCE_S)
    windows.job("train", name="live", detector=True)


def learned(windows: Windows) -> None:
    """The report and the suspects of a review."""
    windows.show("report", "report/words", ".matrix")
    windows.job("review")
    windows.show("review", "review", ".question")


def use(windows: Windows) -> None:
    """A file, live sound, and what leaves the folder."""
    unheard = EXAMPLE / "unheard" / "right.ogg"
    windows.show(
        "try-file",
        "try/file",
        ".drop",
        with_classifier("words"),
        lambda page: page.set_input_files("input[type=file]", unheard),
        lambda page: page.wait_for_selector(".score"),
    )
    for view, page in windows.each("try-live"):
        page.evaluate("location.hash = '/try'")
        with_classifier("live")(page)
        listen(page)
        windows.take("try-live", view, settle_ms=0)
        page.evaluate("location.hash = '/find'")  # a page that listens takes time from others
    windows.job("export", model="words", to="onnx")
    windows.show("export", "export", ".way", with_classifier("words", "Classifier"))


def with_classifier(name: str, field: str = "with") -> Callable[[Page], None]:
    """Return what chooses a classifier on a screen."""
    return lambda page: page.get_by_label(field).first.select_option(name)


def listen(page: Page) -> None:
    """Let the page hear the microphone for a while, until it hears a class."""
    page.wait_for_selector(".live-view")
    start = page.get_by_role("button", name="Start listening")
    if start.is_visible():
        start.click()
    page.wait_for_timeout(1_000 * HEARD_S)
    page.wait_for_selector(".now .label:not(:has(.ku))", timeout=1_000 * PATIENCE_S)


def long_recording(windows: Windows) -> None:
    """The editor, with regions."""
    folder = Path(windows.get("/api/state")["folder"]["path"])
    regions = write_night(folder / LONG)
    windows.some.wait_for_timeout(3_000)
    (recording,) = windows.get("/api/recordings?long=true")["recordings"]
    for start, end, label in regions:
        windows.post(
            "/api/regions",
            {
                "recording": recording["id"],
                "start": round(start, 2),
                "end": round(end, 2),
                "label": label,
            },
        )
    windows.show("long", "data/long", ".long-row")
    windows.show("editor", f"data/long/{recording['id']}", ".stage canvas", section)


def find(windows: Windows) -> None:
    """A search by example, and a round of labels after some dozens."""
    field = Path(windows.get("/api/state")["folder"]["path"]).parent / FIELD
    regions = {
        f"night-{n}.flac": write_night(field / f"night-{n}.flac", NIGHT_S, n) for n in range(NIGHTS)
    }
    windows.job("index", name=FIELD, source=FIELD)
    (clip, *_) = windows.get(f"/api/clips?label={FOUND}")["clips"]
    windows.show("search", f"find/{FIELD}/search/{clip['id']}", ".examples li", searched)
    asked = {"archive": FIELD, "name": FOUND, "who": "Ann"}
    for _ in range(DOZENS):
        begun = windows.post("/api/find/round", asked)
        for number, window in enumerate(begun["proposals"]):
            word = "yes" if is_there(window, regions[window["path"]]) else "no"
            given = {**asked, "round": begun["round"], "number": number, "word": word}
            windows.post("/api/find/answer", given)
    windows.show("round", f"find/{FIELD}/label", ".round-start", asked_by("Ann"))


def is_there(window: dict[str, Any], regions: list[tuple[float, float, str]]) -> bool:
    """Say whether the class that is searched fills a third of a window."""
    overlaps = (
        min(end, window["end"]) - max(start, window["start"])
        for start, end, label in regions
        if label == FOUND
    )
    return any(overlap > (window["end"] - window["start"]) / 3 for overlap in overlaps)


def searched(page: Page) -> None:
    """Search, and say of some hits whether they are right."""
    page.locator(".query .primary").click()
    page.wait_for_selector(".hit canvas", timeout=1_000 * PATIENCE_S)
    for key in ("y", "y", "y", "n", "y"):
        page.keyboard.press(key)
    page.evaluate("scrollTo(0, 0)")


def asked_by(who: str) -> Callable[[Page], None]:
    """Return what begins a round, and answers three of its questions."""

    def begin(page: Page) -> None:
        page.fill("#round-class", FOUND)
        page.fill("#round-who", who)
        page.locator(".round-start .primary").click()
        page.wait_for_selector(".asked canvas", timeout=1_000 * PATIENCE_S)
        page.evaluate("scrollTo(0, 0)")

    return begin


def section(page: Page) -> None:
    """Look at a shorter section, with a region chosen."""
    page.locator(".section-bar select").select_option("20")
    page.locator(".lane .bar").nth(1).click()
    page.evaluate("scrollTo(0, 0)")


@contextlib.contextmanager
def folder_of_short_name() -> Iterator[Path]:
    """Make a folder that ends with the block; its name stands in every command that is shown."""
    place = Path(tempfile.gettempdir()) / "tour"
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", type=Path, default=PICTURES, help="folder for the pictures")
    parser.add_argument(
        "--only", default="", help="part of the names of the pictures that are taken"
    )
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(folder_of_short_name())
        empty, sounds, field = place / "kitchen", place / "sounds", place / FIELD
        for folder in (empty, sounds, field):
            folder.mkdir()
        fill(sounds)
        write_heard(place / "heard.wav")
        browser = stack.enter_context(hearing(place / "heard.wav"))
        for folder, ways in (
            (empty, (first_minutes,)),
            (sounds, (data, doctor, train, learned, use, long_recording, find)),
        ):
            own = {"EARMARK_WEIGHTS": "", "EARMARK_CACHE": str(place / "cache")}
            given = ("--recordings", field)
            with studios.command(folder, *given, EARMARK_OFFLINE="1", **own) as studio:
                windows = Windows(browser, studio.address, chosen.to, chosen.only)
                for way in ways:
                    print(way.__name__, file=sys.stderr)
                    way(windows)
                windows.close()


if __name__ == "__main__":
    main()
