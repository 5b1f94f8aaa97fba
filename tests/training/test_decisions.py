"""From scores to decisions: several labels a clip, unequal classes, unknown sounds, growth."""

import csv
import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import earmark
from command_line import earmark as ended
from earmark.apps.cli.app import app
from earmark.classifier.targets import Targets, balanced_weights
from earmark.data.dataset import Dataset
from earmark.errors import EarmarkError
from earmark.training import heads, learning_curve
from earmark.training.evaluation import evaluate
from earmark.training.inner import Average, Candidate
from earmark.training.unknown import find_threshold
from toy import blobs, search_of

RATE_HZ = 16_000
GOOD = Average((Candidate("linear", "good", 3e-3),))
GOOD_BALANCED = Average((Candidate("linear", "good", 3e-3, balanced=True),))
TONES_HZ = {"low": 300.0, "middle": 1_000.0, "high": 4_000.0}


def write_chord(path, names, seed):
    rng = np.random.default_rng(seed)
    t = np.arange(RATE_HZ // 2) / RATE_HZ
    x = 0.01 * rng.normal(size=len(t))
    for name in names:
        x += rng.uniform(0.1, 0.3) * np.sin(2 * np.pi * TONES_HZ[name] * t + rng.uniform(0, 6))
    soundfile.write(path, x, RATE_HZ)


def run(*arguments):
    """Run ``earmark ARGUMENTS`` and return what it prints."""
    return ended(*arguments).stdout


def read_csv(text):
    return list(csv.DictReader(text.splitlines()))


@pytest.fixture(scope="module")
def chords(tmp_path_factory):
    """A manifest of 56 clips with any of three tones, or two or three of them at once."""
    folder = tmp_path_factory.mktemp("chords")
    sets = [["low"], ["middle"], ["high"], ["low", "high"], ["low", "middle"], list(TONES_HZ)]
    sets.append(["middle", "high"])
    with open(folder / "meta.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        for k in range(56):
            write_chord(folder / f"{k}.wav", sets[k % 7], k)
            table.writerow([f"{k}.wav", ";".join(sets[k % 7])])
    return folder / "meta.csv"


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_several_labels_are_heard_at_once(chords, tmp_path, head):
    dataset = Dataset.read(chords, separator=";")
    training = earmark.train(dataset, backbone="logmel", head=head)
    estimate = training.classifier.estimate
    assert (
        estimate.mean_average_precision > 0.95
        and estimate.macro_f1 > 0.9
        and estimate.accuracy > 0.95
    )
    assert estimate.headline["name"] == "macro_f1" and estimate.verdict["word"] == "use"
    training.classifier.save(tmp_path / "m.earmark")
    loaded = earmark.Classifier.load(tmp_path / "m.earmark")
    assert loaded.estimate == estimate
    write_chord(tmp_path / "both.wav", ["low", "high"], 99)
    write_chord(tmp_path / "one.wav", ["middle"], 98)
    both, one = loaded.predict([tmp_path / "both.wav", tmp_path / "one.wav"])
    assert set(both.labels) == {"low", "high"} and one.labels == ("middle",)
    assert sum(both.scores.values()) > 1.3  # each score stands by itself
    again = evaluate(loaded, dataset, include_known=True)
    assert again.figures["macro_f1"] > 0.95
    assert {tuple(sorted(a.split(";"))) for _, _, a in again.answers(loaded.labels)} == {
        tuple(sorted(label.split(";"))) for _, label, _ in again.answers(loaded.labels)
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"head": "prototype"}, "head 'prototype' is for clips with one class each"),
        ({"unknown": 0.05}, "'unknown' needs at least 3 classes"),
    ],
)
def test_what_several_labels_cannot_have_is_refused(chords, options, text):
    with pytest.raises(EarmarkError, match=text):
        earmark.train(Dataset.read(chords, separator=";"), backbone="logmel", **options)


def test_several_labels_are_scored_on_what_they_were_learned_from(chords, tmp_path):
    model, train = tmp_path / "m", ("train", chords, "--backbone", "logmel", "--head", "linear")
    run(*train, "--separator", ";", "-o", model, "--no-compare")
    scored = json.loads(run("evaluate", model, chords, "--json", "--include-known"))
    assert scored["map"] > 0.95 and "answered_unknown" not in scored
    assert (
        evaluate(earmark.Classifier.load(model), chords, include_known=True).figures["map"]
        == scored["map"]
    )
    other = chords.with_name("other.csv")
    other.write_text(chords.read_text().replace(";", "+"))
    again = json.loads(
        run("evaluate", model, other, "--separator", "+", "--json", "--include-known")
    )
    assert again["map"] == scored["map"]
    frame = Dataset(Dataset.read(chords, separator=";").clips, "a frame", ";")  # without an origin
    made = earmark.train(frame, backbone="logmel", head="linear", compare=False)
    assert made.classifier.separator == ";"


