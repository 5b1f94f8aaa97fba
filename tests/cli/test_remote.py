"""Commands on recordings that are elsewhere: nothing without --allow-remote."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.embeddings import EmbeddingTable
from object_store import open_store

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def store():
    with open_store() as store:
        yield store


@pytest.fixture(scope="module")
def places(store, tmp_path_factory):
    """Twelve tones here and elsewhere, and a manifest of each."""
    folder, rng = tmp_path_factory.mktemp("remote"), np.random.default_rng(0)
    here, there = ["path,label"], ["path,label"]
    for label, hz in (("high", 1_800), ("low", 240)):
        for k in range(6):
            t = np.arange(RATE_HZ // 2) / RATE_HZ
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=t.size)
            path = folder / f"{label}{k}.wav"
            soundfile.write(path, x, RATE_HZ)
            store.put(path.name, path.read_bytes())
            here.append(f"{path},{label}")
            there.append(f"{store.uri(path.name, ('s3', 'http')[k % 2])},{label}")
    (folder / "here.csv").write_text("\n".join(here) + "\n")
    (folder / "there.csv").write_text("\n".join(there) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(places):
    path = places / "m.earmark"
    earmark("train", places / "here.csv", "-o", path, "--backbone", "logmel", "--no-store")
    return path


@pytest.mark.parametrize(
    "words", ["train DATA -o OUT", "embed DATA -o OUT.npz", "embed DATA -o PARTS",
              "embed DATA --plan", "doctor DATA", "review DATA",
              "compare DATA --backbone logmel,speech-embedding", "predict MODEL DATA",
              "detect MODEL DATA", "evaluate MODEL DATA", "index DATA -o OUT --backbone logmel",
              "tag DATA"],
)  # fmt: skip
def test_no_command_fetches_without_permission(words, store, places, model, tmp_path):
    store.requests.clear()
    names = {"DATA": places / "there.csv", "MODEL": model, "OUT": tmp_path / "out"}
    names |= {"OUT.npz": tmp_path / "out.npz", "PARTS": tmp_path / "parts"}
    done = earmark(*(names.get(word, word) for word in words.split()), expect=2)
    assert "12 of 12 rows name recordings elsewhere" in done.stderr
    assert "Give --allow-remote" in done.stderr
    assert "Traceback" not in done.stderr
    assert store.requests == []
    assert list(tmp_path.iterdir()) == []


def test_results_are_those_of_the_files(places, model, tmp_path):
    allow = "--allow-remote"
    trained = tmp_path / "m.earmark"
    earmark(
        *("train", places / "there.csv", "-o", trained, "--backbone", "logmel", "--no-store", allow)
    )
    answers = []
    for file, network in (("here", model), ("there", trained)):
        done = earmark("predict", network, places / f"{file}.csv", "--csv", allow)
        answers.append([row[1:] for row in csv.reader(done.stdout.splitlines())][1:])
    assert answers[0] == answers[1]
    there = [row.split(",")[0] for row in (places / "there.csv").read_text().split()[1:]]
    assert [row[0] for row in csv.reader(done.stdout.splitlines())][1:] == there
    found = [
        json.loads(earmark("doctor", places / f"{file}.csv", "--json", allow).stdout)
        for file in ("here", "there")
    ]
    assert [f["kind"] for f in found[0]["findings"]] == [f["kind"] for f in found[1]["findings"]]


def test_what_cannot_be_fetched_is_listed(store, places, tmp_path):
    manifest = tmp_path / "m.csv"
    rows = (places / "there.csv").read_text() + f"{store.uri('none.wav')},low\n"
    manifest.write_text(rows)
    out = tmp_path / "out.npz"
    done = earmark("embed", manifest, "-o", out, "--backbone", "logmel", "--allow-remote", expect=1)
    assert f"{store.uri('none.wav')}: does not exist there (404); check the URI." in done.stderr
    places_ = np.load(out)["path"].tolist()
    assert len(places_) == 12
    assert places_[0] == store.uri("high0.wav")


def test_a_plan_fetches_the_sample_and_nothing_else(store, places):
    store.bodies()
    options = ("--backbone", "logmel", "--plan", "--sample", "3", "--allow-remote", "--json")
    plan = json.loads(earmark("embed", places / "there.csv", *options).stdout)
    assert plan["sample"] == len(set(store.bodies())) == 3 and plan["failures"] == 0
    assert plan["work"]["fetch_seconds"] > 0 and plan["seconds"]["value"] == 6.0
    assert plan["others"] and all(other["fetch_seconds"] > 0 for other in plan["others"])


def test_events_name_the_uri(store, places, model, tmp_path):
    uri = store.uri("high0.wav")
    table = tmp_path / "events.csv"
    earmark("detect", model, uri, "--allow-remote", "-o", table)
    rows = list(csv.DictReader(table.open()))
    assert rows and {row["path"] for row in rows} == {uri}


def test_a_list_on_standard_input_may_name_uris(store, model):
    uri = store.uri("high0.wav")
    refused = earmark("predict", model, "-", stdin=f"{uri}\n", expect=2)
    assert f"{uri} is elsewhere. Nothing was fetched." in refused.stderr
    done = earmark("predict", model, "-", "--allow-remote", "--json", stdin=f"{uri}\n")
    assert json.loads(done.stdout)["path"] == uri


def test_a_recording_that_is_not_there_is_named_by_its_uri(store, tmp_path):
    missing, manifest = store.uri("missing.wav", "s3"), tmp_path / "m.csv"
    manifest.write_text(f"path,label\n{missing},a\n")
    quick = ("--backbone", "logmel", "--engine", "torch", "--allow-remote", "--json")
    done = earmark("embed", manifest, "-o", tmp_path / "parts", *quick, expect=1)
    (skipped,) = json.loads(done.stdout)["skipped"]
    assert skipped["path"] == missing and "does not exist there" in skipped["reason"]


def test_parts_of_recordings_elsewhere_have_the_numbers_of_those_here(store, places, tmp_path):
    quick = ("--backbone", "logmel", "--engine", "torch")
    parts, remote = tmp_path / "parts", "--allow-remote"
    earmark("embed", places / "there.csv", "-o", parts, *quick, remote)
    store.requests.clear()
    again = earmark("embed", places / "there.csv", "-o", parts, *quick, remote, "--json")
    assert json.loads(again.stdout)["computed"] == 0 and not store.requests
    earmark("embed", places / "here.csv", "-o", tmp_path / "here", *quick)
    tables = [EmbeddingTable(folder)[:] for folder in (parts, tmp_path / "here")]
    np.testing.assert_array_equal(*tables)
    model = tmp_path / "m.earmark"
    refused = earmark("train", parts, "-o", model, expect=2)
    assert "--allow-remote" in refused.stderr
    earmark("train", parts, "-o", model, remote)


def test_an_archive_of_recordings_elsewhere(store, places, tmp_path):
    index = ("-o", tmp_path / "archive", "--backbone", "logmel", "--allow-remote", "--json")
    first = json.loads(earmark("index", places / "there.csv", *index).stdout)
    assert (first["computed"], first["windows"]) == (12, 12)
    store.requests.clear()
    again = json.loads(earmark("index", places / "there.csv", *index).stdout)
    assert (again["computed"], again["same"]) == (0, 12) and not store.bodies()
    like, search = store.uri("high0.wav"), ("search", tmp_path / "archive", "--like")
    assert "is elsewhere" in earmark(*search, like, expect=2).stderr
    done = earmark(*search, like, "--allow-remote", "--json", "--where", "label=high")
    assert len(done.stdout.splitlines()) == 6
    tracks = ("--tracks", tmp_path / "tracks", "--clips", tmp_path / "clips")
    store.requests.clear()
    done = earmark(*search, places / "low0.wav", "--top", 3, *tracks)
    assert "no clip of" in done.stderr and not store.requests
    earmark(*search, places / "low0.wav", "--top", 3, *tracks, "--allow-remote")
    assert len(list((tmp_path / "clips/found").iterdir())) == 3
