"""How many events an archive has: strata, intervals that cover, samples that are read back."""

import csv
import io
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earmark as package
from command_line import earmark
from earmark.classifier.detector import Detector
from earmark.embeddings.archive import Archive, ArchiveRecording
from earmark.embeddings.archive_writer import ArchiveWriter
from earmark.errors import DataError, ModelError
from earmark.labelling.density import apply, draw, draw_rows
from earmark.labelling.density_estimate import estimate
from earmark.labelling.density_frame import Frame
from earmark.labelling.density_sample import settings_path
from earmark.labelling.labelled import labelled_dataset
from earmark.labelling.labels import labels_of
from earmark.labelling.strata import allocate, edges_of, run_lengths, steps_of, strata_of
from earmark.labelling.window_scores import ScoredWindows
from labelled_nights import NIGHTS, STARTS, classes_at, index, label_windows, make_nights

pytest.importorskip("pyarrow")
N = 6_000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """An archive with labels, and a classifier of owls that was trained on them."""
    root = tmp_path_factory.mktemp("density")
    archive = make_nights(root)
    label_windows(archive, "owl")
    earmark("train", archive, "-o", root / "m", "--backbone", "logmel", "--no-compare")
    return root


def fill_in(path: Path, keep: int | None = None) -> None:
    """Answer a table of a sample truly; from row ``keep`` on, not at all."""
    rows = list(csv.DictReader(path.open()))
    for number, row in enumerate(rows):
        own = row["suggested"] in classes_at(float(row["start"]), float(row["end"]))
        if keep is None or number < keep:
            row["decision"] = "yes" if own else "no"
    write_rows(path, rows)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def counted(made: Path, sample: Path, *options: object) -> dict:
    done = earmark("density", made / "archive", made / "m", "--apply", sample, "--json", *options)
    return json.loads(done.stdout)


def drawn(made: Path, sample: Path, *options: object) -> dict:
    done = earmark("density", made / "archive", made / "m", "-o", sample, "--json", *options)
    return json.loads(done.stdout)


def test_all_windows_answered_give_the_truth_without_an_interval(made, tmp_path):
    told = drawn(made, tmp_path / "s.csv", "--size", "200")
    assert told["windows"] == told["drawn"] == 6 * 20 and told["class"] == "owl"
    fill_in(tmp_path / "s.csv")
    told = counted(made, tmp_path / "s.csv", "--group", "site")
    assert told["windows"] == {"value": 12.0, "ci95": [12.0, 12.0]}
    assert [told["events"]["value"], *told["events"]["ci95"]] == pytest.approx([12.0] * 3)
    assert told["events_per_hour"]["value"] == pytest.approx(12 / (120 / 3600))
    assert told["answered"] == 120 and told["skipped"] == 0 and told["notes"] == []
    assert [(own["group"], own["windows"]["value"]) for own in told["groups"]] == [
        ("a", 4.0), ("b", 4.0), ("c", 4.0)
    ]  # fmt: skip
    text = earmark("density", made / "archive", made / "m", "--apply", tmp_path / "s.csv").stdout
    assert "windows that touch are one event" in text and "12 (95 % interval 12 to 12)" in text


def test_a_sample_has_its_chances_and_is_drawn_again_with_its_seed(made, tmp_path):
    told = drawn(made, tmp_path / "s.csv", "--size", "40", "--seed", "3")
    drawn(made, tmp_path / "t.csv", "--size", "40", "--seed", "3")
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert rows == list(csv.DictReader((tmp_path / "t.csv").open())) and len(rows) == told["drawn"]
    assert sum(1 / float(row["chance"]) for row in rows) == pytest.approx(120)
    places = {(row["path"], float(row["start"])) for row in rows}
    assert len(places) == len(rows) and all(start == int(start) for _, start in places)
    fill_in(tmp_path / "s.csv", keep=30)
    told = counted(made, tmp_path / "s.csv")
    low, high = told["windows"]["ci95"]
    assert low <= 12 <= high and low < high and told["answered"] == 30
    assert any("without an answer are left out" in note for note in told["notes"])