def test_one_answer_a_clip_is_not_held_against_several(chords):
    several = Dataset.read(chords, separator=";")
    singles = Dataset(tuple(c for c in several if len(several.classes(c)) == 1), "tones")
    made = earmark.train(singles, backbone="logmel", head="linear", compare=False).classifier
    assert (
        made.separator is None
        and evaluate(made, singles, include_known=True).figures["accuracy"] == 1.0
    )
    with pytest.raises(EarmarkError, match="has clips with several classes, but the classifier pr"):
        evaluate(made, several)


def test_the_report_of_several_labels_has_a_page_and_the_plain_files(chords, tmp_path):
    command = ["train", str(chords), "--separator", ";", "--backbone", "logmel", "--head", "linear"]
    command += ["-o", str(tmp_path / "m"), "--report", str(tmp_path / "r")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "mAP" in done.stdout and "report.html" in done.stderr
    assert {p.name for p in (tmp_path / "r").iterdir()} == {
        "summary.json",
        "answers.csv",
        "confusion.csv",
        "report.html",
    }
    assert "the predicted classes are exactly" in (tmp_path / "r" / "report.html").read_text()


# Unequal classes


def test_balancing_wins_where_a_rare_class_is_drowned():
    """Two overlapping classes, 20 to 1: unweighted, least squares never answers the rare one."""
    rng = np.random.default_rng(0)
    truth = (np.arange(420) % 21 == 0).astype(int)
    x = (rng.normal(size=(420, 5)) + 1.5 * truth[:, None]).astype(np.float32)
    fold = np.arange(420) // 21 % 5
    search = search_of({"x": x}, truth, 2, fold, kinds=("linear",), balanced=True)
    assert search.choose().best.members[0].balanced
    answers = search.out_of_fold().argmax(1)
    plain = search_of({"x": x}, truth, 2, fold, kinds=("linear",)).out_of_fold().argmax(1)
    assert (answers[truth == 1] == 1).mean() > (plain[truth == 1] == 1).mean() + 0.3


def test_balanced_weights_let_each_class_count_the_same():
    of = np.eye(3)[[0, 0, 0, 0, 1, 1, 2]]
    weights = balanced_weights(of)
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights @ of, weights.sum() / 3)


# Unknown


def test_the_border_lets_in_as_many_strangers_as_asked_for():
    features, truth, fold = blobs(size=400, noise=0.6)
    search = search_of(features, truth, 4, fold)
    strict, lax = (find_threshold(search, GOOD, r) for r in (0.05, 0.3))
    assert 0.01 < strict.accepted <= 0.05 < lax.accepted <= 0.3
    assert strict.below > lax.below and strict.answered < lax.answered
    # classes that nobody has seen, as far from the others as they are from each other
    rng = np.random.default_rng(7)
    head = heads.fit("linear", features["good"], Targets.single(truth, 4), 3e-3)
    strangers = rng.normal(0, 0.6, (60, 20, 20)) + rng.normal(0, 1, (60, 1, 20))
    familiar = head.known_score(strangers.reshape(-1, 20).astype(np.float32))
    assert (familiar >= strict.below).mean() < 0.15


def test_the_border_is_that_of_the_balanced_head():
    features, truth, fold = blobs(size=400, noise=1.0)
    kept = (truth != 0) | (np.arange(400) % 40 == 0)
    x, truth, fold = features["good"][kept], truth[kept], fold[kept]
    search = search_of({"good": x}, truth, 4, fold)
    plain, balanced = (
        find_threshold(search, GOOD_BALANCED if b else GOOD, 0.2) for b in (False, True)
    )
    assert plain.below != balanced.below


def test_far_out_nothing_is_familiar():
    """Least squares is surest of what lies furthest out; known_score is not."""
    features, truth, _ = blobs(size=200, noise=0.5)
    head = heads.fit("linear", features["good"], Targets.single(truth, 4), 3e-3)
    far = 1_000 * np.random.default_rng(1).normal(size=(50, 20)).astype(np.float32)
    assert head.logits(far).max(1).min() > 10
    assert head.known_score(far).max() < np.median(head.known_score(features["good"])) + 0.5


