"""Find: archives of the folder, searches by example, and what is kept of them."""

import csv
import os
import time

import pytest
import soundfile

import nights
import studios
from earmark.apps.studio.find import finds
from earmark.apps.studio.find.sources import Sources
from served import PATIENCE_S

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with examples and an archive, and the long recordings beside it."""
    root = tmp_path_factory.mktemp("find")
    nights.write_nights(root / "nights")
    nights.write_examples(root / "sounds")
    nights.index(root / "nights", root / "sounds" / "archives" / "nights")
    return root


@pytest.fixture(scope="module")
def studio(place):
    with studios.running(place / "sounds", recordings=(place / "nights",)) as client:
        yield client


def ids(studio, label):
    return [clip["id"] for clip in studio.get(f"/api/clips?label={label}").json["clips"]]


def search(studio, like, **more):
    likes = [each if isinstance(each, dict) else {"id": each} for each in like]
    body = {"archive": "nights", "like": likes, **more}
    return studio.post("/api/find/search", body)


def spots(hits):
    """The recordings and the classes of what was found."""
    return [(hit["path"], nights.class_at(hit["path"], hit["start"], hit["end"])) for hit in hits]


def test_an_archive_says_what_is_in_it(studio):
    listed = studio.get("/api/find/archives").json
    assert listed == {"archives": ["nights"], "sources": ["nights"]}
    about = studio.get("/api/find/archives/nights").json
    assert (about["recordings"], about["seconds"], about["n_gone"]) == (3, 60.0, 0)
    assert about["columns"] == [{"name": "site", "values": ["north", "south"], "n_values": 2}]
    assert studio.get("/api/find/archives/..").status == 404
    assert studio.get("/api/find/archives/none").json["detail"].startswith("There is no archive")


def test_a_search_by_a_clip_finds_what_was_planted(studio):
    reply = search(studio, ids(studio, "owl")[:1], top=3)
    assert reply.status == 200, reply.body
    assert set(spots(reply.json["hits"])) == {
        (p, c) for (p, _), c in nights.PLANTED.items() if c == "owl"
    }
    assert "search" in reply.json["command"] and "--like" in reply.json["command"]
    hit = reply.json["hits"][0]
    assert hit["silent"] is None and not hit["is_own"] and len(hit["id"]) == 16
    at = f"/api/sounds/{hit['id']}"
    assert studio.get(f"{at}/audio?start={hit['start']}&end={hit['end']}").body[:4] == b"RIFF"
    assert studio.get(f"{at}/picture?start=0&end=2").headers["x-seconds"] == "2.000000"
    stretch = {"id": hit["id"], "start": hit["start"], "end": hit["end"]}
    again = search(studio, [stretch], top=1)
    assert spots(again.json["hits"]) == spots([hit]) and again.json["hits"][0]["score"] > 0.9


def test_conditions_and_unlikes_narrow_a_search(studio):
    owl, fox = ids(studio, "owl")[0], ids(studio, "fox")[0]
    south = search(studio, [owl], where=["site=south"], top=1).json
    assert spots(south["hits"]) == [("south/1.wav", "owl")] and "1 recording" in south["said"]
    assert f"{south['windows']:,} windows" not in south["said"]  # which are of all recordings
    unlike = search(studio, [owl], unlike=[{"id": fox}], top=1).json
    assert unlike["hits"][0]["score"] > 0 and "--unlike" in unlike["command"]
    assert (
        "no recording of the archive has a column"
        in search(studio, [owl], where=["sit=a"]).json["detail"].lower()
    )
    assert search(studio, []).status == 422
    assert search(studio, ["0" * 16]).status == 404


def test_what_was_found_becomes_clips_of_the_folder(place, studio):
    hits = search(studio, ids(studio, "fox")[:1], top=2).json["hits"]
    stretches = [{"id": h["id"], "start": h["start"], "end": h["end"]} for h in hits]
    kept = studio.post("/api/find/keep", {"stretches": stretches, "label": "vixen"})
    assert kept.json["said"] == "2 clips were copied into the folder."
    clips = studio.get("/api/clips?label=vixen").json["clips"]
    assert len(clips) == 2 and all(clip["place"].startswith("recordings/") for clip in clips)
    assert soundfile.info(place / "sounds" / clips[0]["place"]).samplerate == nights.RATE_HZ
    assert not list((place / "sounds" / ".studio" / "cut").iterdir())
    for _ in clips:
        assert studio.post("/api/undo").status == 200
    assert studio.get("/api/clips?label=vixen").json["total"] == 0


def ask_round(studio, name, **more):
    asked = {"archive": "nights", "name": name, "who": "Ann", **more}
    return studio.post("/api/find/round", asked)


def test_a_round_asks_for_windows_like_the_clips_of_the_class(place, studio):
    assert "nobody has found an example" in ask_round(studio, "wolf").json["detail"].lower()
    first = ask_round(studio, "Owl").json
    assert first["name"] == "owl" and first["command"].endswith("--class owl")
    windows = first["proposals"]
    assert 0 < len(windows) <= 12 and all(asked["id"] for asked in windows)
    best = max(windows, key=lambda window: window["score"])
    assert nights.class_at(best["path"], best["start"], best["end"]) == "owl"
    asked = {"archive": "nights", "name": "owl", "who": "Ann"}
    for number, window in enumerate(windows):
        is_owl = nights.class_at(window["path"], window["start"], window["end"]) == "owl"
        body = {
            **asked,
            "round": first["round"],
            "number": number,
            "word": "yes" if is_owl else "no",
        }
        assert studio.post("/api/find/answer", body).status == 200
        if number == 0:
            again = ask_round(studio, "owl").json
            assert (
                again["round"] == first["round"] and again["proposals"][0]["answer"] == body["word"]
            )
    second = ask_round(studio, "owl").json
    assert second["round"] != first["round"]
    assert second["standing"]["answers"] == len(windows) + 2  # with the two clips of the folder
    assert second["standing"]["advice"].endswith(".")
    stale = {**asked, "round": first["round"], "number": 0, "word": "yes"}
    assert studio.post("/api/find/answer", stale).status == 409
    undone = studio.post("/api/find/undo", asked).json
    assert undone["round"]["proposals"][undone["number"]]["why"] == "again"
    counts = studio.get("/api/find/archives/nights/labels").json
    assert counts["owl"]["yes"] >= 3 and counts["owl"]["no"] >= 1


def test_an_example_that_is_gone_is_said_and_stops_nobody(place, studio):
    begun = ask_round(studio, "fox").json
    assert begun["notes"] == []
    number, _ = next(
        (number, asked)
        for number, asked in enumerate(begun["proposals"])
        if nights.class_at(asked["path"], asked["start"], asked["end"]) == "fox"
    )
    body = {"archive": "nights", "name": "fox", "who": "Ann", "round": begun["round"]}
    assert studio.post("/api/find/answer", {**body, "number": number, "word": "yes"}).status == 200
    clips = [clip.rename(place / clip.name) for clip in (place / "sounds" / "fox").iterdir()]
    try:
        again = ask_round(studio, "fox", who="Ben")
        assert again.status == 200, again.body
        assert [note.partition(":")[0] for note in again.json["notes"]] == 2 * [
            "An example cannot be heard, and is left out"
        ]
    finally:
        for clip in clips:
            clip.rename(place / "sounds" / "fox" / clip.name)


def test_what_was_only_recorded_does_not_become_a_label(place, studio):
    sound = (place / "sounds" / "owl" / "0.wav").read_bytes()
    tried = studio.upload("now.wav", sound, purpose="try").json["upload"]
    assert spots(search(studio, [tried], top=1).json["hits"])[0][1] == "owl"
    assert studio.get(f"/api/sounds/{tried}/picture").status == 200
    refused = ask_round(studio, "new one", like=[{"id": tried}])
    assert refused.status == 422 and "example" in refused.json["detail"]


def test_only_what_the_command_line_named_may_be_played(tmp_path):
    for name in ("sounds", "field", "other", "field/x"):
        (tmp_path / name).mkdir()
    (tmp_path / "field" / "link").symlink_to(tmp_path / "other")
    sources = Sources(tmp_path / "sounds", (tmp_path / "field", tmp_path / "field" / "x"))
    assert list(sources.named) == ["field", "x"]
    for place, may in (
        ("sounds/a.wav", True), ("field/deep/a.wav", True), ("other/a.wav", False),
        ("field/link/a.wav", False), ("field/../other/a.wav", False), ("fields/a.wav", False),
    ):  # fmt: skip
        assert sources.may_play(str(tmp_path / place)) == may, place
    assert not sources.may_play("s3://bucket/a.wav")
    assert list(Sources(tmp_path, (tmp_path / "a" / "x", tmp_path / "b" / "x")).named) == [
        "x",
        "x 2",
    ]


@pytest.mark.slow
def test_the_process_ends_when_nothing_is_asked_and_comes_back(place, monkeypatch):
    monkeypatch.setattr(finds, "IDLE_S", 0.3)
    with studios.running(place / "sounds", recordings=(place / "nights",)) as studio:
        own = studio.studio.finds
        for _ in range(2):
            assert studio.get("/api/find/archives/nights").json["recordings"] == 3
            end = time.monotonic() + PATIENCE_S
            while own.is_awake:
                assert time.monotonic() < end
                time.sleep(0.02)


@pytest.mark.slow
def test_recordings_outside_are_found_and_not_played(place):
    with studios.running(place / "sounds") as studio:
        hit = search(studio, ids(studio, "owl")[:1], top=1).json["hits"][0]
        assert hit["silent"] == "outside" and hit["id"] == ""
        assert studio.get("/api/find/archives").json["sources"] == []
        refused = studio.post(
            "/api/jobs", {"kind": "index", "choices": {"name": "a", "source": "nights"}}
        )
        assert refused.status == 422 and "--recordings" in refused.json["detail"]


@pytest.mark.slow
def test_a_classifier_is_trained_from_the_labels_of_an_archive(tmp_path):
    pytest.importorskip("earmark.labelling.labelled", reason="archives cannot be trained on yet")
    nights.write_nights(tmp_path / "nights")
    folder = nights.write_examples(tmp_path / "sounds")
    nights.index(tmp_path / "nights", folder / "archives" / "nights")
    with studios.running(folder, recordings=(tmp_path / "nights",)) as studio:
        places = set[str]()  # a class needs three recordings to be tested
        while len(places) < 3:
            shown = ask_round(studio, "owl").json
            for number, window in enumerate(shown["proposals"]):
                label = nights.class_at(window["path"], window["start"], window["end"])
                places |= {window["path"]} if label == "owl" else set()
                body = {"archive": "nights", "name": "owl", "who": "Ann", "round": shown["round"]}
                answer = {**body, "number": number, "word": "yes" if label == "owl" else "no"}
                assert studio.post("/api/find/answer", answer).status == 200
        choices = {"name": "owls", "archive": "nights", "unknown": False, "no_compare": True}
        job = ended(studio, studio.post("/api/jobs", {"kind": "train", "choices": choices}).json)
        assert job["state"] == "done", (job["error"], job["messages"])
        (model,) = studio.get("/api/models").json
        assert model["name"] == "owls" and "owl" in model["labels"] and model["has_report"]
        assert model["changed"] is False
        answer = {**body, "number": 0, "word": "skip"}
        assert studio.post("/api/find/answer", answer).status == 200
        assert studio.get("/api/models").json[0]["changed"] is True


def ended(studio, job):
    """Return a job when it has ended."""
    end = time.monotonic() + 4 * PATIENCE_S
    while job["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.05)
        job = studio.get(f"/api/jobs/{job['id']}").json
    return job


@pytest.mark.slow
def test_own_recordings_become_regions_and_gone_ones_are_said(tmp_path):
    folder = nights.write_examples(tmp_path / "sounds")
    nights.write_nights(folder / "recordings")
    with studios.running(folder) as studio:
        job = studio.post("/api/jobs", {"kind": "index", "choices": {"name": "a"}}).json
        job = ended(studio, job)
        assert job["state"] == "done", job
        assert [stage["name"] for stage in job["stages"]] == ["Listening to the recordings"]
        hits = studio.post(
            "/api/find/search", {"archive": "a", "like": [{"id": ids(studio, "owl")[0]}], "top": 5}
        ).json["hits"]
        long = [hit for hit in hits if "recordings/" in hit["path"]]
        assert long and all(hit["is_own"] for hit in long)
        stretches = [{"id": h["id"], "start": h["start"], "end": h["end"]} for h in long]
        kept = studio.post("/api/find/keep", {"stretches": stretches, "label": "owl"}).json
        assert kept["said"] == f"Labelled {len(long)} clips 'owl'." and kept["undo"]
        with open(folder / "earmark.csv", newline="") as file:
            assert sum(row["start"] != "" for row in csv.DictReader(file)) == len(long)
        os.unlink(folder / long[0]["path"])
        again = studio.post(
            "/api/find/search", {"archive": "a", "like": [{"id": ids(studio, "owl")[0]}], "top": 5}
        ).json["hits"]
        assert {hit["path"]: hit["silent"] for hit in again}[long[0]["path"]] == "gone"