def test_scores_are_those_of_the_stored_embeddings(made):
    classifier = package.load(made / "m")
    with Archive(made / "archive") as archive:
        scored = ScoredWindows.of(archive, classifier)
        odds = scored.log_odds("owl")
        windows = archive.windows()
        starts = windows.numbers * windows.network.hop_s
        has = np.isin(starts, STARTS["owl"])
        near = np.array([bool(classes_at(start, start + 1.0)) for start in starts.tolist()])
        assert has.sum() == 12 and odds[has].min() > odds[~near].max()
        few = np.arange(len(odds)) % 7 == 0
        assert np.allclose(scored.only(few).log_odds("owl"), odds[few], atol=1e-4)


def test_strata_and_shares():
    scores = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    edges = edges_of(scores)
    sizes = np.bincount(strata_of(scores, edges))
    assert sizes.tolist() == [15_000, 3_750, 938, 234, 78] and sizes.sum() == 20_000
    counts = allocate(sizes, 200)
    assert counts.sum() == 200 and counts.min() >= 5 and (np.diff(counts) < 0).all()
    assert edges_of(np.zeros(1_000, np.float32)) == [0.0]
    assert strata_of(np.zeros(9, np.float32), [0.0]).tolist() == [0] * 9  # equal scores together
    assert allocate(np.array([6, 3]), 200).tolist() == [6, 3]
    assert (steps_of(1.0, 0.5), steps_of(0.96, 0.48), steps_of(1.0, 0.3), steps_of(1, 1)) == (
        2, 2, 4, 1
    )  # fmt: skip
    numbers, contents = np.array([0, 2, 4, 8, 10, 0, 2]), np.array([1, 1, 1, 1, 1, 2, 2])
    assert run_lengths(numbers, contents, 2).tolist() == [3, 3, 3, 2, 2, 2, 2]


def made_frame(rng: np.random.Generator, prevalence: float, separation: float):
    has = rng.permutation(np.arange(N) < round(prevalence * N))
    scores = (rng.standard_normal(N) + separation * has).astype(np.float32)
    recordings = {
        n: ArchiveRecording("d", str(n), str(n), n, 600.0, columns={"site": str(n % 3)})
        for n in range(10)
    }
    contents, numbers = np.arange(N) // 600, np.arange(N) % 600 * 2
    return has, Frame(contents, numbers, scores, recordings, 1.0, 0.5, "made")


@pytest.mark.parametrize("prevalence", [0.002, 0.02, 0.2])
def test_intervals_cover_the_truth(prevalence):
    """A quick version of benchmarks/density.py: 24 intervals of 95 %."""
    covered = 0
    for seed in range(24):
        rng = np.random.default_rng([seed, round(1_000 * prevalence)])
        has, frame = made_frame(rng, prevalence, (1.0, 3.0)[seed % 2])
        edges, rows, chances, _ = draw_rows(frame.scores, 200, seed)
        assert (1 / chances).sum() == pytest.approx(N)
        result = estimate(frame, edges, {row: bool(has[row]) for row in rows.tolist()}, seed)
        covered += result.windows.low <= has.sum() <= result.windows.high
        assert result.windows.low < result.windows.high  # strata without a hit have a width
    assert covered >= 21


def test_a_sample_without_a_hit_says_how_many_there_may_be():
    has, frame = made_frame(np.random.default_rng(0), 0.0, 0.0)
    edges, rows, _, _ = draw_rows(frame.scores, 200, 0)
    result = estimate(frame, edges, dict.fromkeys(rows.tolist(), False), group="site")
    assert not has.any() and result.windows.value == result.windows.low == 0.0
    assert 0.01 * N < result.windows.high < 0.05 * N
    assert all(own.windows.low == 0 < own.windows.high for own in result.groups)


