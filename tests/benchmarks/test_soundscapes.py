"""The soundscapes that detectors are measured on: what their truth says is what sounds in them."""

import csv
import filecmp
import importlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared_data import shared_data

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RATE_HZ = 1_000
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def laying():
    return imported("laying")


@pytest.fixture(scope="module")
def soundscapes():
    return imported("soundscapes")


@pytest.fixture(scope="module")
def digits(soundscapes, tmp_path_factory):
    """Two minutes of digits of one speaker, very loud, without 3 and 7 in training."""
    shared_data("fsdd"), shared_data("forest")
    out = tmp_path_factory.mktemp("digits") / "a"
    soundscapes.main(digits_of(out, "--snr", "40", "--overlap", "0.3"))
    return out


def imported(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module(name)


def digits_of(out, *options):
    options = ("--leave-out", "3,7", *options)
    return ["digits", str(out), "--speaker", "lucas", "--minutes", "2", *options]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def track(path):
    lines = (line.split("\t") for line in path.read_text().splitlines())
    return [(float(start), float(end), label) for start, end, label in lines]


def test_sounding_is_what_is_at_most_30_db_below_the_loudest_frame(laying):
    x = np.zeros(1_005)
    x[100:200] = 1
    x[250:300] = 10 ** (-29 / 20)
    x[500:600] = 10 ** (-31 / 20)
    x[900:] = -1
    assert laying.sounding(x, RATE_HZ, 0.05) == [(100, 200), (250, 300), (900, 1_005)]
    assert laying.sounding(x, RATE_HZ, 0.051) == [(100, 300), (900, 1_005)]
    assert laying.sounding(x, RATE_HZ, math.inf) == [(100, 1_005)]


def test_silence_has_no_sound_and_long_sounds_are_cut(laying):
    assert laying.sounds_of(np.zeros(500), RATE_HZ, 1.0, "a", "a.wav") == []
    (sound,) = laying.sounds_of(np.ones(7_000), RATE_HZ, 1.0, "a", "a.wav")
    assert len(sound.x) == 5_000


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(50, 5_000), min_size=1, max_size=30),
    overlap=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_every_sound_is_laid_once_and_only_company_overlaps(laying, lengths, overlap, seed):
    sounds = [laying.Sound(np.ones(n), "abc"[k % 3], str(k)) for k, n in enumerate(lengths)]
    rng = np.random.default_rng(seed)
    order = laying.in_turns(sounds, rng)
    parts = list(laying.places(order, RATE_HZ, 15, (0.5, 3.0), overlap, rng))

    assert sorted(int(one.sound.clip) for laid in parts for one in laid) == list(range(len(sounds)))
    for laid in parts:
        assert laid[0].start >= 500 and max(one.end for one in laid) <= 14_500
        sounding = np.zeros(15_000, int)
        for one in laid:
            sounding[one.start : one.end] += 1
        assert sounding.max() <= (2 if overlap else 1)
        for before, after in itertools.pairwise(laid):
            if after.start < before.end:
                assert before.sound.label != after.sound.label
            elif not overlap:
                assert 500 <= after.start - before.end <= 3_000


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(snr_db=st.floats(-10, 60), seed=st.integers(0, 99))
def test_the_ratio_is_as_asked_and_the_background_stays(laying, snr_db, seed):
    rng = np.random.default_rng(seed)
    background = rng.normal(0, 0.03, 2_000) * np.repeat([1, 3], 1_000)
    one = laying.Laid(1_200, laying.Sound(rng.normal(0, 0.5, 300), "a", "a.wav"))
    x = laying.mixed(background, [one], snr_db)

    scale = x[0] / background[0]
    assert scale <= 1 and np.abs(x).max() <= laying.PEAK + 1e-9
    added = x / scale - background
    assert np.abs(np.delete(added, np.s_[1_200:1_500])).max() < 1e-9
    ratio = laying.rms(added[1_200:1_500]) / laying.rms(background)
    assert 20 * np.log10(ratio) == pytest.approx(snr_db, abs=1e-6)
    under = laying.rms(added[1_200:1_500]) / laying.rms(background[1_200:1_500])
    assert laying.snr_at(background, one, snr_db) == pytest.approx(20 * np.log10(under), abs=1e-6)


