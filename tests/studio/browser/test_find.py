"""The screen Find: search by example, and labels in rounds, by keys alone."""

from __future__ import annotations

import csv
import os
import signal

import numpy as np
import pytest
import soundfile

import nights
import studios
from studio_page import StudioPage, job

ABOUT = {
    "name": "nights", "recordings": 3, "seconds": 60.0, "gone": ["old.wav"], "n_gone": 1,
    "failed": [], "n_failed": 0, "datasets": ["nights"], "network": "speech-embedding",
    "columns": [{"name": "site", "values": ["north", "south"], "n_values": 2}], "windows": 120,
}  # fmt: skip
STANDING = {
    "answers": 12, "positives": 5, "negatives": 7, "threshold": 0.5, "advice": "Go on.",
    "precision": {"value": 0.9, "low": 0.7, "high": 0.97}, "total": None, "unseen": None,
}  # fmt: skip
WAIT_MS = 60_000


def hit(number, **more):
    return {
        "id": f"{number:016x}", "name": f"{number}.wav", "path": f"{number}.wav", "start": 1.0,
        "end": 2.0, "seconds": 9.0, "score": 0.9, "is_own": False, "silent": None,
        "dataset": "nights", "columns": {"site": "north"}, **more,
    }  # fmt: skip


def asked(number, **more):
    return {**hit(number), "why": "sure", "answer": "", **more}


def a_round(name, *numbers):
    proposals = [asked(number) for number in numbers]
    shown = {"round": name, "name": "owl", "proposals": proposals, "standing": STANDING}
    return {**shown, "notes": [], "contradictions": [], "command": "earmark label"}


