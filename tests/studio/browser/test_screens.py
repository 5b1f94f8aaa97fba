"""Every screen of the studio in a real browser: it opens, asks no other host, and is accessible."""

import itertools

import pytest

import studios
from earmark.apps.studio.assets import read_assets
from studios import SCREENS


@pytest.fixture
def page(launch, sounds):
    """A page of a studio that has entered; what it asked and complained of."""
    with studios.command(sounds) as studio:
        page = launch().new_page()
        page.asked, page.complaints = [], []

        def answered(response):
            if response.status >= 400 and response.status != 404:  # what is gone, the page says
                page.complaints.append(f"{response.status} {response.url}")

        def said(message):
            if message.type == "error" and "Failed to load resource" not in message.text:
                page.complaints.append(message.text)

        page.on("request", lambda request: page.asked.append(request.url))
        page.on("response", answered)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", said)
        page.goto(studio.address)
        page.wait_for_selector("h1")
        page.origin = page.evaluate("location.origin")
        yield page


def weight(urls):
    """Return the bytes of the studio's own files, once each: unpacked, and as they are sent."""
    assets, names = read_assets(), {url.partition("/static/")[2] for url in urls}
    files = [assets[name] for name in names if name]
    return sum(len(file.content) for file in files), sum(len(file.packed) for file in files)


def test_every_screen_opens_without_a_complaint_asks_only_its_studio_and_is_light(page):
    page.wait_for_selector(".class")
    unpacked, sent = weight(page.asked)
    assert unpacked <= 260_000 and sent <= 85_000
    for name in SCREENS:
        page.goto(f"{page.origin}/#/{name}")
        page.wait_for_function(
            "name => document.querySelector(`#nav a[href='#/${name}']`).ariaCurrent === 'page'",
            arg=name,
        )
        page.wait_for_selector("main h1")
    assert page.complaints == []
    assert all(url.startswith((page.origin, "blob:", "data:")) for url in page.asked)
    unpacked, sent = weight(page.asked)
    assert unpacked <= 470_000 and sent <= 165_000
    assert not any("/vendor/" in url for url in page.asked), "only the editor needs wavesurfer.js"


def test_no_screen_has_a_serious_barrier(page):
    from axe_playwright_python.sync_playwright import Axe

    for scheme, name in itertools.product(("light", "dark"), SCREENS):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{page.origin}/#/{name}")
        page.wait_for_selector("main h1")
        found = Axe().run(page).response["violations"]
        grave = [barrier["id"] for barrier in found if barrier["impact"] in ("serious", "critical")]
        assert grave == [], (scheme, name)