def test_joined_background_keeps_its_level_at_the_seams(laying):
    rng = np.random.default_rng(0)
    x = laying.joined(iter(rng.normal(0, 1, (5, 3_000))), RATE_HZ, 12_000)
    assert len(x) == 12_000
    assert laying.rms(x[2_500:3_000]) == pytest.approx(1, abs=0.1)


def test_the_same_seed_gives_the_same_bytes(soundscapes, digits, tmp_path):
    soundscapes.main(digits_of(tmp_path / "b", "--snr", "40", "--overlap", "0.3"))
    files = sorted(p.relative_to(digits) for p in digits.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "b") for p in tmp_path.rglob("b/**/*.*"))
    assert filecmp.cmpfiles(digits, tmp_path / "b", files, shallow=False)[1:] == ([], [])
    soundscapes.main(digits_of(tmp_path / "c", "--seed", "1"))
    assert (tmp_path / "c" / "truth.csv").read_bytes() != (digits / "truth.csv").read_bytes()


def test_events_stay_in_place_when_the_ratio_changes(soundscapes, digits, tmp_path):
    soundscapes.main(digits_of(tmp_path / "quiet", "--snr", "0", "--overlap", "0.3"))
    for file in sorted((digits / "test").glob("*.txt")):
        assert (tmp_path / "quiet" / "test" / file.name).read_bytes() == file.read_bytes()


def test_what_sounds_is_what_the_truth_says(digits):
    for file in sorted((digits / "test").glob("*.flac")):
        x, rate_hz = soundfile.read(file)
        assert (len(x), rate_hz) == (60 * 16_000, 16_000)
        known = track(file.with_suffix(".txt"))
        unknown = track(digits / "unknown" / f"{file.stem}.txt")
        inside = np.zeros(len(x), bool)
        for start, end, _ in known + unknown:
            inside[round(start * rate_hz) : round(end * rate_hz)] = True
        level = np.sqrt(np.mean(x[inside] ** 2) / np.mean(x[~inside] ** 2))
        assert 20 * np.log10(level) > 34  # 40 dB over the mean of the whole background
        assert {label for *_, label in known} <= set("01245689")
        assert {label for *_, label in unknown} <= set("37")


def test_each_event_begins_and_ends_with_its_sound(soundscapes, laying, tmp_path):
    shared_data("fsdd"), shared_data("forest")
    soundscapes.main(digits_of(tmp_path / "loud", "--snr", "70"))
    edges = []
    for row in rows(tmp_path / "loud" / "truth.csv"):
        x, rate_hz = soundfile.read(tmp_path / "loud" / row["path"])
        start, end = (round(float(row[key]) * rate_hz) for key in ("start", "end"))
        n = rate_hz // 5
        window = x[start - n : end + n]
        ((first, last),) = laying.sounding(window, rate_hz, math.inf)
        edges.append((abs(first - n), abs(len(window) - n - last)))
    assert np.quantile(edges, 0.9) <= 0.02 * 16_000  # the fades, and frames laid out differently


def test_speakers_classes_and_backgrounds_are_apart(soundscapes, digits, tmp_path):
    manifest = rows(digits / "train" / "manifest.csv")
    assert {row["group"] for row in manifest} == {
        "george",
        "jackson",
        "nicolas",
        "theo",
        "yweweler",
    }
    assert {row["label"] for row in manifest} == set("01245689")
    assert all(Path(row["path"]).is_file() for row in manifest)
    truth = rows(digits / "truth.csv")
    assert all("_lucas_" in row["clip"] for row in truth)
    assert all((row["label"] in "37") == (row["known"] == "0") for row in truth)

    mine, others = soundscapes.halves()
    assert len(mine) == len(others) == 24 and not set(mine) & set(others)
    assert sorted(p.name for p in (digits / "background").iterdir()) == [p.name for p in mine]
    soundscapes.main(digits_of(tmp_path / "swapped", "--swap"))
    swapped = sorted(p.name for p in (tmp_path / "swapped" / "background").iterdir())
    assert swapped == [p.name for p in others]


@pytest.mark.parametrize(("swap", "half"), [(False, 1), (True, 0)])
def test_soundscapes_are_laid_on_the_half_that_does_not_train(
    soundscapes, tmp_path, monkeypatch, swap, half
):
    shared_data("fsdd"), shared_data("forest")
    read = []

    def noted(path, rate_hz):
        read.append(path)
        return np.random.default_rng(0).normal(size=10 * rate_hz)

    monkeypatch.setattr(soundscapes, "waveform", noted)
    monkeypatch.setattr(soundscapes, "sounds_of", lambda x, rate_hz, join_s, *names: [])
    monkeypatch.setattr(soundscapes, "write_rows", lambda path, rows: None)
    soundscapes.main(digits_of(tmp_path / "a", *(["--swap"] if swap else [])))
    forest = [path for path in read if path.parent.name == "forest"]
    assert forest == soundscapes.halves()[half]


