"""Every screen of the studio in a real browser: it opens, asks no other host, and is accessible."""

import pytest

import studios

SCREENS = ("data", "doctor", "train", "report", "review", "try", "find", "export")


@pytest.fixture
def page(launch, sounds):
    """A page of a studio that has entered; what it asked and complained of."""
    with studios.command(sounds) as studio:
        page = launch().new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.complaints.append(said.text))
        page.goto(studio.address)
        page.wait_for_selector("h1")
        page.origin = page.evaluate("location.origin")
        yield page


def test_every_screen_opens_without_a_complaint_and_asks_only_its_studio(page):
    for name in SCREENS:
        page.goto(f"{page.origin}/#/{name}")
        page.wait_for_function(
            "name => document.querySelector(`#nav a[href='#/${name}']`).ariaCurrent === 'page'",
            arg=name,
        )
        page.wait_for_selector("main h1")
    assert page.complaints == []
    assert all(url.startswith((page.origin, "blob:", "data:")) for url in page.asked)


def test_no_screen_has_a_serious_barrier(page):
    from axe_playwright_python.sync_playwright import Axe

    for name in SCREENS:
        page.goto(f"{page.origin}/#/{name}")
        page.wait_for_selector("main h1")
        found = Axe().run(page).response["violations"]
        grave = [barrier["id"] for barrier in found if barrier["impact"] in ("serious", "critical")]
        assert grave == [], name
