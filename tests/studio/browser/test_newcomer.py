"""A newcomer's whole way in a browser with a fake microphone: from three sounds to an ONNX file."""

from __future__ import annotations

import csv
import shutil

import pytest

import earmark
import fake_microphone
import studios

pytest.importorskip("onnxruntime", reason="the extra earmark[onnx] is not installed")

PIECES = 5
MOST_PRESSES = 15
LEARNING_MS = 60_000
TOLERANCE = 1e-4  # of a score of an exported file


class Newcomer:
    """A person at a page: clicks, keys and names that are typed, and how many there were."""

    def __init__(self, page) -> None:
        self.page = page
        self.presses = 0

    def click(self, name: str, role: str = "button", within: str = "main") -> None:
        self.presses += 1
        self.page.locator(within).get_by_role(role, name=name).first.click()

    def press(self, key: str) -> None:
        self.presses += 1
        self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        """Type a name: one press, however long it is."""
        self.presses += 1
        self.page.keyboard.type(text)

    def go(self, screen: str) -> None:
        self.presses += 1
        self.page.locator(f"#nav a[href='#/{screen}']").click()


@pytest.fixture
def microphone(tmp_path):
    """The file that the fake microphone plays; it is opened anew with each recording."""
    path = tmp_path / "microphone.wav"
    fake_microphone.write_noise(path, 6)
    return path


