"""The Data screen in a browser: recording and its troubles, labels, two tabs, long lists."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile

import studios

# The page may be told that the microphone fails, and the test can unplug it.
MICROPHONE = """
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.failure = null;
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      if (window.failure) throw new DOMException('', window.failure);
      window.stream = await open(wanted);
      return window.stream;
    };
    window.unplug = () => window.stream.getAudioTracks()[0].dispatchEvent(new Event('ended'));
"""
FULL = {
    "status": 507,
    "content_type": "application/problem+json",
    "body": json.dumps({"title": "full", "status": 507, "detail": "There is no room. Make some."}),
}


@pytest.fixture
def enter(launch):
    """Open the Data screen of a studio in a new browser, or in another tab of it."""
    context = launch().new_context()
    context.add_init_script(MICROPHONE)

    def page(studio):
        tab = context.new_page()
        tab.goto(f"http://127.0.0.1:{studio.port}/?token={studio.entry.invite()}")
        tab.wait_for_selector(".class")
        return tab

    return page


def rows(folder):
    with open(folder / "earmark.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_one_press_records_pieces_and_offers_their_name(tmp_path, enter):
    with studios.running(tmp_path) as studio:
        page = enter(studio)
        page.get_by_label("pieces").select_option("3")
        page.get_by_label("seconds each").select_option("1")
        page.locator(".start .record").first.click()
        page.wait_for_selector(".class:not(.new) .count:text('3')")
        page.wait_for_selector(".recorder:not(.on)")
        page.wait_for_selector("input.class-name:focus")
        page.keyboard.type("<b>tick</b>")
        page.keyboard.press("Enter")
        page.wait_for_selector("section[data-class='<b>tick</b>']")
        page.wait_for_selector(".recorder:not(.on)")
    kept = rows(tmp_path)
    assert [row["label"] for row in kept] == ["<b>tick</b>"] * 3
    assert len({row["take"] for row in kept}) == 1
    for row in kept:
        samples, rate = soundfile.read(tmp_path / row["path"])
        assert len(samples) == rate
    assert max(abs(soundfile.read(tmp_path / row["path"])[0]).max() for row in kept) > 0.1


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("NotAllowedError", "may not use the microphone"),
        ("NotFoundError", "No microphone was found"),
        ("NotReadableError", "does not answer"),
    ],
)
def test_a_microphone_that_fails_is_said(studio, enter, failure, said):
    page = enter(studio)
    page.evaluate(f"window.failure = '{failure}'; null")
    page.keyboard.press("r")
    page.wait_for_selector(f".recorder-notes [role=alert] h2:text('{said}')")
    assert page.locator(".recorder:not(.on):not(.near)").count() == 1


@pytest.mark.slow
def test_what_was_recorded_before_the_microphone_went_is_kept(tmp_path, enter):
    with studios.running(tmp_path) as studio:
        page = enter(studio)
        page.get_by_label("seconds each").select_option("1")
        page.locator(".start .record").first.click()
        page.wait_for_selector(".record-what:has-text('Piece 2')")
        page.evaluate("window.unplug()")
        page.wait_for_selector(".recorder-notes:has-text('The microphone was unplugged')")
        page.wait_for_selector(".recorder-notes:has-text('2 pieces are kept')")
        page.wait_for_selector(".class:not(.new) .count:text('2')")
    assert len(rows(tmp_path)) == 2


def test_a_full_disk_loses_no_piece(tmp_path, enter):
    with studios.running(tmp_path) as studio:
        page = enter(studio)
        page.route("**/api/uploads/*?offset=*", lambda route: route.fulfill(**FULL))
        page.get_by_label("seconds each").select_option("1")
        page.locator(".start .record").first.click()
        page.wait_for_selector(".recorder-notes:has-text('The disk is full')")
        assert not list(tmp_path.glob("recordings/*"))
        page.unroute("**/api/uploads/*?offset=*")
        page.get_by_role("button", name="Save them now").click()
        page.wait_for_selector(".class:not(.new) .count:text('1')")


def test_a_key_labels_and_another_tab_sees_it_and_its_undo(sounds, enter):
    with studios.running(sounds) as studio:
        first, second = enter(studio), enter(studio)
        first.bring_to_front()
        first.locator("section[data-class=low] .clip").first.click()
        first.keyboard.press("Shift+ArrowDown")
        first.wait_for_selector(".panel-title:has-text('2 clips chosen')")
        held = []  # a page that does not know of its own change yet can undo it
        first.route("**/api/state", lambda route: held.append(route))
        first.keyboard.press("1")
        second.wait_for_selector("section[data-class=high] .count:text('4')")
        assert {row["label"] for row in rows(sounds)} == {"high"}
        first.keyboard.press("Control+z")
        for route in held:
            route.continue_()
        first.unroute("**/api/state")
        second.wait_for_selector("section[data-class=low] .count:text('2')")
        assert sorted(row["label"] for row in rows(sounds)) == ["high", "high", "low", "low"]


def test_a_long_list_is_short_in_the_page(tmp_path, enter):
    names = [f"{label}/{k:04d}.wav" for label in ("a", "b") for k in range(1_000)]
    studios.write_sounds(tmp_path, ["a/0000.wav"])
    for name in names[1:]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.hardlink_to(tmp_path / names[0])
    with studios.running(tmp_path) as studio:
        page = enter(studio)
        page.locator("section[data-class=a] .clip").first.focus()
        page.keyboard.press("End")
        page.wait_for_selector(".clip[aria-posinset='1000'][aria-setsize='1000']:focus")
        assert page.locator(".clip").count() < 150
        page.keyboard.press("Control+a")
        page.wait_for_selector(".panel-title:has-text('1,000 clips chosen')")


def test_tables_and_tracks_of_a_dropped_folder_come_with_it_and_are_used(tmp_path, enter):
    birds = studios.write_sounds(tmp_path / "birds", ["low1.wav", "low2.wav"])
    (birds / "labels.csv").write_text("path,label\nlow1.wav,owl\nlow2.wav,crow\n")
    (birds / "low2.txt").write_text("0\t0.1\tjay\n")
    (birds / "low1.txt").write_text("windy")
    folder = tmp_path / "folder"
    folder.mkdir()
    with studios.running(folder) as studio:
        page = enter(studio)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a folder").click()
        chooser.value.set_files(birds)
        page.wait_for_selector(".adder:has-text('2 recordings were added')")
        page.wait_for_selector(".adder:has-text('2 tables or label tracks came too')")
        page.get_by_role("button", name="Use recordings/birds/labels.csv").click()
        page.wait_for_selector("section[data-class=owl] .count:text('1')")
        page.get_by_role("button", name="Use 1 label track").click()
        page.wait_for_selector("section[data-class=jay] .count:text('1')")
    assert [row["label"] for row in rows(folder)] == ["owl", "crow", "jay"]


def test_files_that_cannot_be_read_are_named_and_the_others_are_added(tmp_path, enter):
    t = np.arange(8_000) / 16_000
    for k in range(5):
        soundfile.write(tmp_path / f"good {k}.wav", 0.3 * np.sin(2_000 * t), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    folder = tmp_path / "folder"
    with studios.running(studios.write_sounds(folder)) as studio:
        page = enter(studio)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose files").click()
        chooser.value.set_files(sorted(tmp_path.glob("*.wav")))
        page.wait_for_selector(".adder:has-text('5 recordings were added, 1 could not be')")
        assert page.locator(".errors li").all_inner_texts()[0].startswith("broken.wav")
    assert len(list(folder.glob("recordings/good*"))) == 5
