"""Measure `earmark studio` in Chromium: start, weight, many recordings, live sound, silence.

    python benchmarks/studio.py [start] [weight] [many] [live] [silence]

Without names all parts run. 'start' opens the shipped example, 'many' a folder of 10,000
recordings of noise; both begin before the command does and end when the first clip is drawn.
'weight' visits every screen. 'live' and 'silence' listen for 60 s with a classifier of three sounds
of the example, through Chromium's fake microphone. A delay is the time from the moment at which
the last sample of a window was captured to the frame that shows its label.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from machine import describe, earmark, run, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
import fake_microphone
import studios
from browser import FOR_PLAYWRIGHT, chromium

STARTS = 7
RECORDINGS, CLASSES = 10_000, 10
LISTEN_S = 60
LABELS = ("bell", "rain", "knock")  # of the classifier that listens
ROOM_DB = (-70, -55)  # of full scale: the loudness of rooms in which nothing happens
# Notes what is said and how late it is.
WATCH = """() => {
  window.said = []; window.delays = [];
  document.addEventListener('earmark-live', ({ detail: d }) => {
    window.delays.push([d.paintedAt - d.neededAt, d.answeredAt - d.neededAt]);
  });
  const now = () => document.querySelector('.now');
  const look = () => {
    if (now().textContent !== window.said.at(-1)) window.said.push(now().textContent);
  };
  new MutationObserver(look).observe(now(), { childList: true, subtree: true });
  look();
}"""


@contextlib.contextmanager
def browsing(microphone: Path | None = None) -> Iterator[Any]:
    """Start Chromium; yield a context for one studio."""
    from playwright.sync_api import sync_playwright

    source = [f"--use-file-for-fake-audio-capture={microphone}"] if microphone else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=[*FOR_PLAYWRIGHT, *source]
        )
        yield browser.new_context(viewport={"width": 1280, "height": 900})
        browser.close()


def opened(page: Any, address: str, screen: str = "data") -> None:
    """Open a studio by its address, and go to a screen."""
    page.goto(address)
    page.wait_for_selector("#nav a")
    if screen != "data":
        page.locator(f"#nav a[href='#/{screen}']").click()


def example(folder: Path) -> Path:
    """Return a copy of the shipped example."""
    return Path(shutil.copytree(fake_microphone.EXAMPLE, folder / "example"))


def start(folder: Path) -> list[dict[str, object]]:
    """Return how long it takes from the command to the first screen."""
    times = []
    sounds = example(folder)
    for _ in range(STARTS):
        with browsing() as context:
            begin = time.perf_counter()
            with studios.command(sounds) as studio:
                page = context.new_page()
                opened(page, studio.address)
                page.wait_for_selector(".clip")
                times.append(time.perf_counter() - begin)
    return [row("from the command to the first clip", statistics.median(times), "s", 2)]


def weight(folder: Path) -> list[dict[str, object]]:
    """Return what the page loads, as it is and as it is sent."""
    sizes: dict[str, tuple[int, int]] = {}

    def finished(request: Any) -> None:
        path = request.url
        if path.startswith("http") and "/api/" not in path and "token=" not in path:
            response = request.response()
            sizes[path] = (len(response.body()), request.sizes()["responseBodySize"])

    rows = []
    with browsing() as context, studios.command(trained(folder)) as studio:
        page = context.new_page()
        page.on("requestfinished", finished)
        opened(page, studio.address)
        page.wait_for_selector(".clip")
        for what in ("first screen", "all screens"):
            for at, how in enumerate(("unpacked", "as sent")):
                total = sum(pair[at] for pair in sizes.values()) / 1_000
                rows.append(row(f"weight of the page, {what}, {how}", total, "KB", 500))
            if what == "first screen":
                visit(page)
    return rows


def visit(page: Any) -> None:
    """Visit all screens, and the editor of a long recording."""
    for name in studios.SCREENS:
        page.locator(f"#nav a[href='#/{name}']").click()
        page.wait_for_selector("main h1")
        page.wait_for_timeout(500)
    (clip,) = page.evaluate("() => fetch('/api/clips?count=1').then((r) => r.json())")["clips"]
    page.evaluate("(id) => { location.hash = `/data/long/${id}`; }", clip["recording"])
    page.wait_for_timeout(3_000)


def many(folder: Path) -> list[dict[str, object]]:
    """Return start, labelling and memory with many recordings."""
    rng = np.random.default_rng(0)
    for number in range(RECORDINGS):
        path = folder / "many" / f"class {number % CLASSES}" / f"{number:05d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 4_000).clip(-1, 1), 16_000)
    rows = []
    with browsing() as context:
        begin = time.perf_counter()
        with studios.command(folder / "many") as studio:
            page = context.new_page()
            asked = time.perf_counter()
            opened(page, studio.address)
            page.wait_for_selector(".clip")
            for what, since in (("command", begin), ("page", asked)):
                seconds = time.perf_counter() - since
                text = f"{RECORDINGS} recordings: from the {what} to the first clip"
                rows.append(row(text, seconds, "s", 2))
            begin = time.perf_counter()
            page.locator(".clip").first.click()
            page.keyboard.press("2")
            page.wait_for_selector("section[data-class='class 1'] .count:text('1,001')")
            seconds = time.perf_counter() - begin
            rows.append(row(f"{RECORDINGS} recordings: first label", seconds, "s", ""))
            page.locator("section[data-class='class 3'] .clip").first.focus()
            for _ in range(60):
                page.keyboard.press("PageDown")
                page.wait_for_timeout(50)
            rows += memory(page)
    return rows


def memory(page: Any) -> list[dict[str, object]]:
    """Return the heap of the page, and the memory of its process, with and without Chromium's."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    resident, own = renderer_mb()
    return [
        row(f"{RECORDINGS} recordings: heap", metrics["JSHeapUsedSize"] / 1e6, "MB", ""),
        row(f"{RECORDINGS} recordings: process of the page (PSS)", own, "MB", 300),
        row(f"{RECORDINGS} recordings: with all of Chromium's code (RSS)", resident, "MB", 300),
    ]