def test_windows_that_touch_are_one_event():
    """Long events: six windows each, half as long as what is between them."""
    has, frame = made_frame(np.random.default_rng(0), 0.0, 0.0)
    has = np.arange(N) % 20 < 6
    scores = (np.random.default_rng(1).standard_normal(N) + 8.0 * has).astype(np.float32)
    frame = Frame(frame.contents, frame.numbers, scores, frame.recordings, 1.0, 0.5, "made")
    edges, rows, _, _ = draw_rows(scores, 300, 0)
    result = estimate(frame, edges, {row: bool(has[row]) for row in rows.tolist()})
    assert result.windows.low <= has.sum() <= result.windows.high
    assert result.events.low <= has.sum() / 6 <= result.events.high < has.sum() / 4
    assert not result.notes
    poor = np.random.default_rng(2).standard_normal(N).astype(np.float32)
    frame = Frame(frame.contents, frame.numbers, poor, frame.recordings, 1.0, 0.5, "made")
    edges, rows, _, _ = draw_rows(poor, 300, 0)
    result = estimate(frame, edges, {row: bool(has[row]) for row in rows.tolist()})
    assert result.is_rough and "the number of events is rough" in result.notes[0]
    previous = frame.before(rows[has[rows]])
    asked = {row: bool(has[row]) for row in previous.tolist() if row >= 0}
    begun = estimate(frame, edges, {row: bool(has[row]) for row in rows.tolist()}, before=asked)
    assert not begun.is_rough and begun.windows == result.windows and not begun.notes
    assert begun.events.low <= has.sum() / 6 <= begun.events.high < result.events.value
    few = dict(list(asked.items())[:20])
    begun = estimate(frame, edges, {row: bool(has[row]) for row in rows.tolist()}, before=few)
    assert "the one before has no answer" in begun.notes[0]


def test_answers_go_before_the_scores_of_neighbours():
    """All windows were answered, and the scores say nothing."""
    has = np.arange(N) % 20 < 6
    frame = made_frame(np.random.default_rng(0), 0.0, 0.0)[1]
    result = estimate(frame, edges_of(frame.scores), dict(enumerate(has.tolist())))
    assert result.windows.value == has.sum() and result.events.value == pytest.approx(has.sum() / 6)


def test_what_people_may_do_to_a_table(made, tmp_path):
    sample = tmp_path / "s.csv"
    drawn(made, sample, "--size", "60")
    fill_in(sample)
    rows = list(csv.DictReader(sample.open()))
    own = next(row for row in rows if row["decision"] == "yes")
    foreign = rows[0] | {"start": "0.5", "end": "1.5"}
    write_rows(sample, [*rows, own | {"decision": "no"}, foreign, rows[1] | {"suggested": "tit"}])
    told = counted(made, sample)
    strange, contradicting, skipped = told["notes"]
    assert "were not drawn, or ask for another class: rows" in strange
    assert "contradict each other: rows" in contradicting
    assert told["answered"] == len(rows) - 1 and "1 window of the sample" in skipped
    skips = [row | {"decision": "skip"} for row in rows]
    write_rows(sample, [*skips, foreign])
    said = earmark("density", made / "archive", made / "m", "--apply", sample, expect=2).stderr
    assert "no answer that counts" in said and "Write yes or no" in said
    assert "left out, because they were not drawn" in said


def test_the_windows_before_are_written_and_read(made, tmp_path):
    sample, before = tmp_path / "s.csv", tmp_path / "b.csv"
    drawn(made, sample, "--size", "60")
    fill_in(sample)
    told = counted(made, sample, "-o", before)
    rows = list(csv.DictReader(io.StringIO(before.read_text())))
    asked = {(row["path"], float(row["start"]) + 1.0) for row in rows}
    hits = {
        (row["path"], float(row["start"]))
        for row in csv.DictReader(io.StringIO(sample.read_text()))
        if row["decision"] == "yes"
    }
    assert (
        told["before"] == str(before)
        and asked <= hits
        and not before.with_suffix(".density.json").exists()
    )
    assert all(row["chance"] == "" and row["suggested"] == "owl" for row in rows)
    assert all(len(row["content"]) == 16 for row in rows)
    fill_in(before)
    told = counted(made, sample, "--before", before)
    low, high = told["events"]["ci95"]
    assert not told["is_rough"] and low <= 12 <= high and told["before"] is None
    write_rows(before, [*rows, rows[0] | {"start": "0.0", "end": "1.0", "decision": "yes"}])
    told = counted(made, sample, "--before", before)
    assert any("b.csv: left out" in note for note in told["notes"])
    said = earmark(
        "density", made / "archive", made / "m", "--apply", sample, "-o", before, expect=2
    )
    assert "already exists" in said.stderr


