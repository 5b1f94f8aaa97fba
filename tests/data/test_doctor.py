"""The doctor: each fault planted alone is found alone, and clean data are clean, real ones too."""

import doctest
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from typer.testing import CliRunner

import earmark
from earmark import audio
from earmark.apps.cli.app import app
from earmark.audio.source import SampleSource
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor import (
    Finding,
    Item,
    copies,
    examination,
    examine,
    facts,
    likely_copies,
    near_duplicates,
    recordings,
    tables,
)
from earmark.data.doctor.findings import MOST_NAMED, Names
from earmark.errors import AudioError
from earmark.training import summary
from planted import CLASSES, RATE_HZ, sound
from shared_data import shared_data

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
EACH = 6


@pytest.fixture
def clean(tmp_path):
    """Return clips of three classes in three folds, six each, that nothing is wrong with."""
    clips = []
    for label in CLASSES:
        (tmp_path / label).mkdir()
        for k in range(EACH):
            path = tmp_path / label / f"{k}.wav"
            soundfile.write(path, sound(label, k), RATE_HZ)
            clips.append(Clip(path, label, fold=str(k % 3 + 1)))
    return clips


def write(clip: Clip, x: np.ndarray, rate_hz: int = RATE_HZ, **options) -> None:
    soundfile.write(clip.path, x, rate_hz, **options)


def read(clip: Clip) -> np.ndarray:
    return soundfile.read(clip.path)[0]


def added(clips: list[Clip], like: Clip, suffix: str = ".wav", **changes) -> Clip:
    """Add a clip beside ``like``, in its class and fold unless changed; its file is for later."""
    path = like.path.with_name(f"added{suffix}")
    clips.append(replace(like, path=path, **changes))
    return clips[-1]


def diagnosed(clips: list[Clip]) -> dict[str, tuple[str, set[Path]]]:
    """Return severity and files of each finding by its kind."""
    findings = earmark.doctor(Dataset(tuple(clips), "made here"))
    assert len({f.kind for f in findings}) == len(findings)
    assert all(f.kind in PAGE for f in findings)
    return {f.kind: (f.severity, {clip.path for clip in f.clips}) for f in findings}


def test_clean_data_have_no_findings(clean):
    assert diagnosed(clean) == {}
    unfolded = [replace(clip, fold=None) for clip in clean]
    assert diagnosed(unfolded) == {}
    assert diagnosed([replace(clip, group=clip.path.stem) for clip in unfolded]) == {}


# One recording that something is wrong with.


def break_header(clip):
    clip.path.write_bytes(b"RIFF....")


def empty(clip):
    write(clip, np.zeros(0))


def no_bytes(clip):
    clip.path.write_bytes(b"")


