"""A real browser for the tests of the studio: Chromium, with a fake microphone."""

from __future__ import annotations

import pytest

import browser


@pytest.fixture
def playwright():
    """Playwright; the test is skipped where Chromium is absent.

    It ends with the test: while it runs, its thread has an event loop, and no other can begin.
    """
    browser.chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def launch(playwright):
    """Start a browser whose microphone plays a WAV file; it ends with the test."""
    started = []

    def start(microphone=None):
        source = [f"--use-file-for-fake-audio-capture={microphone}"] if microphone else []
        chromium = playwright.chromium.launch(
            executable_path=browser.chromium(), args=[*browser.FOR_PLAYWRIGHT, *source]
        )
        started.append(chromium)
        return chromium

    yield start
    for chromium in started:
        chromium.close()
