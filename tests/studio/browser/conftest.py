"""A real browser for the tests of the studio: Chromium, with a fake microphone."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--no-sandbox",  # it runs as root in containers
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture
def playwright():
    """Playwright; the test is skipped where it or Chromium is absent.

    It ends with the test: while it runs, its thread has an event loop, and no other can begin.
    """
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: make test-browser installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def launch(playwright):
    """Start a browser whose microphone plays a WAV file; it ends with the test."""
    browsers = []

    def start(microphone=None, *flags):
        source = [f"--use-file-for-fake-audio-capture={microphone}"] if microphone else []
        options = [*FLAGS, *source, *flags]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        browsers.append(browser)
        return browser

    yield start
    for browser in browsers:
        browser.close()
