"""Pages that stay open: many tabs of one studio, and a studio that is killed and started again."""

import signal

import pytest
import soundfile

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


@pytest.mark.slow
def test_a_piece_that_is_recorded_while_the_studio_is_killed_is_whole_and_there_once(
    tmp_path, context
):
    with studios.command(tmp_path) as first:
        page = opened(context, first.address)
        page.get_by_label("pieces").select_option("1")
        page.get_by_label("seconds each").select_option("3")
        page.locator(".start .record").first.click()
        uploads = tmp_path / ".studio" / "uploads"
        while not any(path.stat().st_size > 50_000 for path in uploads.glob("*/sound")):
            page.wait_for_timeout(20)
        first.process.send_signal(signal.SIGKILL)
    with studios.command(tmp_path) as second:
        page.wait_for_selector("#banners h2:text('The studio was restarted')")
        opened(context, second.address).close()
        page.wait_for_selector(".class:not(.new) .count:text('1')")
        page.wait_for_selector("#banners:empty", state="attached")
        (kept,) = (tmp_path / "recordings").glob("*.wav")
        assert soundfile.info(kept).duration == 3
