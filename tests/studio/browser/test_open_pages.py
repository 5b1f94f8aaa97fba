"""Pages that stay open: many tabs of one studio, and a studio that is killed and started again."""

import signal

import pytest

import studios

HIDING = """
    let isHidden = false;
    Object.defineProperty(document, 'hidden', { get: () => isHidden });
    window.hide = (now) => {
      isHidden = now;
      document.dispatchEvent(new Event('visibilitychange'));
    };
"""


@pytest.fixture
def context(launch):
    """A browser whose tabs can be hidden: without a window, all of them are seen."""
    context = launch().new_context()
    context.add_init_script(HIDING)
    return context


def opened(context, address):
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".class")
    return page


@pytest.mark.parametrize("n_tabs", [2, pytest.param(7, marks=pytest.mark.slow)])
def test_tabs_show_data_and_a_hidden_one_hears_later_what_has_changed(sounds, context, n_tabs):
    with studios.running(sounds) as studio:
        pages = [opened(context, studio.address)]
        while len(pages) < n_tabs:
            pages[-1].evaluate("hide(true)")
            pages.append(opened(context, f"http://127.0.0.1:{studio.port}/"))
        assert all(page.locator("section.class[data-class=low]").count() for page in pages)
        assert studio.studio.notices.pages == 1
        ids = [clip["id"] for clip in studio.get("/api/clips?label=low").json["clips"]]
        studio.post("/api/label", {"ids": ids, "label": "new"})
        pages[-1].wait_for_selector("section[data-class=new] .count:text('2')")
        assert not pages[0].locator("section[data-class=new]").count()
        pages[0].evaluate("hide(false)")
        pages[0].wait_for_selector("section[data-class=new] .count:text('2')")


@pytest.mark.slow
def test_a_page_goes_on_when_the_killed_studio_was_started_and_entered_again(sounds, context):
    with studios.command(sounds) as first:
        page = opened(context, first.address)
        page.locator("section[data-class=low] .clip").first.click()
        page.keyboard.press("1")
        page.wait_for_selector("section[data-class=low] .count:text('1')")
        first.process.send_signal(signal.SIGKILL)
        page.wait_for_selector("#banners h2:text('The studio does not answer')")
    with studios.command(sounds) as second:
        assert second.port == first.port
        page.wait_for_selector("#banners h2:text('The studio was restarted')")
        assert "Open the address that it printed" in page.inner_text("#banners")
        opened(context, second.address).close()  # in this browser
        page.wait_for_selector("#banners:empty", state="attached")
        page.locator("section[data-class=low] .clip").first.click()
        page.keyboard.press("Delete")
        page.wait_for_selector("section[data-class=low]", state="detached")
    labels = [line.split(",")[3] for line in (sounds / "earmark.csv").read_text().splitlines()[1:]]
    assert labels == ["high"] * 3