@pytest.fixture
def studio(launch):
    """Return a function that makes a page with replies of an archive."""
    made = []

    def make(replies):
        archive = {
            "GET /api/find/archives": {"archives": ["nights"], "sources": []},
            "GET /api/find/archives/nights": ABOUT,
            "GET /api/find/archives/nights/labels": {"owl": {"yes": 5, "no": 7}},
        }
        made.append(StudioPage(launch().new_page(), {**archive, **replies}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.slow
def test_a_search_is_judged_by_keys_searched_again_and_kept(studio):
    clip = {"id": "c" * 16, "name": "c.wav", "label": "owl", "start": None, "end": None}
    found = {
        "hits": [hit(1), hit(2), hit(3, silent="gone", id="")],
        "said": "All.",
        "command": "earmark search",
    }
    made = studio(
        {
            "GET /api/find/examples/region": {**clip, "id": "d" * 16, "start": 1.0, "end": 2.0},
            "GET /api/clips": {"clips": [clip], "total": 1},
            "POST /api/find/search": found,
            "POST /api/find/keep": {"version": 2, "said": "1 clip was copied into the folder."},
        }
    )
    page = made.open("find")
    page.wait_for_selector(".query")
    assert page.locator("summary").inner_text() == "1 recording is gone"
    assert page.locator(".query .primary").is_disabled()
    made.open("find/nights/search/region")  # as the editor does
    page.wait_for_selector(".examples .like")
    page.click("[aria-expanded]")
    page.click(".offer button:has-text('Use it')")
    page.get_by_label("site").select_option("south")
    page.get_by_label("condition").press("Enter")
    page.wait_for_selector(".hit.now")
    assert page.locator(".hit .gone").inner_text().startswith("The recording is gone")
    for key in ("y", "n", "k"):  # yes and no go on to the next
        page.keyboard.press(key)
    assert (page.locator(".hit.is-yes").count(), page.locator(".hit.is-no").count()) == (1, 1)
    assert page.get_by_label("as", exact=True).input_value() == "owl"
    page.keyboard.press("-")
    page.wait_for_selector(".examples .unlike")
    page.click("text=Add 1 clip to the data")
    page.wait_for_selector("text=1 clip was copied")
    first, second = made.posts("/api/find/search")
    assert [(one["id"], one["start"]) for one in first["like"]] == [
        ("d" * 16, None), ("c" * 16, None)
    ]  # fmt: skip
    assert first["where"] == ["site=south"] and first["unlike"] == []
    assert second["unlike"] == [{"id": f"{2:016x}", "start": 1, "end": 2}]
    (kept,) = made.posts("/api/find/keep")
    assert kept == {"label": "owl", "stretches": [{"id": f"{1:016x}", "start": 1, "end": 2}]}


def test_a_round_is_answered_by_keys_and_its_last_answer_taken_back(studio):
    said = [{"who": "Ann", "word": "yes", "suggested": "owl"}]
    said += [{"who": "Ben", "word": "no", "suggested": "owl"}]
    against = {"contradictions": [{**hit(9), "answers": said}]}
    rounds = iter([a_round("a" * 16, 1, 2, 3, 4), a_round("b" * 16, 5) | against])
    made = studio(
        {
            "POST /api/find/round": lambda body: next(rounds),
            "POST /api/find/answer": lambda body: {"answer": body["word"]},
            "POST /api/find/undo": lambda body: {
                "word": "fox", "name": "owl", "number": 0,
                "round": {**a_round("b" * 16, 4, 5)},
            },
        }
    )  # fmt: skip
    page = made.open("find/nights/label")
    page.wait_for_selector(".round-start")
    page.fill("#round-class", "owl")
    page.fill("#round-who", "Ann")
    page.locator("h1").click()
    page.keyboard.press("Enter")
    page.wait_for_selector(".asked")
    for key in ("y", "n", "s", "2"):  # 2 is the class fox
        page.keyboard.press(key)
    page.wait_for_selector(".round-over .primary")
    words = [body["word"] for body in made.posts("/api/find/answer")]
    assert words == ["yes", "no", "skip", "fox"]
    assert page.locator(".standing .main .num").inner_text() == "90% (70% to 97%)"
    assert page.locator(".disagreements .how").inner_text() == "Ann says Yes, Ben says No"
    assert page.locator(".standing .line .span").first.evaluate("e => e.style.width") == "27%"
    page.keyboard.press("u")
    page.wait_for_selector(".round-queue li:nth-child(2)")
    assert page.locator("[aria-current] .num").inner_text() == "1"
    (first, second) = made.posts("/api/find/round")
    assert (first["fresh"], second["fresh"], first["who"]) == (False, True, "Ann")


@pytest.mark.slow
def test_an_answer_that_was_not_kept_is_asked_again(studio):
    made = studio({"POST /api/find/round": lambda body: a_round("a" * 16, 1, 2)})
    page = made.open("find/nights/label/owl")
    page.wait_for_selector(".asked")
    page.keyboard.press("y")
    page.wait_for_selector("text=The answer was not kept")
    assert page.locator("[aria-current] .num").inner_text() == "1"
    assert page.locator(".round-queue .answered").count() == 0


@pytest.mark.slow
def test_an_archive_is_made_with_progress_and_opens_when_it_is_done(studio):
    made = studio({"POST /api/jobs": lambda body: job("index", choices=body["choices"])})
    made.replies["GET /api/find/archives"] = {"archives": [], "sources": ["field"]}
    page = made.open("find")
    page.wait_for_selector(".make-archive")
    page.check("text=field")
    assert page.locator("#archive-name").input_value() == "field"
    page.fill("#archive-name", "../x")
    assert page.locator(".make-archive .primary").is_disabled()
    page.fill("#archive-name", "nights")
    page.click("text=Make the archive")
    page.wait_for_selector(".progress-line")
    choices = {"name": "nights", "source": "field"}
    assert made.posts("/api/jobs") == [{"kind": "index", "choices": choices}]
    made.tell("job", job("index", "failed", choices=choices, error="it has no recordings."))
    page.wait_for_selector("text=It has no recordings.")
    made.tell("job", job("index", choices=choices))
    made.replies["GET /api/find/archives"] = {"archives": ["nights"], "sources": ["field"]}
    made.tell("job", job("index", "done", choices=choices))
    page.wait_for_selector(".query")


@pytest.fixture
def person(launch):
    """A page of a browser that keeps what it has entered."""
    page = launch().new_context().new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    return page


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_from_recordings_to_labels_with_a_reload_and_a_killed_studio(person, tmp_path):
    folder = nights.write_examples(tmp_path / "sounds")
    field = nights.write_nights(tmp_path / "field")
    options = ("--recordings", field)
    labels = folder / "archives" / "field" / "labels.csv"
    page = person
    with studios.command(folder, *options) as studio:
        page.goto(studio.address)
        page.click("#nav a[href='#/find']")
        page.check("text=field")
        page.click("text=Make the archive")
        page.wait_for_selector(".query", timeout=WAIT_MS)
        page.click("[aria-expanded]")
        page.locator(".offer select").select_option("owl")
        page.locator(".offer button:has-text('Use it')").first.click()
        page.click(".query .primary")
        page.wait_for_selector(".hit .listen", timeout=WAIT_MS)
        assert barriers(page) == []
        with page.expect_request("**/audio?start=*"):
            page.keyboard.press("Space")
        page.keyboard.press("y")
        page.click("text=Add 1 clip to the data")
        page.wait_for_selector("text=1 clip was copied into the folder.")
        page.click("text=In rounds")
        page.fill("#round-class", "owl")
        page.fill("#round-who", "Ann")
        page.click(".round-start .primary")
        page.wait_for_selector(".asked", timeout=WAIT_MS)
        assert barriers(page) == []
        answered(page, labels, "y", "n")
        page.reload()
        page.wait_for_selector(".asked")
        assert page.locator(".round-queue .answered").count() == 2
        answered(page, labels, "y")
        studio.process.send_signal(signal.SIGKILL)
        studio.process.wait()
    assert words(labels) == ["yes", "no", "yes"]
    with studios.command(folder, *options) as studio:
        page.goto(studio.address)
        page.wait_for_selector("#nav a[href='#/find']")  # the address leads on to the page
        page.goto(f"{studio.address.partition('/?')[0]}/#/find/field/label/owl")
        page.wait_for_selector(".asked")
        assert page.locator(".round-queue .answered").count() == 3
        answered(page, labels, "s")
        page.keyboard.press("u")
        page.wait_for_selector("text=Took back “Skip” on owl.")
        left = page.locator(".round-queue button:not(.answered)").count()
        answered(page, labels, *"n" * left)
        page.wait_for_selector(".round-over .primary", timeout=WAIT_MS)
        assert page.locator(".advice").inner_text().endswith(".")
        assert barriers(page) == []
    assert words(labels)[:5] == ["yes", "no", "yes", "skip", "undo"]
    assert page.complaints == []


@pytest.mark.slow
def test_what_the_microphone_hears_is_an_example(launch, tmp_path):
    field = nights.write_nights(tmp_path / "field")
    folder = nights.write_examples(tmp_path / "sounds")
    nights.index(field, folder / "archives" / "field")
    heard = np.repeat(nights.tone("fox", 8.0, np.random.default_rng(3)), 3)
    soundfile.write(tmp_path / "heard.wav", heard, 48_000)
    page = launch(tmp_path / "heard.wav").new_page()
    with studios.running(folder, recordings=(field,)) as studio:
        page.goto(studio.address)
        page.click("#nav a[href='#/find']")
        page.click("text=Record it")
        page.wait_for_selector(".recording")
        page.wait_for_timeout(2_500)
        page.click(".recording")
        page.wait_for_selector(".examples .like canvas")
        page.click(".query .primary")
        page.wait_for_selector(".hit .listen", timeout=WAIT_MS)
        found = page.locator(".hit figcaption").first.inner_text().split()
        assert found[1].startswith(("00:00:1", "00:00:09")), found  # foxes are at 10 s and 14 s
        assert studio.get("/api/clips?unlabelled=1").json["total"] == 0  # it was only tried
        page.click("text=In rounds")
        page.wait_for_selector("#round-class")
        assert page.locator("text=of the search").count() == 0  # and becomes no label


def barriers(page):
    """What keeps people with other ways of reading out, in both themes."""
    from axe_playwright_python.sync_playwright import Axe

    grave = []
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        grave += [
            (b["id"], b["nodes"][0]["html"])
            for b in found
            if b["impact"] in ("serious", "critical")
        ]
    return grave


def answered(page, labels, *keys):
    """Answer with keys; each answer is in the file before the next one."""
    for key in keys:
        before = len(words(labels))
        with page.expect_response("**/api/find/answer"):
            page.keyboard.press(key)
        assert len(words(labels)) == before + 1


def words(labels):
    """The answers in the file, without the examples."""
    with open(labels, newline="") as file:
        return [row["decision"] for row in csv.DictReader(file) if row["evidence"]]