@pytest.fixture
def studio(tmp_path):
    """A studio of an empty folder, with the networks that the package ships."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    own = {"EARMARK_WEIGHTS": "", "EARMARK_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with studios.command(folder, **own) as running:
        running.folder = folder
        yield running


@pytest.fixture
def page(launch, microphone, studio):
    """The first screen of the studio; ``asked`` has all addresses that were asked for."""
    page = launch(microphone).new_context(accept_downloads=True).new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(studio.address)
    page.wait_for_selector(".start .record")
    return page


@pytest.mark.slow
def test_from_three_sounds_to_a_file_for_other_programs(page, microphone, studio, tmp_path):
    person = Newcomer(page)
    page.get_by_label("seconds each").select_option("1")  # for the sake of the test's time
    record(person, microphone)
    train(person)
    try_live(person, microphone)
    assert person.presses <= MOST_PRESSES

    wrong = give_a_wrong_label(person, studio.folder)
    examine(person)
    review(person, studio.folder, wrong)
    files = export(person, tmp_path)
    compare(page, studio, files, tmp_path)
    origin = page.evaluate("location.origin")
    assert all(url.startswith((origin, "blob:", "data:")) for url in page.asked)
    assert page.complaints == []


def record(person, microphone) -> None:
    """Record three classes; the third has its name already."""
    page = person.page
    for number, name in enumerate(("rain", "bell", "background")):
        if name == "background":
            fake_microphone.write_noise(microphone, PIECES + 1)
        else:
            fake_microphone.write_sound(microphone, [name], PIECES + 1)
        person.click("Record", within=".class.new >> nth=0")
        page.locator("section.class:not(.new)").nth(number).wait_for()
        if name != "background":
            page.wait_for_selector("input.class-name:focus")
            person.type(name)
            person.press("Enter")
        page.wait_for_selector(f"section[data-class={name}] .count:text('{PIECES}')")
        page.wait_for_selector(".recorder:not(.on)")


def train(person) -> None:
    """Train with the choices as they are, until the report opens by itself."""
    person.click("Train", "link")
    person.click("Start training")
    person.page.wait_for_url("**/#/report/classifier", timeout=LEARNING_MS)
    person.page.wait_for_selector("h1:text('classifier')")


def try_live(person, microphone) -> None:
    """Hear a bell, and then nothing: the label comes, and goes."""
    fake_microphone.write_sound(microphone, ["bell"], 4)
    person.click("Try it live", "link")
    page = person.page
    page.wait_for_selector(".now:has-text('bell')", timeout=LEARNING_MS)
    assert int(page.locator(".live-view").get_attribute("data-lost")) == 0
    page.locator("main").get_by_role("button", name="Pause").click()


def give_a_wrong_label(person, folder) -> str:
    """Label a clip of rain as a bell, by a key; return its path in the folder."""
    page = person.page
    before = labels(folder)
    person.go("data")
    page.locator("section[data-class=rain] .clip").first.click()
    person.press("2")
    page.wait_for_selector("section[data-class=bell] .count:text('6')")
    ((wrong, label),) = labels(folder).items() - before.items()
    assert (before[wrong], label) == ("rain", "bell")
    return wrong


def examine(person) -> None:
    """Let the doctor listen to all clips."""
    person.go("doctor")
    person.page.wait_for_selector(".sums, .empty:has-text('Nothing is wrong')", timeout=LEARNING_MS)


def review(person, folder, wrong: str) -> None:
    """Find the wrong label among the suspects, and change it by a key."""
    page = person.page
    person.go("review")
    person.click("Look for wrong labels")
    suspect = page.locator(".queue button", has_text=wrong.rpartition("/")[2])
    suspect.click(timeout=LEARNING_MS)
    page.wait_for_selector(".question:has-text('rain')")
    person.press("Enter")
    person.click("Apply")
    page.wait_for_selector("text=The decisions are applied")
    assert labels(folder)[wrong] == "rain"


def export(person, to) -> dict[str, object]:
    """Make the ONNX file; save it and the classifier as the browser does. Return their paths."""
    page = person.page
    person.go("export")
    way = page.locator("section.way[data-way=onnx]")
    way.get_by_role("button", name="Make").click()
    way.locator(".check:has-text('scores')").wait_for(timeout=LEARNING_MS)
    saved = {}
    for kind in ("file", "onnx"):
        with page.expect_download() as download:
            page.locator(f"section.way[data-way={kind}]").get_by_text("Save").click()
        saved[kind] = to / download.value.suggested_filename
        download.value.save_as(saved[kind])
    return saved


def compare(page, studio, files, tmp_path) -> None:
    """The studio, the saved classifier and the saved graph give one recording the same scores.

    The graph is run by the program that the page shows.
    """
    path = next(path for path, label in labels(studio.folder).items() if label == "bell")
    clips = ask(page, "GET", "/api/clips?label=bell")["clips"]
    (id,) = [clip["id"] for clip in clips if clip["name"] == path.rpartition("/")[2]]
    tried = ask(page, "POST", f"/api/try/classifier?id={id}")
    (own,) = earmark.load(files["file"]).predict([studio.folder / path])
    shutil.copy(studio.folder / path, tmp_path / "new.wav")
    page.locator(".code-box").get_by_text("Python, ONNX only").click()
    program = page.locator(".code-box code").last.text_content()
    found = {}
    exec(program.replace('"classifier.onnx"', repr(str(files["onnx"]))).replace(
        '"new.wav"', repr(str(tmp_path / "new.wav"))), found)  # fmt: skip
    graph = dict(zip(found["about"]["labels"], found["scores"].ravel(), strict=True))
    seen = dict(zip(tried["labels"], tried["scores"], strict=True))
    assert tried["answer"] == own.answer == "bell"
    assert set(graph) == set(seen) == set(own.scores)
    for label, score in own.scores.items():
        assert seen[label] == pytest.approx(score, abs=1e-6)
        assert graph[label] == pytest.approx(score, abs=TOLERANCE)


def ask(page, method: str, path: str) -> dict:
    """Ask the studio as the page does."""
    call = "([method, path]) => fetch(path, { method }).then((reply) => reply.json())"
    return page.evaluate(call, [method, path])


def labels(folder) -> dict[str, str]:
    with open(folder / "earmark.csv", newline="") as file:
        return {row["path"]: row["label"] for row in csv.DictReader(file)}