def test_folds_of_esc10_are_apart(soundscapes, tmp_path):
    folds = {row["path"]: row["fold"] for row in rows(shared_data("esc10") / "meta.csv")}
    shared_data("forest")
    soundscapes.main(["esc10", str(tmp_path / "a"), "--fold", "2", "--minutes", "1"])
    assert {folds[row["clip"]] for row in rows(tmp_path / "a" / "truth.csv")} == {"2"}
    manifest = rows(tmp_path / "a" / "train" / "manifest.csv")
    assert {row["fold"] for row in manifest} == {"1", "3", "4", "5"} and len(manifest) == 320
    assert soundfile.info(tmp_path / "a" / "test" / "000.flac").samplerate == 22_000


def test_recordings_of_finch_are_apart_and_notes_lie_in_songs(soundscapes, tmp_path):
    shared_data("finch")
    soundscapes.main(["finch", str(tmp_path / "a")])
    train, test = ({p.stem for p in (tmp_path / "a" / s).glob("*.flac")} for s in ("train", "test"))
    assert (len(train), len(test)) == (65, 16) and not train & test
    regions = rows(tmp_path / "a" / "regions.csv")
    for row in rows(tmp_path / "a" / "truth.csv"):
        assert any(
            float(region["start"])
            <= float(row["start"])
            < float(row["end"])
            <= float(region["end"])
            for region in regions
            if region["path"] == row["path"]
        )


def test_hours_without_events(soundscapes, tmp_path, monkeypatch):
    monkeypatch.setattr(soundscapes, "HOUR_S", 120)
    soundscapes.main(["hours", str(tmp_path / "a")])
    x = {p.stem: soundfile.read(p, dtype="int16")[0] for p in (tmp_path / "a").iterdir()}
    assert {name: len(samples) for name, samples in x.items()} == dict.fromkeys(
        ("silence", "hum", "white", "dither"), 120 * 16_000
    )
    assert not x["silence"].any() and np.abs(x["dither"]).max() == 1
    for name in ("hum", "white"):
        level = np.sqrt(np.mean((x[name] / 32767.0) ** 2))
        assert 20 * np.log10(level) == pytest.approx(-30, abs=0.1)
    spectrum = np.abs(np.fft.rfft(x["hum"][: 10 * 16_000].astype(float)))
    assert np.argmax(spectrum) == 500  # 50 Hz, in steps of 0.1 Hz
    assert not np.array_equal(x["white"][: 60 * 16_000], x["white"][60 * 16_000 :])


def test_a_long_recording_repeats_the_soundscapes_with_their_labels(soundscapes, digits, tmp_path):
    out = tmp_path / "a"
    soundscapes.main(["long", str(out), "--of", str(digits), "--hours", "0.0425"])
    x, _ = soundfile.read(out / "0.0425h.flac", dtype="int16")
    first, _ = soundfile.read(digits / "test" / "000.flac", dtype="int16")
    assert len(x) == 153 * 16_000
    assert np.array_equal(x[120 * 16_000 :], first[: 33 * 16_000])
    events = track(out / "0.0425h.txt")
    wanted = [e for e in track(digits / "test" / "000.txt") if e[1] <= 33]
    late = [(round(a - 120, 6), round(b - 120, 6), c) for a, b, c in events if a >= 120]
    assert late == wanted and wanted


def test_wrong_names_and_used_folders_are_refused(soundscapes, tmp_path):
    shared_data("fsdd"), shared_data("forest")
    with pytest.raises(SystemExit, match="No clip has the label 'x'. Choose from 0, 1"):
        soundscapes.main(["digits", str(tmp_path / "a"), "--speaker", "theo", "--leave-out", "x"])
    with pytest.raises(SystemExit, match="No clip has the group 'tho'. Choose from george"):
        soundscapes.main(["digits", str(tmp_path / "a"), "--speaker", "tho"])
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("")
    with pytest.raises(SystemExit, match="used is not empty. Name a new folder."):
        soundscapes.main(["halves", str(tmp_path / "used")])