def test_a_sample_of_another_model_class_or_archive_is_refused(made, tmp_path):
    sample = tmp_path / "s.csv"
    drawn(made, sample, "--size", "40")
    fill_in(sample)
    classifier = package.load(made / "m")
    options = ("--backbone", "logmel", "--no-compare", "--head", "prototype", "--layers", "last")
    earmark("train", made / "archive", "-o", tmp_path / "other", *options)
    with Archive(made / "archive") as archive:
        with pytest.raises(DataError, match="is a sample of 'owl', not of 'tit'"):
            apply(archive, classifier, sample, "tit")
        with pytest.raises(DataError, match="was drawn with another model"):
            apply(archive, package.load(tmp_path / "other"), sample)
        beside = settings_path(sample)
        kept = beside.read_text()
        beside.write_text(kept.replace('"archive": "', '"archive": "0'))
        with pytest.raises(DataError, match="was drawn from another archive"):
            apply(archive, classifier, sample)
        for damaged in ("", "{}", kept.replace('"edges": [', '"edges": ["x", '), "[" * 10_000):
            beside.write_text(damaged)
            with pytest.raises(DataError, match="is damaged, or is not the file"):
                apply(archive, classifier, sample)
        beside.unlink()
        with pytest.raises(DataError, match="Keep the two files together"):
            apply(archive, classifier, sample)


def test_an_archive_that_changes_after_the_drawing(tmp_path, made):
    """Recordings that come later are not counted; of those that are gone, no answer is."""
    shutil.copytree(made / "nights", tmp_path / "nights")
    shutil.copy(made / "sites.csv", tmp_path)
    index(tmp_path)
    sample = tmp_path / "s.csv"
    archive = tmp_path / "archive"
    earmark("density", archive, made / "m", "-o", sample, "--size", "200")
    fill_in(sample)
    (tmp_path / "nights" / NIGHTS[0]).unlink()
    (tmp_path / "nights" / NIGHTS[1]).rename(tmp_path / "nights" / "renamed.wav")
    x = (tmp_path / "nights" / NIGHTS[2]).read_bytes()
    (tmp_path / "nights" / "later.wav").write_bytes(x[:200_000])
    index(tmp_path)
    done = earmark("density", archive, made / "m", "--apply", sample, "--json")
    told = json.loads(done.stdout)
    assert told["windows"]["value"] == 10.0 and told["n_windows"] == 100
    assert any("gone or has changed" in note for note in told["notes"])
    assert any("1 recording that came after the drawing" in note for note in told["notes"])
    other = ("--window", "0.5", "--hop", "0.25")
    earmark("index", tmp_path / "nights", "-o", archive, "--backbone", "logmel", *other)
    again = json.loads(earmark("density", archive, made / "m", "--apply", sample, "--json").stdout)
    assert again["windows"] == told["windows"]  # the windows of the drawing, not the last ones


def test_models_that_do_not_fit_an_archive(made, tmp_path, monkeypatch):
    classifier = package.load(made / "m")
    with Archive(made / "archive") as archive:
        with pytest.raises(ModelError, match="has no class 'owls'. Did you mean 'owl'"):
            draw(archive, classifier, "owls", tmp_path / "s.csv", 40)
        use = classifier.backbones[0]
        old = use.fingerprint.replace("logmel/", "logmel/9")
        other = package.Classifier(
            **{**vars(classifier), "backbones": (type(use)(use.name, old, use.layers),)}
        )
        with pytest.raises(ModelError, match="was trained with logmel/9.*Run `earmark index`"):
            draw(archive, other, "owl", tmp_path / "s.csv", 40)
        assert not (tmp_path / "s.csv").exists()