def renderer_mb() -> tuple[float, float]:
    """Return RSS and PSS of the largest process of Chromium that draws pages (Linux)."""
    sizes = [(0.0, 0.0)]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                text = (process / "smaps_rollup").read_text()
                found = [text.split(f"{name}:")[1].split()[0] for name in ("Rss", "Pss")]
                sizes.append((int(found[0]) / 1_000, int(found[1]) / 1_000))
    return max(sizes)


def trained(folder: Path) -> Path:
    """Return a folder with a classifier of three sounds."""
    sounds = folder / "three"
    for label in LABELS:
        (sounds / label).mkdir(parents=True)
        for clip in fake_microphone.clips_of(label):
            shutil.copy(clip, sounds / label)
    out = sounds / "models" / "three.earmark"
    report = ["--report", str(sounds / "reports" / "three")]
    run([earmark(), "train", str(sounds), "-o", str(out), *report, "--unknown", "0.2"], {})
    return sounds


@contextlib.contextmanager
def listening(sounds: Path, microphone: Path) -> Iterator[Any]:
    """Listen in the page for LISTEN_S; yield it."""
    with browsing(microphone) as context, studios.command(sounds) as studio:
        page = context.new_page()
        opened(page, studio.address, "try")
        page.wait_for_selector(".live-view[data-sent]")
        page.wait_for_timeout(4_000)  # the network is loaded by then
        page.evaluate(WATCH)
        page.wait_for_timeout(1_000 * LISTEN_S)
        yield page


def live(folder: Path) -> list[dict[str, object]]:
    """Return the delay from sound to screen, and what was lost."""
    microphone = folder / "microphone.wav"
    fake_microphone.write_sound(microphone, list(LABELS), 8)
    with listening(trained(folder), microphone) as page:
        delays = np.array(page.evaluate("() => window.delays"))
        told = page.locator(".live-view").evaluate("(box) => ({ ...box.dataset })")
    shown, answered = delays.T
    return [
        row("live: answers shown", len(shown), "", ""),
        row("live: from sound to screen, median", float(np.median(shown)), "ms", 150),
        row("live: from sound to screen, 95 %", float(np.quantile(shown, 0.95)), "ms", 150),
        row("live: from sound to answer, median", float(np.median(answered)), "ms", ""),
        row("live: blocks of sound lost", int(told["lost"]), "", 0),
        row("live: tasks of the page over 50 ms", int(told["longTasks"]), "", 0),
    ]


def silence(folder: Path) -> list[dict[str, object]]:
    """Return how many labels were said while nothing was to be heard."""
    sounds, microphone = trained(folder), folder / "microphone.wav"
    rows = []
    for level in (None, *ROOM_DB):
        loudness = 10 ** (level / 20) if level is not None else 0.0
        noise = np.random.default_rng(0).normal(0, loudness, LISTEN_S * fake_microphone.RATE_HZ)
        soundfile.write(microphone, noise, fake_microphone.RATE_HZ, "PCM_16")
        with listening(sounds, microphone) as page:
            said = page.evaluate("() => window.said")
        print(level, said)
        labels = [each for each in said if any(label in each for label in LABELS)]
        what = "silence" if level is None else f"noise of {level} dB"
        rows.append(row(f"{what} for {LISTEN_S} s: labels", len(labels), "", 0))
    return rows


def row(what: str, value: float, unit: str, target: object) -> dict[str, object]:
    print(f"{what:<52} {value:>10.6g} {unit:<3} target {target}")
    return {"what": what, "value": float(f"{value:.4g}"), "unit": unit, "target": target}


PARTS = {"start": start, "weight": weight, "many": many, "live": live, "silence": silence}


def main(argv: list[str]) -> None:
    """Measure the parts that are named, and write the figures if all were."""
    print(describe())
    rows = []
    for name in argv or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += PARTS[name](Path(folder))
    if not argv:
        write("studio", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