def cut_file(clip):
    whole = clip.path.read_bytes()
    clip.path.write_bytes(whole[: len(whole) // 2])


def silence(clip):
    write(clip, np.zeros(2 * RATE_HZ))


def almost_silence(clip):
    write(clip, 1e-4 * read(clip), subtype="FLOAT")  # a peak of -86 dB


def dead_input(clip):
    write(clip, np.full(2 * RATE_HZ, 1e-3))


def clip_samples(clip):
    write(clip, 0.7 * np.clip(4 * read(clip), -0.5, 0.5))


def shift(clip):
    write(clip, read(clip) + 0.02)


def shorten(clip):
    write(clip, read(clip)[: RATE_HZ // 3])


def lengthen(clip):
    write(clip, sound(clip.label, 77, seconds=9))


def opposite(clip):
    x = read(clip)
    write(clip, np.stack([x, -x + 0.001 * np.roll(x, 99)], 1))


def other_rate(clip):
    write(clip, soxr.resample(read(clip), RATE_HZ, 22_050), 22_050)


def telephone(clip):
    x = sound(clip.label, 78, rate_hz=5_000)
    write(clip, soxr.resample(x, 5_000, RATE_HZ))


@pytest.mark.parametrize(
    ("plant", "kind", "severity"),
    [
        (break_header, "unreadable", "error"),
        (empty, "empty", "error"),
        (no_bytes, "empty", "error"),
        (cut_file, "incomplete", "warning"),
        (silence, "silent", "warning"),
        (almost_silence, "silent", "warning"),
        (dead_input, "silent", "warning"),
        (clip_samples, "clipped", "warning"),
        (shift, "DC offset", "note"),
        (shorten, "much shorter", "warning"),
        (lengthen, "much longer", "warning"),
        (opposite, "opposite phase", "warning"),
        (other_rate, "mixed sample rates", "note"),
        (telephone, "narrow band", "note"),
    ],
)
@pytest.mark.parametrize("label", ["hiss", "knock"])
def test_a_fault_of_one_recording_is_found_and_nothing_else(clean, plant, kind, severity, label):
    victim = next(clip for clip in clean if clip.label == label)
    plant(victim)
    assert diagnosed(clean) == {kind: (severity, {victim.path})}


@pytest.mark.parametrize(
    ("plant", "trait"),
    [
        (shift, "with a DC offset"),
        (other_rate, "at 22050 Hz"),
        (telephone, "with a narrow band"),
    ],
)
def test_a_trait_of_one_class_only_is_a_warning(clean, plant, trait):
    for clip in clean:
        if clip.label == "hiss":
            plant(clip)
            if plant is telephone:
                write(
                    clip,
                    soxr.resample(
                        sound("hiss", int(clip.path.stem), rate_hz=5_000), 5_000, RATE_HZ
                    ),
                )
    (finding,) = examine(Dataset(tuple(clean), "made here"))
    assert finding.severity == "warning" and len(finding.clips) == EACH
    assert finding.advice.startswith(
        f"All 6 clips {trait} are 'hiss': the model could learn the recorder instead of the sound;"
    )


def test_a_trait_names_the_share_of_the_classes_that_have_it():
    def advice(*rates_of: tuple[str, int, int]) -> str:
        """Each class has so many clips at 8 kHz, and so many at 16 kHz."""
        made = [
            facts.Facts(Clip(Path(f"{label}{rate}{k}"), label), rate_hz=rate, seconds=1, peak=1)
            for label, *counts in rates_of
            for rate, count in zip((8_000, 16_000), counts, strict=True)
            for k in range(count)
        ]
        (finding,) = recordings.check(made, Names([f.clip for f in made]))
        assert finding.severity == ("warning" if "model" in finding.advice else "note")
        return finding.advice.partition(":")[0]

    assert advice(("a", 4, 1), ("b", 1, 9)) == "4 of the 5 clips at 8000 Hz are 'a'"
    assert advice(("a", 1, 0), ("b", 0, 5)) == "The only clip at 8000 Hz is 'a'"
    many = [(label, 0, 5) for label in "cdefgh"]
    assert advice(("a", 5, 0), ("b", 5, 0), *many) == "All 10 clips at 8000 Hz are 'a' or 'b'"
    assert advice(("a", 3, 2), ("b", 1, 9)).startswith("the most frequent rate is 16000 Hz")


def test_why_a_recording_cannot_be_read_is_told_once(clean):
    for clip, content in zip(clean, (b"", b"RIFF...."), strict=False):
        clip.path.write_bytes(content)
    unreadable, empty = examine(Dataset(tuple(clean), "made here"))
    assert unreadable.items[0].detail.startswith("hiss/1.wav: cannot be read: not audio in a kn")
    assert empty.items[0].detail.startswith("hiss/0.wav: the file is empty (0 bytes); copy it ")
    assert not any(finding.items[0].detail.endswith(".") for finding in (unreadable, empty))


def test_a_high_rate_takes_no_more_memory():
    spectra = facts.Spectra(9_000_000)
    assert len(spectra.window) == 2**16
    spectra.add(np.random.default_rng(0).normal(size=2_500_000).astype(np.float32))
    power, bands = spectra.finish()
    assert np.isfinite(power).all() and len(bands) > 5
    assert facts._band_hz(power, 9_000_000) is None


def test_an_error_that_is_kept_keeps_no_samples(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.full(9, np.nan), 8_000, subtype="FLOAT")
    error = facts.listen(Clip(tmp_path / "x.wav"), audio.AS_IT_IS).error
    assert "9 samples are NaN" in str(error)
    assert error.__traceback__ is error.__context__ is error.__cause__ is None


# The same sound twice.


def copied(x):
    return x, {}


def as_flac(x):
    return x, {"suffix": ".flac"}


def as_stereo(x):
    return np.stack([x, x], 1), {}


def softer(x):
    return 0.25 * x, {}


def louder(x):
    return np.clip(1.9 * x, -1, 1), {}


def inverted(x):
    return -x, {}


def trimmed(x):
    return x[3_210:-3_001], {}


def ogg(x):
    return x, {"suffix": ".ogg", "format": "OGG", "compression_level": 0.7}


def mp3(x):
    return x, {"suffix": ".mp3", "format": "MP3", "compression_level": 0.7}


def all_together(x):
    return 0.5 * x[3_333:], {"suffix": ".mp3", "format": "MP3", "compression_level": 0.5}


EXACT = (copied, as_flac, as_stereo)
NEAR = (softer, louder, inverted, trimmed, ogg, mp3, all_together)


@pytest.mark.parametrize("label", CLASSES)
@pytest.mark.parametrize("change", [*EXACT, *NEAR])
def test_the_same_sound_is_found_and_marked_by_what_it_crosses(clean, change, label):
    near = "" if change in EXACT else "near "
    first = next(clip for clip in clean if clip.label == label)
    other = next(name for name in CLASSES if name != label)
    x, options = change(read(first))
    twin = added(clean, first, options.pop("suffix", ".wav"))
    write(twin, x, **options)
    both = {first.path, twin.path}
    assert diagnosed(clean) == {f"{near}copies": ("note", both)}
    clean[-1] = replace(twin, fold="2")
    assert diagnosed(clean) == {f"{near}leak": ("warning" if near else "error", both)}
    clean[-1] = replace(twin, label=other)
    assert diagnosed(clean) == {f"{near}label conflict": ("error", both)}
    unfolded = [replace(clip, fold=None) for clip in clean[:-1]]
    unfolded.append(replace(twin, fold=None))
    assert diagnosed(unfolded) == {f"{near}copies": ("warning" if near else "note", both)}
    grouped = [replace(clip, group=f"{clip.path.stem}") for clip in unfolded]
    assert set(diagnosed(grouped)) == {f"{near}leak"}


def test_copies_are_not_counted_as_near_copies_too(clean):
    for k, change in enumerate((copied, as_flac, softer)):
        x, options = change(read(clean[0]))
        suffix = options.pop("suffix", ".wav")
        path = clean[0].path.with_name(f"copy{k}{suffix}")
        clean.append(replace(clean[0], path=path))
        write(clean[-1], x, **options)
    found = diagnosed(clean)
    assert found["copies"][1] == {clean[i].path for i in (0, -3, -2)}
    assert found["near copies"][1] == {clean[0].path, clean[-1].path}


def test_stretches_of_one_recording_may_overlap(clean):
    clips = [replace(clip, end=1.5) for clip in clean]
    clips += [replace(clip, start=0.2) for clip in clean]
    assert diagnosed(clips) == {}


def test_two_pieces_of_one_recording_that_share_a_part_leak(clean):
    x = sound("hiss", 99, seconds=2.7)
    write(clean[0], x[: 2 * RATE_HZ])
    write(clean[1], x[-2 * RATE_HZ :])
    (finding,) = examine(Dataset(tuple(clean), "made here"))
    assert finding.kind == "near leak"
    assert finding.items[0].detail == "hiss/0.wav (hiss) ~ hiss/1.wav (hiss), 1.3 s: folds 1, 2"


# The table.


def test_one_recording_in_two_folds(clean):
    whole = clean[0]
    clean[0:1] = [replace(whole, end=1.0), replace(whole, start=1.0, fold="2")]
    assert diagnosed(clean) == {"parted recording": ("error", {whole.path})}
    clean[1] = replace(clean[1], fold="1")
    assert diagnosed(clean) == {}
    split = [replace(clip, split="test" if clip.fold == "1" else "train") for clip in clean]
    split[1] = replace(split[1], split="train")
    assert diagnosed(split) == {"parted recording": ("error", {whole.path})}


def test_one_group_in_two_folds(clean):
    grouped = [replace(clip, group=f"day {clip.fold}") for clip in clean]
    assert diagnosed(grouped) == {}
    grouped[0] = replace(grouped[0], group="day 3")
    assert list(diagnosed(grouped)) == ["parted group"]


def test_a_class_that_is_in_one_group_or_fold_only(clean):
    grouped = [replace(c, fold=None, group="x" if c.label == "hiss" else c.fold) for c in clean]
    hiss = {clip.path for clip in clean if clip.label == "hiss"}
    assert diagnosed(grouped) == {"class equals group": ("error", hiss)}
    folded = [replace(c, fold="1" if c.label == "hiss" else c.fold) for c in clean]
    assert diagnosed(folded) == {"class in one fold": ("error", hiss)}
    split = [replace(c, split="test" if c.label == "hiss" else "train") for c in clean]
    assert list(diagnosed(split)) == ["class in one split"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Chirp", "similar labels"), ("chi rp", "similar labels"), ("-chirp_", "similar labels"),
        ("chrip", "similar spelling"), ("chirps", "similar spelling"), ("chip", None),
        ("chimp", "similar spelling"), ("shirp", None), ("chrips", None),
    ],
)  # fmt: skip
def test_names_of_one_class(name, kind):
    def kinds(rare: int) -> dict[str, set[str]]:
        count = {"chirp": 12, "hiss": 12, name: rare}
        clips = [Clip(Path(f"{label}{k}"), label) for label in count for k in range(count[label])]
        found = tables.check_classes(Dataset(tuple(clips), ""))
        return {f.kind: {str(clip.label) for clip in f.clips} for f in found}

    assert kinds(6) == ({kind: {name}} if kind else {})
    assert set(kinds(7)) == ({kind} if kind == "similar labels" else set())


def test_names_that_only_look_alike():
    for a, b in (("1_0", "10"), ("class 1", "class 2"), ("tree", "three"), ("house", "mouse")):
        clips = [Clip(Path(f"{a} {k}"), a) for k in range(2 * EACH)]
        clips += [Clip(Path(f"{b} {k}"), b) for k in range(EACH)]
        assert list(tables.check_classes(Dataset(tuple(clips), ""))) == []


def test_small_and_rare_classes(clean):
    few = [c for c in clean if c.label != "hiss" or int(c.path.stem) < 4]
    small = {c.path for c in few if c.label == "hiss"}
    assert diagnosed(few) == {"small class": ("warning", small)}
    unfolded = [replace(clip, fold=None) for clip in few]  # `train` would refuse these
    assert diagnosed(unfolded) == {"small class": ("error", small)}
    one = [c for c in few if c.label != "hiss"] + [
        replace(c, fold="1") for c in few if c.label == "hiss"
    ][:1]
    assert diagnosed(one)["small class"][0] == "error"
    many = [Clip(Path(f"a{k}"), "a") for k in range(60)] + [
        Clip(Path(f"b{k}"), "b") for k in range(6)
    ]
    (finding,) = tables.check_classes(Dataset(tuple(many), ""))
    assert (finding.kind, finding.severity) == ("imbalance", "warning")
    assert {clip.label for clip in finding.clips} == {"b"}
    assert not list(tables.check_classes(Dataset(tuple(many[1:]), "")))


def test_several_classes_a_clip(clean):
    both = [replace(clip, label="hiss;chirp") if clip.label == "hiss" else clip for clip in clean]
    assert examine(Dataset(tuple(both), "made here", separator=";"), near=False) == []


# What is measured.


def test_facts_of_a_known_signal(tmp_path):
    t = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 100 * t).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", np.stack([0.5 * tone + 0.1, tone], 1), 44_100)
    told = facts.listen(Clip(tmp_path / "x.wav"), audio.AS_IT_IS)
    assert (told.seconds, told.rate_hz) == (1.0, 44_100)
    assert told.peak == pytest.approx(1.0, abs=1e-3)
    assert told.offset == pytest.approx(0.1, abs=1e-4)
    assert told.clipped == 0.0  # a pure tone at full scale is not clipped
    assert told.mix == pytest.approx(1.8, abs=0.05)  # 2 * (0.75**2 / 2 + 0.05**2) / (...)


def bands(x, rate_hz):
    spectra = facts.Spectra(rate_hz)
    spectra.add(x)
    return spectra.finish()[1]


@pytest.mark.parametrize("rate_hz", [8_000, 44_100])
def test_a_tone_is_in_the_band_that_holds_it(rate_hz):
    t = np.arange(rate_hz) / rate_hz
    edges_hz = near_duplicates.BAND_EDGES_HZ
    for band, hz in enumerate((edges_hz[:-1] + edges_hz[1:]) / 2):
        x = np.sin(2 * np.pi * hz * t).astype(np.float32)
        assert (bands(x, rate_hz).argmax(1) == band).all()


def test_clipping_is_measured_where_it_is():
    def clipped(x):
        clip = Clip(Path("x"), recording=SampleSource.of(x, 16_000))
        return facts.listen(clip, audio.AS_IT_IS).clipped

    x = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    for limit in (1.0, 2.0, 2.8):
        truth = float(np.mean(np.abs(x) >= limit))
        assert clipped(np.clip(x, -limit, limit)) == pytest.approx(truth, rel=0.1)
    assert clipped(x) == 0.0


@pytest.mark.parametrize("duty", [0.2, 0.8])
def test_a_whistle_over_soft_noise_is_no_narrow_band(tmp_path, duty):
    t = np.arange(3 * 44_100) / 44_100
    hz = 2_800 + 200 * np.sin(2 * np.pi * 1.3 * t)
    x = 0.3 * np.sin(2 * np.pi * np.cumsum(hz) / 44_100) * (t % 1 < duty)
    x += 1e-3 * np.random.default_rng(0).normal(size=len(t))
    soundfile.write(tmp_path / "x.wav", x, 44_100)
    assert facts.listen(Clip(tmp_path / "x.wav"), audio.AS_IT_IS).band_hz is None
    low = soxr.resample(soxr.resample(x, 44_100, 12_000), 12_000, 44_100)
    soundfile.write(tmp_path / "x.wav", low, 44_100)
    told = facts.listen(Clip(tmp_path / "x.wav"), audio.AS_IT_IS)
    assert told.band_hz == pytest.approx(5_700, abs=400)


def test_a_long_clip_is_measured_as_a_short_one(tmp_path, monkeypatch):
    """It is decoded twice, in blocks, and what is measured does not depend on their ends."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.01, 0.2, (700_001, 3)).clip(-0.5, 0.5).astype(np.float32)
    soundfile.write(tmp_path / "x.flac", x, 44_100)
    clip = Clip(tmp_path / "x.flac", start=0.5, end=15.2)
    short = facts.listen(clip, audio.AS_IT_IS)
    monkeypatch.setattr(facts, "KEPT_SAMPLES", 1_000)
    monkeypatch.setattr("earmark.audio.libsndfile.BLOCK_SAMPLES", 30_001)
    long = facts.listen(clip, audio.AS_IT_IS)
    assert short.clipped > 0.005 and short.offset == pytest.approx(0.01, abs=0.002)
    assert (long.content, long.seconds, long.clipped) == (short.content, 14.7, short.clipped)
    assert np.array_equal(long.sketch, short.sketch) and long.band_hz == short.band_hz
    assert (long.peak, long.offset) == pytest.approx((short.peak, short.offset), rel=1e-6)
    assert long.mix == pytest.approx(short.mix, rel=1e-5) == pytest.approx(1, abs=0.1)


def test_of_long_clips_the_beginnings_are_compared(tmp_path, monkeypatch):
    for module in (facts, copies, near_duplicates):
        monkeypatch.setattr(module, "NEAR_S", 5.0)
    monkeypatch.setattr(copies, "WAVEFORMS", 3 * 5 * 4 * near_duplicates.RATE_HZ)
    x = np.random.default_rng(0).normal(0, 0.1, 20 * 8_000)
    clips = []
    for k, part in enumerate([x, 0.5 * x[4_000:], x[::-1], x[90_000:]]):
        soundfile.write(tmp_path / f"{k}.wav", part, 8_000)
        clips.append(Clip(tmp_path / f"{k}.wav", "ab"[k % 2]))
    findings = examine(Dataset(tuple(clips), "x"))
    (near,) = [f for f in findings if f.kind.startswith("near")]
    assert near.clips == tuple(clips[:2])
    waveform = copies.waveforms(clips, audio.AS_IT_IS)
    assert [len(waveform(k)) for k in (0, 1, 2, 3, 0)] == [5 * near_duplicates.RATE_HZ] * 5


def test_long_clips_are_sampled_and_still_found():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 120 * near_duplicates.RATE_HZ)).astype(np.float32)

    def sketch(x):
        return near_duplicates.sketch(bands(x, near_duplicates.RATE_HZ))

    waveforms = [x, y, 0.3 * x[77_777:]]
    (pair,) = near_duplicates.find([sketch(w) for w in waveforms], lambda i: waveforms[i])
    assert (pair.first, pair.second) == (0, 2)
    assert pair.shared_s == pytest.approx(len(waveforms[2]) / near_duplicates.RATE_HZ, abs=1)


# What is shown.


def test_table_and_json_and_exit_code(clean, tmp_path):
    victims = [clip for clip in clean if clip.label == "knock"][: MOST_NAMED + 1]
    for clip in victims:
        write(clip, np.zeros(2 * RATE_HZ))
    done = CliRunner().invoke(app, ["doctor", str(tmp_path)])
    assert done.exit_code == 0 and done.output.splitlines() == [
        "warning  silent                   4 clips  nothing is above -80 dB of full scale: remove"
        " them, or make silence a class.",
        "           knock/0.wav",
        "           knock/1.wav",
        "           and 2 more; --json lists all",
        "18 clips, 3 classes, 1 finding",
    ]
    told = json.loads(CliRunner().invoke(app, ["doctor", str(tmp_path), "--json"]).output)
    (finding,) = told["findings"]
    assert told["clips"] == 18 and set(finding) == {"kind", "severity", "advice", "clips", "items"}
    assert [clip["path"] for clip in finding["clips"]] == [str(clip.path) for clip in victims]
    assert finding["items"][0] == {"detail": "knock/0.wav", "clips": finding["clips"][:1]}
    shutil.copy(clean[0].path, tmp_path / "chirp" / "hiss.wav")
    done = CliRunner().invoke(app, ["doctor", str(tmp_path), "--quick"])
    assert done.exit_code == 1
    assert done.output.startswith(
        "error    label conflict           2 clips  the same sound has several"
    )
    assert "  chirp/hiss.wav (chirp) = hiss/0.wav (hiss)\n" in done.output


def test_train_says_what_matters_in_three_lines(clean):
    shutil.copy(clean[0].path, clean[6].path)  # hiss/0 is now chirp/0 as well
    for name, some in (("Chirp", slice(6, 9)), ("CHIRP", slice(9, 12)), ("knocks", slice(12, 14))):
        clean[some] = [replace(clip, label=name) for clip in clean[some]]
    dataset = Dataset(tuple(clean), "made here")
    training = earmark.train(dataset, backbone="logmel", head="prototype")
    kinds = [finding.kind for finding in training.findings]
    assert kinds == ["label conflict", "similar labels", "small class", "similar spelling"]
    told = summary.training_json(training, None)
    assert [finding.line() for finding in training.findings] == told["warnings"]
    text = summary.training_text(training, None)
    shown = [line for line in text.splitlines() if line.startswith("  finding")]
    assert len(shown) == 3 and shown[2].endswith("and 2 more; `earmark doctor` lists them all.")
    assert "hiss/0.wav (hiss) = chirp/0.wav (Chirp)" in shown[0]


def test_train_says_nothing_of_clean_data(clean):
    dataset = Dataset(tuple(clean), "made here")
    embeddings = np.random.default_rng(0).normal(size=(len(clean), 7))
    contents, fold = np.arange(len(clean)), np.arange(len(clean)) % 3
    found = examination.before_training(dataset, dataset.clips, contents, embeddings, fold, 2)
    assert found == []


def test_train_counts_only_the_near_copies_that_it_tests(clean):
    dataset = Dataset((*clean[:4], replace(clean[4], group="a"), replace(clean[5], group="a")), "")
    a, b, c, d, e, f = dataset.clips
    pairs = [copies.Copied(a, b, 1.0), copies.Copied(c, d, 1.0), copies.Copied(e, f, 1.0)]
    found = list(likely_copies.check(dataset, dataset.clips, pairs, np.array([0, 1, 0, 0, 0, 0])))
    assert [(f.kind, f.clips) for f in found] == [("near leak", (a, b)), ("near copies", (c, d))]
    assert likely_copies.leaking_sets(found) == "1 set of near copies"


@pytest.mark.parametrize(("fold", "count"), [(("1", "2"), 1), (("1", "1"), 0)])
def test_train_mentions_near_copies_and_the_folds_they_are_in(clean, tmp_path, fold, count):
    x = sound("chirp", 0)
    for k, changed in enumerate((0.3 * x, np.convolve(x, [0.6, 0.4], "same")[4_000:])):
        soundfile.write(tmp_path / f"near{k}.flac", changed, RATE_HZ)
    near = [Clip(tmp_path / f"near{k}.flac", "chirp", fold=fold[k]) for k in range(2)]
    dataset = Dataset((*clean, *near), "made here")
    network = "speech-embedding"
    training = earmark.train(dataset, backbone=network, head="prototype", compare=False)
    (finding,) = training.findings
    same = {clean[EACH].path, *(clip.path for clip in near)}
    assert {clip.path for clip in finding.clips} == same and len(finding.items) == 1
    assert likely_copies.leaking_sets(training.findings) == (
        "1 set of near copies" if count else None
    )
    line = finding.line()
    assert "`earmark doctor DATA --fix -o clean.csv` puts each set into one group" in line
    if count:
        assert (finding.kind, finding.severity) == ("near leak", "warning")
        assert "1 set is both trained on and tested, so the estimate is too high" in line
    else:
        assert (finding.kind, finding.severity) == ("near copies", "note")
    assert line in summary.training_json(training, None)["warnings"]


def test_train_hears_each_pair_once(clean, tmp_path, monkeypatch):
    """A warm store knows the pairs; a damaged row, or a clip that was gone, is compared again."""
    soft, gone = Clip(tmp_path / "soft.flac", "chirp"), Clip(tmp_path / "gone.flac", "chirp")
    for clip, gain in ((soft, 0.3), (gone, 0.1)):
        soundfile.write(clip.path, gain * sound("chirp", 0), RATE_HZ)
    heard = []
    beginning = copies._beginning

    def noting(clip, options):
        heard.append(clip.path)
        if clip == gone and gone_until[0] > 0:
            raise AudioError(str(clip.path), "it is gone", "missing")
        return beginning(clip, options)

    monkeypatch.setattr(copies, "_beginning", noting)
    dataset = Dataset((*clean, soft, gone), "made here")
    gone_until, runs = [1], []
    with earmark.Store(tmp_path / "s.sqlite") as store:
        for damage in ("", "", "UPDATE compared SET shared_s = 0", "DELETE FROM compared", ""):
            heard.clear()
            store._db.execute(damage or "SELECT 1")
            training = earmark.train(
                dataset, backbone="logmel", head="prototype", compare=False, store=store
            )
            gone_until[0] -= 1
            (found,) = [f for f in training.findings if f.kind.startswith("near")]
            runs.append((len(found.items[0].clips), len(set(heard))))
    alone = len(clean) + 2
    assert [sounds for sounds, _ in runs] == [2, 3, 3, 3, 3]
    assert runs[0][1] == alone and 0 < runs[1][1] < alone  # pairs of what was gone
    assert 0 < runs[2][1] < alone  # those whose digest does not fit: what was 0 stays so
    assert runs[3][1] == alone and runs[4][1] == 0


def test_the_example_in_the_docs_of_the_doctor_is_true():
    tried = doctest.testmod(examination)
    assert tried.attempted > 0 and not tried.failed


def test_the_doctor_reads_what_a_dataset_reads(clean, tmp_path):
    steps = []
    progress = SimpleNamespace(advance=steps.append)
    assert earmark.doctor(tmp_path, near=False, progress=progress) == []
    assert steps == [2.0] * len(clean)
    with pytest.raises(earmark.EarmarkError, match="is a folder and has no columns"):
        earmark.doctor(Dataset.read(tmp_path, group="speaker"))


def test_clips_without_labels_are_listened_to(clean):
    for clip in clean:
        shift(clip)
    bare = [replace(clip, label=None) for clip in clean]
    assert diagnosed(bare) == {"DC offset": ("note", {clip.path for clip in clean})}


def test_a_finding_is_shown_in_one_line():
    a, b = Clip(Path("a.wav"), "x"), Clip(Path("b.wav"), "x")
    finding = Finding("silent", "warning", (Item((a,), "a.wav"), Item((b,), "b.wav")), "remove.")
    assert repr(finding) == "<Finding: warning, silent, 2 clips: remove.>"
    assert finding.line() == f"silent: {finding.summary()}" == "silent: a.wav and 1 more: remove."
    assert "1 clip " in Finding("silent", "warning", (Item((a,), "a.wav"),), "remove.").text()


# Real recordings.


@pytest.mark.slow
def test_what_is_true_of_esc10():
    """Each was looked into: docs/doctor.md."""
    dataset = Dataset.read(shared_data("esc10") / "meta.csv")
    found = {f.kind: {clip.path.stem for clip in f.clips} for f in examine(dataset)}
    assert found == {
        "near leak": {"3-151080-A", "5-151085-A"},
        "near copies": {"2-28314-A", "2-30322-A"},
        "narrow band": {
            "1-17367-A", "1-26806-A", "1-34119-A", "1-34119-B", "2-140147-A", "3-155312-A",
            "4-204618-A",
        },
    }  # fmt: skip


@pytest.mark.slow
def test_what_is_true_of_spoken_digits():
    dataset = Dataset.read(shared_data("fsdd") / "meta.csv", group="speaker")
    found = {f.kind: f for f in examine(dataset, near=False)}
    assert set(found) == {"DC offset", "much longer"}
    assert {clip.group for clip in found["DC offset"].clips} == {"nicolas"}
    assert len(found["DC offset"].clips) == 500
    assert {c.path.stem for c in found["much longer"].clips} == {"7_theo_36", "9_theo_16"}


@pytest.mark.slow
def test_words_said_again_by_one_speaker_are_no_copies():
    dataset = Dataset.read(shared_data("fsdd") / "meta.csv", group="speaker")
    clips = tuple(clip for clip in dataset if clip.group in ("george", "yweweler"))
    kinds = {f.kind for f in examine(replace(dataset, clips=clips))}
    assert not {kind for kind in kinds if kind.startswith("near")}


def test_of_many_clips_training_compares_some_and_says_so(clean, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_000, 40)).astype(np.float32)
    x[500:520] = x[480:500] + 0.01  # twenty copies, twenty rows later
    every = likely_copies._alike(x, np.arange(1_000), 2_000)
    monkeypatch.setattr(likely_copies, "BLOCK", 7)
    monkeypatch.setattr(likely_copies, "COSINES", 5_000)
    assert (likely_copies._alike(x, np.arange(1_000), 2_000) == every).all()
    assert {(k, k + 20) for k in range(480, 500)} <= set(map(tuple, every.tolist()))
    assert likely_copies._alike(x, np.arange(1_000), 40).tolist() == [
        [k, k + 20] for k in range(480, 500)
    ]

    monkeypatch.setattr(likely_copies, "MOST_CLIPS", 200)
    rows = likely_copies._runs(1_000)
    assert len(set(rows.tolist())) == 200 and (np.diff(rows) == 1).sum() >= 198
    assert list(likely_copies.unseen(np.arange(200))) == []
    (finding,) = likely_copies.unseen(np.arange(1_000) // 2)
    assert finding.line() == (
        "near copies: 200 of 500 different clips were compared: there may be more near copies;"
        " `earmark doctor DATA` compares all clips."
    )