def test_a_detector_is_taken_if_its_windows_fit(made, tmp_path):
    classifier = package.load(made / "m")
    with Archive(made / "archive") as archive:
        for window_s, fits in ((0.9, True), (0.24, False)):
            detector = replace(classifier, detector=Detector(window_s, 0.1, False, {}, {}))
            path = tmp_path / f"{window_s}.csv"
            if fits:
                assert draw(archive, detector, "owl", path, 40)[0] == 120
                continue
            with pytest.raises(ModelError, match="trained on windows of 0.24 s"):
                draw(archive, detector, "owl", path, 40)


def test_an_archive_without_a_recording_that_is_there(made, tmp_path):
    shutil.copytree(made / "archive", tmp_path / "archive")
    with sqlite3.connect(tmp_path / "archive" / "archive.sqlite") as db:
        db.execute("UPDATE recording SET is_gone = 1")
    classifier = package.load(made / "m")
    with (
        Archive(tmp_path / "archive") as archive,
        pytest.raises(DataError, match="has no window to draw"),
    ):
        draw(archive, classifier, "owl", tmp_path / "s.csv", 40)


def test_an_empty_archive(made, tmp_path):
    with ArchiveWriter(tmp_path / "empty"):
        pass
    classifier = package.load(made / "m")
    with (
        Archive(tmp_path / "empty") as archive,
        pytest.raises(ModelError, match="has no network. Run `earmark index`"),
    ):
        draw(archive, classifier, "owl", tmp_path / "s.csv", 40)
    with pytest.raises(DataError, match="has no window with a class"):
        labelled_dataset(tmp_path / "empty")


def test_options_that_exclude_each_other(made, tmp_path):
    arguments = ("density", made / "archive", made / "m")
    for options, said in (
        ((), "give -o SAMPLE.csv to draw"),
        (("-o", tmp_path / "s.csv", "--before", "t.csv"), "--before needs --apply"),
        (("--apply", "t.csv", "--size", "9"), "--size needs -o"),
        (("-o", tmp_path / "s.csv", "--group", "site"), "--group needs --apply"),
        (("-o", tmp_path / "s.csv", "--size", "3"), "--size is 3. Give 20 to 100,000"),
        (("-o", tmp_path / "s.txt"), "is not the name of a .csv"),
        (("-o", tmp_path / "s.csv", "--class", "owls"), "has no class 'owls'"),
        (("--apply", tmp_path / "no.csv"), "does not exist"),
    ):
        assert said in earmark(*arguments, *options, expect=2).stderr
    assert labels_of(made / "archive").is_file() and not list(tmp_path.iterdir())
    assert (
        "is not an archive"
        in earmark("density", tmp_path, made / "m", "-o", "s.csv", expect=2).stderr
    )
    drawn(made, tmp_path / "s.csv", "--size", "20")
    assert "already exists" in earmark(*arguments, "-o", tmp_path / "s.csv", expect=2).stderr


@pytest.mark.slow
def test_a_classifier_of_two_networks_needs_both_with_the_same_windows(made, tmp_path):
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    label_windows(make_nights(tmp_path), "owl")
    archive, both = tmp_path / "archive", "logmel,speech-embedding"
    options = ("--backbone", both, "--layers", "last", "--no-compare")
    earmark("train", archive, "-o", tmp_path / "m", *options)
    classifier = package.load(tmp_path / "m")
    where = ("index", tmp_path / "nights", "-o", archive)
    with Archive(archive) as opened, pytest.raises(ModelError, match="--backbone speech-embedding"):
        ScoredWindows.of(opened, classifier)
    earmark(*where, "--backbone", "speech-embedding")
    with Archive(archive) as opened, pytest.raises(ModelError, match="windows of another length"):
        ScoredWindows.of(opened, classifier)
    earmark(*where, "--backbone", "logmel", "--window", "0.96", "--hop", "0.48")
    with Archive(archive) as opened:
        scored = ScoredWindows.of(opened, classifier)
        odds, starts = scored.log_odds("owl"), scored.windows.numbers[scored.rows] * 0.48
        assert len(odds) == len(opened.windows(opened.network("speech-embedding"))) == 246
    near = np.array([classes_at(start, start + 0.96) == {"owl"} for start in starts.tolist()])
    far = np.array([not classes_at(start, start + 0.96) for start in starts.tolist()])
    assert np.median(odds[near]) > np.quantile(odds[far], 0.95)
