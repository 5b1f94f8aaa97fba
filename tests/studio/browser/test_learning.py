"""The screens Doctor, Train, Report and Review, with a server of the tests' own making."""

from __future__ import annotations

import pytest

from studio_page import CLASSES, StudioPage, job

CHOICES = {
    "can_train": True,
    "reason": None,
    "notes": [],
    "defaults": {"name": "classifier", "backbone": "auto", "head": "auto", "unknown": True},
    "taken": ["old one"],
    "automatic": ["speech-embedding"],
    "advice": None,
    "backbones": [],
    "heads": ["auto"],
    "finetunes": [],
    "about": {},
    "groups": [{"name": "night", "n_groups": 4, "what": ""}],
    "no_groups": [],
    "impossible": {},
    "seconds": 9,
}
COMMAND = {"command": "earmark"}


def clip(name, label, **more):
    return {"id": name, "name": f"{name}.wav", "start": None, "end": None, "label": label, **more}


def finding(kind, severity, clips, *, remedy=True):
    sentence = {"kinds": [kind], "sentence": "Do it."}
    items = [{"detail": f"about {kind}", "clips": clips}]
    return {
        "kind": kind,
        "severity": severity,
        "advice": "look.",
        "clips": clips,
        "items": items,
        "remedy": sentence if remedy else None,
    }


FINDINGS = [
    finding("unreadable", "error", [clip("a", "owl")]),
    finding("label conflict", "error", [clip("b", "owl"), clip("c", "fox")]),
    finding("clipped", "warning", [clip("d", "fox")], remedy=False),
    finding("copies", "note", [clip("e", "owl"), clip("f", "owl")]),
]


@pytest.fixture
def studio(launch):
    """Return a function that makes a page with replies."""
    made = []

    def make(replies):
        made.append(StudioPage(launch().new_page(), replies))
        return made[-1]

    yield make
    for each in made:
        each.close()


def told(studio, kind, result):
    """Answer jobs of a kind: each is done as soon as it is asked for."""
    studio.replies[f"GET /api/jobs/job-{kind}"] = job(kind, "done", result=result)


def test_doctor_offers_what_no_ear_must_judge_and_applies_it(studio):
    posts = {"POST /api/jobs": lambda body: job(body["kind"], choices=body["choices"])}
    made = studio({**posts, "POST /api/label": {"version": 2, "said": "2 clips labelled 'fox'."}})
    told(made, "doctor", {"clips": 18, "findings": FINDINGS})
    page = made.open("doctor")
    page.wait_for_selector(".progress-line")  # it examines the folder by itself
    made.tell("job", job("doctor", "done"))
    page.wait_for_selector(".finding")
    assert page.locator(".changes li").all_inner_texts() == ["a.wav is left out"]
    page.click("[data-kind=copies] button[aria-pressed]")
    assert page.locator(".changes li").count() == 2
    page.click("text=Both are fox")
    page.wait_for_selector("text=2 clips labelled")
    assert made.posts("/api/label") == [{"ids": ["b", "c"], "label": "fox"}]
    page.click(".side .primary")
    page.wait_for_selector(".progress-line")
    kinds = {"kinds": ["unreadable", "copies"]}
    assert made.posts("/api/jobs")[-1] == {"kind": "fix", "choices": kinds}
    made.tell("job", job("fix", "done"))  # it is not taken over yet
    assert page.locator(".progress-line").count() == 1
    made.tell("job", job("fix", "done", said="Left out 2 clips."))
    page.wait_for_selector("text=Left out 2 clips.")


def test_doctor_examines_a_changed_folder_again(studio):
    made = studio({"POST /api/jobs": lambda body: job(body["kind"])})
    told(made, "doctor", {"clips": 18, "findings": []})
    page = made.open("doctor")
    page.wait_for_selector(".progress-line")
    made.tell("job", job("doctor", "done"))
    page.wait_for_selector("text=Nothing is wrong")
    assert len(made.posts("/api/jobs")) == 1
    made.state["version"] = 2
    made.tell("state", {"version": 2})
    page.wait_for_selector(".stale")
    page.wait_for_selector(".progress-line")
    assert len(made.posts("/api/jobs")) == 2


def test_train_says_what_is_missing(studio):
    made = studio({"GET /api/choices": {**CHOICES, "can_train": False, "reason": "Too few."}})
    made.state["classes"] = [{"name": "owl", "n_clips": 1, "n_takes": 1}]
    page = made.open("train")
    page.wait_for_selector(".lacks")
    assert page.locator(".lacks li").all_inner_texts() == [
        "one more class",
        "2 more recordings of owl",
    ]
    assert page.locator("text=Start training").count() == 0