def test_a_stranger_is_called_unknown(tmp_path):
    for label in TONES_HZ:
        (tmp_path / "data" / label).mkdir(parents=True)
        for k in range(8):
            write_chord(tmp_path / "data" / label / f"{k}.wav", [label], k)
    model, files = tmp_path / "m.earmark", [tmp_path / "tone.wav", tmp_path / "noise.wav"]
    training = earmark.train(tmp_path / "data", backbone="logmel", head="prototype", unknown=0.05)
    assert training.classifier.estimate.unknown["rate"] == 0.05
    training.classifier.save(model)
    write_chord(files[0], ["high"], 50)
    soundfile.write(files[1], np.random.default_rng(0).normal(0, 0.2, 8_000), RATE_HZ)
    tone, noise = earmark.Classifier.load(model).predict(files, coverage=0.9)
    assert (tone.answer, tone.label, tone.labels) == ("high", "high", ("high",))
    assert (noise.answer, noise.label, noise.labels) == ("unknown", "unknown", ())
    assert not tone.is_unknown and noise.is_unknown
    assert tone.nearest == "high" and noise.nearest == max(
        noise.scores, key=noise.scores.__getitem__
    )

    told = list(map(json.loads, run("predict", model, *files, "--json").splitlines()))
    rows = read_csv(run("predict", model, *files, "--csv", "--coverage", 0.9))
    assert [t["label"] for t in told] == [row["label"] for row in rows] == ["high", "unknown"]
    assert "nearest" not in told[0] and told[1]["nearest"] == noise.nearest
    assert [row["plausible"] for row in rows] == [";".join(p.plausible) for p in (tone, noise)]
    assert rows[0]["plausible"] == "high"

    (tmp_path / "new.csv").write_text(
        f"path,label\ntone.wav,high\nnoise.wav,{noise.nearest}\ndata/low/0.wav,low\n"
    )
    scoring = ("evaluate", model, tmp_path / "new.csv", "--no-store", "--include-known")
    report = tmp_path / "report"
    scored = json.loads(run(*scoring, "--json", "--report", report))
    assert (scored["accuracy"], scored["clips"], scored["answered_unknown"]) == (1.0, 3, 1)
    assert [r["answer"] for r in read_csv((report / "answers.csv").read_text())] == [
        "high",
        "unknown",
        "low",
    ]
    assert "1 of 3 clips would be predicted unknown" in run(*scoring)


@pytest.mark.parametrize(
    ("classes", "rate", "text"),
    [(2, 0.05, "one class each. The data has 2 classes."), (4, 5.0, "the rate of .unknown. is 5.")],
)
def test_impossible_borders_are_refused(classes, rate, text):
    features, truth, fold = blobs()
    search = search_of(features, truth % classes, classes, fold)
    with pytest.raises(EarmarkError, match=text):
        find_threshold(search, GOOD, rate)


# Growth


def test_the_learning_curve_rises_to_the_estimate():
    features, truth, fold = blobs(size=320, noise=1.2)
    search = search_of(features, truth, 4, fold)
    curve = learning_curve.learning_curve(search, GOOD)
    sizes = [point["clips_per_class"] for point in curve]
    assert sizes == [1, 2, 4, 8, 16, 32, 64]
    assert curve[0]["accuracy"] + 0.1 < curve[-1]["accuracy"]
    assert all(point["low"] <= point["accuracy"] <= point["high"] for point in curve)
    outer = search_of({"good": features["good"]}, truth, 4, fold, kinds=("linear",))
    whole = (outer.out_of_fold().argmax(1) == truth).mean()
    assert curve[-1]["accuracy"] == pytest.approx(whole, abs=0.03)


def test_doubling_is_read_off_a_power_law():
    curve = [{"clips_per_class": n, "accuracy": 1 - 0.4 * n**-0.5} for n in (1, 2, 4, 8, 16, 32)]
    expected = 0.4 * (32**-0.5 - 64**-0.5)
    assert learning_curve.gain_of_doubling(curve) == pytest.approx(expected, rel=1e-3)
    later = learning_curve.gain_of_doubling(curve, accuracy=1 - 0.4 * 256**-0.5)
    assert later == pytest.approx(0.4 * (256**-0.5 - 512**-0.5), rel=1e-3)
    assert learning_curve.gain_of_doubling(curve, accuracy=1.0) == 0
    assert learning_curve.gain_of_doubling(curve[:2]) is None


def test_a_test_split_has_no_part_in_the_border(tmp_path):
    """Other labels in the test split change what is scored, and nothing that is deployed."""
    names, rows = list(TONES_HZ), []
    for k in range(36):
        label, split = names[k % 3], "test" if k >= 27 else "train"
        write_chord(tmp_path / f"{k}.wav", [label], k)
        rows.append([f"{k}.wav", label, split])
    made = []
    for shift in (0, 1):
        with open(tmp_path / f"{shift}.csv", "w", newline="") as file:
            csv.writer(file).writerow(["path", "label", "split"])
            for k, (path, label, split) in enumerate(rows):
                told = names[(k + shift) % 3] if split == "test" else label
                csv.writer(file).writerow([path, told, split])
        made.append(earmark.train(tmp_path / f"{shift}.csv", backbone="logmel", unknown=0.1))
    one, other = (training.classifier for training in made)
    assert (one.estimate.accuracy, other.estimate.accuracy) == (1.0, 0.0)
    assert one.decision_rule.unknown_threshold == other.decision_rule.unknown_threshold
    assert one.calibration == other.calibration
    for name, tensor in one.head.tensors.items():
        np.testing.assert_array_equal(tensor, other.head.tensors[name])