def test_train_starts_with_the_choices_and_opens_the_report(studio):
    made = studio(
        {
            "GET /api/choices": CHOICES,
            "POST /api/jobs": lambda body: job("train", choices=body["choices"]),
            "GET /api/models": [],
        }
    )
    page = made.open("train")
    page.wait_for_selector("#train-name")
    page.fill("#train-name", "Old One")
    assert page.locator(".actions .primary").is_disabled()
    page.fill("#train-name", "new")
    page.click("text=The night")
    page.locator("h1").click()
    page.keyboard.press("Enter")
    page.wait_for_selector(".run")
    choices = {"name": "new", "unknown": True, "group": "night"}
    assert made.posts("/api/jobs") == [{"kind": "train", "choices": choices}]
    stages = [{"name": "Listening to the recordings", "steps": 18, "done": 18, "seconds": 2.0}]
    stages += [{"name": "Choosing what works best", "steps": 10, "done": 4, "seconds": 1.0}]
    now = {"choices": choices, "stages": stages, "stage": stages[1]["name"], "left_s": 40}
    made.tell("job", job("train", **now))
    assert page.locator(".stages .now .num").inner_text() == "4 of 10"
    assert page.locator(".left").inner_text() == "about 40 s left"
    made.tell("job", job("train", "failed", **now | {"left_s": None, "error": "It is full."}))
    page.wait_for_selector("text=It is full.")
    made.tell("job", job("train", "done", **now))
    page.wait_for_url("**/report/new")


def figures(name, recall):
    return {"label": name, "n": 6, "recall": recall, "precision": 0.9, "f1": 0.9}


HEADLINE = {"name": "accuracy", "value": 0.9, "ci95": [0.8, 0.95], "chance": 0.33}
MODEL = {
    "name": "new",
    "bytes": 1_000,
    "trained_at": "2026-01-01T00:00:00Z",
    "error": None,
    "labels": list(CLASSES),
    "n_clips": 18,
    "headline": HEADLINE,
    "interval": [0.8, 0.95],
    "verdict": {"word": "care", "sentences": ["Too few clips."]},
    "has_report": True,
    "is_detector": False,
    "has_unknown": True,
    "changed": True,
}
OTHER = {**MODEL, "name": "another", "headline": {**HEADLINE, "value": 0.5}, "changed": False}
SUMMARY = {
    "labels": list(CLASSES),
    "estimate": {
        "headline": HEADLINE,
        "accuracy": 0.9,
        "clips": 18,
        "scheme": "5 folds",
        "verdict": {"word": "care", "why": "too few clips"},
        "classes": [figures("owl", 5 / 6), figures("fox", 4 / 6), figures("deer", 1.0)],
    },
}
MISTAKES = [
    {**clip("m", "owl"), "answer": "fox", "score": 0.9},
    {**clip("n", "fox"), "answer": "deer", "score": 0.8},
    {**clip("o", "fox"), "answer": "deer", "score": 0.7},
]


def test_report_plays_the_clips_of_a_cell(studio):
    made = studio(
        {
            "GET /api/models": [MODEL, OTHER],
            "GET /api/models/new/summary": SUMMARY,
            "GET /api/models/new/answers": {"mistakes": MISTAKES, "total": 3},
            "GET /api/clips": {"clips": [clip("m", "owl"), clip("p", "owl")], "total": 2},
        }
    )
    page = made.open("report/new")
    page.wait_for_selector(".matrix")
    order = page.evaluate("""() => document.querySelector('.verdict')
      .compareDocumentPosition(document.querySelector('.big'))""")
    assert order & 4  # the verdict comes before the number
    page.wait_for_selector(".stale")
    page.focus(".matrix button[tabindex='0']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=2 clips of fox are answered deer")
    with page.expect_request("**/api/sounds/n/audio"):
        page.click(".cell-clips .listen >> nth=0")
    page.click(".matrix .hit >> nth=0")  # what is right is what no mistake names
    page.wait_for_selector("text=5 clips of owl are answered rightly")
    page.wait_for_selector(".cell-clips .name:has-text('p.wav')")
    assert page.locator(".cell-clips .listen").count() == 1
    rows = page.locator(".models tbody th a")
    page.click(".models button:has-text('how good')")
    assert rows.all_inner_texts() == ["new", "another"]
    page.click(".models button:has-text('how good')")
    assert rows.all_inner_texts() == ["another", "new"]


def test_review_saves_each_decision_takes_it_back_and_applies_all(studio):
    def suspect(row, label, suggested):
        near = [clip(f"near{row}", "fox", similarity=0.6)]
        shared = {"evidence": 0.9, "reason": "it is", "neighbours": near, "decision": ""}
        return {"row": row, "clip": clip(f"s{row}", label), "suggested": suggested, **shared}

    suspects = [suspect(2, "owl", "fox"), suspect(3, "fox", None), suspect(4, "deer", "owl")]
    found = {"name": "review", "model": None, "command": "earmark review", "suspects": suspects}
    made = studio(
        {
            "GET /api/reviews": ["review"],
            "GET /api/reviews/review": found
            | {"verdict": {"word": "worthless", "why": "no better than guessing."}},
            "POST /api/reviews/review/decide": {"decided": 1, "total": 3},
            "POST /api/reviews/review/apply": {"version": 2, "said": "Relabelled 1 clip."},
        }
    )
    page = made.open("review")
    page.wait_for_selector(".question")
    page.wait_for_selector("text=This list means little")
    for key in ("Enter", "1", "Control+z", "k", "x"):
        page.keyboard.press(key)
    page.wait_for_selector(".all-decided")
    page.click(".all-decided .primary")
    page.wait_for_selector("text=The decisions are applied")
    assert made.posts("/api/reviews/review/decide") == [
        {"row": 2, "decision": "relabel"},
        {"row": 3, "decision": "owl"},
        {"row": 3, "decision": ""},
        {"row": 3, "decision": "keep"},
        {"row": 4, "decision": "drop"},
    ]
    assert len(made.posts("/api/reviews/review/apply")) == 1
