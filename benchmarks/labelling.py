"""Labels in rounds: how good a head is after how many, how honest its figures are, what it costs.

    python benchmarks/labelling.py digits [SEEDS]   # into results/labelling_digits.csv
    python benchmarks/labelling.py rare [SEEDS]     # into results/labelling_rare.csv
    python benchmarks/labelling.py honest [RUNS]    # into results/labelling_honest.csv
    python benchmarks/labelling.py round [WINDOWS]  # into results/labelling_round.csv

`digits`: the clips of four speakers of FSDD are an archive of windows, one of the class is the
example, and the truth answers. A seed holds two speakers out, whose windows the average precision
is of; each of the ten digits is the class in turn, with three examples each. Rivals use the same
head: `margin` asks for the dozen nearest to the threshold, `random` for any dozen.
`rare`: the loudest second of sounds of ESC-10 on `forest`, 0 to 10 dB above it, in recordings of
which one window in 500 has the class. It counts the answers until the windows of the class are
found in that archive (average precision of all its windows 0.9), and in other recordings, of other
clips and other pieces of forest: nine tenths of the average precision that a head of all labels
has. `honest` counts how often the true precision, and the true number of unseen events, are inside
their intervals, after 60 and 100 answers. `round`: a fit and the next dozen among random vectors.
"""

from __future__ import annotations

import contextlib
import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.metrics import average_precision_score

from earmark import audio
from earmark.embeddings import Archive
from earmark.embeddings.archive import ArchiveNetwork, ArchiveRecording, Windows
from earmark.embeddings.window_vectors import Centre, VectorFiles
from earmark.labelling.active import Head, Pool, choose, fit_head
from earmark.labelling.answered import Answered, open_rows, stretches
from earmark.labelling.fitted import Fitted, Learner
from earmark.labelling.standing import Standing, standing_of
from laying import Laid, Sound, faded, joined, rms, sounds_of, write_flac
from machine import describe, earmark, run, shared_data, write

DOZEN = 12
CHECKS = (10, 30, 60, 100)
STRATEGIES = ("earmark", "margin", "random")
RARE = ("dog_bark", "person_sneeze", "rooster", "baby_cry")
COMMON = ("chainsaw", "clock_tick", "fire_crackling", "helicopter", "rain", "sea_waves")
RATE_HZ, PIECE_S, RARE_S = 22_000, 600, 1.0
RARE_WINDOWS, MOST = 12_000, 504  # windows of half a second, and answers
ROWS = 1_024  # of a part


class Oracle:
    """Rounds of one class in which the truth answers."""

    def __init__(
        self, windows: Windows, truth: np.ndarray, groups: np.ndarray, allowed: np.ndarray
    ) -> None:
        self.windows, self.truth, self.groups, self.allowed = windows, truth, groups, allowed
        self.learner = Learner(windows, lambda decision: np.zeros(0))
        self.rows: list[int] = []
        self.chances: list[float] = []

    def known(self) -> Answered:
        """Return the answers so far."""
        rows, none = np.array(self.rows, np.int64), np.zeros(0, np.int64)
        return Answered(
            rows,
            self.truth[rows],
            np.ones(len(rows)),
            np.array(self.chances),
            none,
            (),
            (),
            len(rows),
            len(rows) - 1,
            max(0, int(self.truth[rows].sum()) - 1),
        )

    def fit(self, rng: np.random.Generator) -> Fitted:
        """Fit the head to the answers so far."""
        known = self.known()
        return self.learner.fit(known, open_rows(self.windows, self.allowed, known), rng)

    def ask(self, fitted: Fitted, strategy: str, count: int, rng: np.random.Generator) -> None:
        """Answer the next windows of a strategy."""
        rows = open_rows(self.windows, self.allowed, self.known())
        chances = [np.nan] * count
        if strategy == "random":
            chosen = rng.choice(rows, count, replace=False).tolist()
        elif strategy == "margin":
            chosen = rows[np.argsort(np.abs(fitted.margins[rows]), kind="stable")[:count]].tolist()
        else:
            pool = Pool(rows, fitted.margins[rows], self.groups[rows])
            own = choose(pool, self.windows.vectors_of, count, rng)
            chosen, chances = own.rows, own.chances
        self.rows += chosen
        self.chances += chances

    def standing(self, fitted: Fitted) -> Standing:
        """Return what earmark says."""
        known = self.known()
        rows = open_rows(self.windows, self.allowed, known)
        return standing_of(self.learner, fitted, known, rows)


def labelled(
    oracle: Oracle, first: int, strategy: str, most: int, rng: np.random.Generator
) -> Iterator[tuple[int, Fitted]]:
    """Yield the number of answers beside the example and the head, before the first round too."""
    oracle.rows, oracle.chances = [first], [np.nan]
    while True:
        fitted, answers = oracle.fit(rng), len(oracle.rows) - 1
        yield answers, fitted
        if answers >= most:
            return
        ahead = [check - answers for check in CHECKS if check > answers]
        oracle.ask(fitted, strategy, min([DOZEN, most - answers, *ahead]), rng)


@contextlib.contextmanager
def digits_archive() -> Iterator[tuple[Windows, np.ndarray, np.ndarray]]:
    """Yield the first windows of all clips of FSDD, their digits and their speakers."""
    with tempfile.TemporaryDirectory() as name:
        folder = shared_data("fsdd")
        index(folder, Path(name) / "archive")
        with (folder / "meta.csv").open() as file:
            about = {Path(row["path"]).name: row for row in csv.DictReader(file)}
        with Archive(Path(name) / "archive") as archive:
            windows = archive.windows()
            own = [about[Path(windows.recordings[c][0].path).name] for c in windows.contents]
            yield (
                windows,
                np.array([row["label"] for row in own]),
                np.array([row["speaker"] for row in own]),
            )


def index(folder: Path, archive: Path, backbone: str = "speech-embedding") -> None:
    """Run `earmark index`."""
    run([earmark(), "index", str(folder), "-o", str(archive), "--backbone", backbone], {})


def digits(seeds: int) -> None:
    """Compare ways to choose, on digits of other speakers."""
    with digits_archive() as (windows, labels, speakers):
        names = sorted(set(labels.tolist()))
        people, groups = np.unique(speakers, return_inverse=True)
        is_first = windows.numbers == 0
        rows = []
        for seed in range(seeds):
            held = np.random.default_rng(seed).choice(people, 2, replace=False)
            pool, tested = (is_first & (np.isin(speakers, held) == x) for x in (False, True))
            row: dict[str, object] = {"seed": seed, "held_out": "+".join(sorted(held.tolist()))}
            for strategy in STRATEGIES:
                scores: dict[int, list[float]] = {check: [] for check in CHECKS}
                for k, name in enumerate(names):
                    oracle = Oracle(windows, labels == name, groups, pool)
                    for draw in range(3):
                        rng = np.random.default_rng([seed, k, draw])
                        first = int(rng.choice(np.flatnonzero(oracle.truth & pool)))
                        for answers, fitted in labelled(oracle, first, strategy, CHECKS[-1], rng):
                            if answers in scores:
                                margins = fitted.margins[tested]
                                truth = oracle.truth[tested]
                                scores[answers].append(average_precision_score(truth, margins))
                row |= {f"{strategy}_{n}": round(statistics.mean(scores[n]), 4) for n in CHECKS}
            rows.append(row)
            print(row, flush=True)
    write("labelling_digits", rows)
    for strategy in STRATEGIES:
        means = [
            statistics.mean(float(str(row[f"{strategy}_{n}"])) for row in rows) for n in CHECKS
        ]
        print(strategy, [round(x, 4) for x in means])
    ahead = [
        all(float(str(row["earmark_60"])) > float(str(row[f"{x}_60"])) for x in STRATEGIES[1:])
        for row in rows
    ]
    print(f"ahead of both at 60 answers: {sum(ahead)} of {len(rows)} seeds")


def esc10(folds: Sequence[str]) -> dict[str, list[Sound]]:
    """Return what sounds of the clips of some folds of ESC-10, by class."""
    folder, sounds = shared_data("esc10"), dict[str, list[Sound]]()
    with (folder / "meta.csv").open() as file:
        for row in csv.DictReader(file):
            if row["fold"] in folds:
                x = audio.load(folder / row["path"], RATE_HZ)
                own = sounds_of(x, RATE_HZ, 1.0, row["label"], row["path"])
                sounds.setdefault(row["label"], []).extend(own[:1])
    return sounds


def loudest(sound: Sound) -> Sound:
    """Return the loudest second of a sound, with a short fade at both ends."""
    n = round(RARE_S * RATE_HZ)
    power = np.cumsum(np.square(np.concatenate([[0.0], sound.x])))
    start = int(np.argmax(power[n:] - power[:-n])) if len(sound.x) > n else 0
    return Sound(faded(sound.x[start : start + n], RATE_HZ), sound.label, sound.clip)


def write_hours(folder: Path, windows: int, is_tested: bool, seed: int) -> None:
    """Write recordings in which each class of RARE is one window in 500, and others are common."""
    folder.mkdir()
    rng = np.random.default_rng([seed, is_tested])
    sounds = esc10(("4", "5") if is_tested else ("1", "2", "3"))
    pieces = sorted(shared_data("forest").glob("*.flac"))[is_tested::2]
    backgrounds = [audio.load(path, RATE_HZ) for path in pieces]
    seconds = windows * 0.48
    rare_each = round(windows / 500 / 2)  # an event of 1 s covers two windows by half
    short = [loudest(sound) for label in RARE for sound in sounds[label]]
    wanted = [own[k % len(own)] for r in RARE if (own := [s for s in short if s.label == r])
              for k in range(rare_each)]  # fmt: skip
    common = [s for label, own in sounds.items() if label not in RARE for s in own]
    wanted += [common[k % len(common)] for k in range(round(seconds / 30))]
    rng.shuffle(wanted)
    count = round(seconds / PIECE_S)
    for k in range(count):
        own = wanted[k::count]
        slot = PIECE_S / len(own)
        order = rng.permutation(len(backgrounds))
        n = PIECE_S * RATE_HZ
        x = joined((backgrounds[order[i % len(order)]] for i in range(999)), RATE_HZ, n)
        level, rows = rms(x), []
        for place, sound in enumerate(own):
            room = max(0.1, slot - len(sound.x) / RATE_HZ - 0.1)
            start = round((place * slot + rng.uniform(0, room)) * RATE_HZ)
            laid = Laid(start, sound)
            gain = level * 10 ** (rng.uniform(0, 10) / 20) / rms(sound.x)
            end = min(laid.end, n)
            x[start:end] += sound.x[: end - start] * gain
            rows.append((start / RATE_HZ, end / RATE_HZ, sound.label))
        write_flac(folder / f"{k:04d}.flac", x * min(1.0, 0.95 / float(np.abs(x).max())), RATE_HZ)
        with (folder / f"{k:04d}.txt").open("w") as file:
            csv.writer(file, delimiter="\t").writerows(rows)


def truth_of(windows: Windows, name: str) -> np.ndarray:
    """Return a mask (N,) of the windows that share half of the shorter of both with an event."""
    truth = np.zeros(len(windows), bool)
    for content, own in windows.recordings.items():
        with Path(own[0].place).with_suffix(".txt").open() as file:
            for start, end, label in csv.reader(file, delimiter="\t"):
                if label == name:
                    truth[windows.rows_between(content, float(start), float(end))] = True
    return truth


@contextlib.contextmanager
def rare_archives(backbone: str, seed: int) -> Iterator[tuple[Windows, Windows]]:
    """Yield the windows to label, and those to test."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        opened = []
        for is_tested in (False, True):
            folder = Path(name) / f"hours{is_tested:d}"
            write_hours(folder, RARE_WINDOWS, is_tested, seed)
            index(folder, folder.with_suffix(".archive"), backbone)
            archive = stack.enter_context(Archive(folder.with_suffix(".archive")))
            opened.append(archive.windows())
        yield opened[0], opened[1]


def vectors_in(windows: Windows, tested: Windows) -> np.ndarray:
    """Return the vectors of windows of another archive, standardised as in the first one."""
    blocks = [windows.vectors.of_embeddings(block) for block in tested.table.blocks(None)]
    vectors: np.ndarray = np.concatenate(blocks)
    return vectors


def with_all_labels(windows: Windows, truth: np.ndarray) -> Head:
    """Return the head of all windows of a class and 3,000 others."""
    others = np.random.default_rng(0).choice(np.flatnonzero(~truth), 3_000, replace=False)
    rows = np.concatenate([np.flatnonzero(truth), others])
    return fit_head(windows.vectors_of(rows), truth[rows], np.ones(len(rows)))


def rare(seeds: int) -> None:
    """Count the answers until a class is found in the archive, and in other recordings."""
    rows: list[dict[str, object]] = []
    for backbone in ("yamnet", "speech-embedding"):
        with rare_archives(backbone, 0) as (windows, tested):
            vectors = vectors_in(windows, tested)
            for name in RARE:
                truth, unseen = truth_of(windows, name), truth_of(tested, name)
                head = with_all_labels(windows, truth)
                best = float(average_precision_score(unseen, head.margins(vectors)))
                for strategy in STRATEGIES:
                    row: dict[str, object] = {"backbone": backbone, "class": name}
                    row |= {"windows": len(windows), "of_the_class": int(truth.sum())}
                    row |= {"strategy": strategy, "ap_elsewhere_all_labels": round(best, 3)}
                    row |= _needed(windows, truth, strategy, seeds, (vectors, unseen, best))
                    rows.append(row)
                    print(row, flush=True)
    write("labelling_rare", rows)


def _needed(
    windows: Windows,
    truth: np.ndarray,
    strategy: str,
    seeds: int,
    elsewhere: tuple[np.ndarray, np.ndarray, float],
) -> dict[str, object]:
    """Return medians of answers until the average precisions are reached, MOST + 1 if never."""
    vectors, unseen, best = elsewhere
    needed: dict[str, list[int]] = {"in_archive": [], "elsewhere": []}
    at_60: dict[str, list[float]] = {"in_archive": [], "elsewhere": []}
    for seed in range(seeds):
        oracle = Oracle(windows, truth, windows.contents, np.ones(len(windows), bool))
        rng, first = np.random.default_rng(seed), dict[str, int]()
        example = int(rng.choice(np.flatnonzero(truth)))
        for answers, fitted in labelled(oracle, example, strategy, MOST, rng):
            ap = {
                "in_archive": average_precision_score(truth, fitted.margins),
                "elsewhere": average_precision_score(unseen, fitted.head.margins(vectors)),
            }
            if ap["in_archive"] >= 0.9:
                first.setdefault("in_archive", answers)
            if ap["elsewhere"] >= 0.9 * best:
                first.setdefault("elsewhere", answers)
            if answers == 60:
                for place, value in ap.items():
                    at_60[place].append(value)
            if len(first) == 2 and answers >= 60:
                break
        for place, numbers in needed.items():
            numbers.append(first.get(place, MOST + 1))
    row: dict[str, object] = {}
    for place, numbers in needed.items():
        row[f"answers_{place}"] = statistics.median(numbers)
        row[f"most_answers_{place}"] = max(numbers)
        row[f"ap_{place}_at_60"] = round(statistics.mean(at_60[place]), 3)
    return row


def honest(runs: int) -> None:
    """Count how often the truth is inside the intervals."""
    rows = []
    with digits_archive() as (windows, labels, speakers):
        groups = np.unique(speakers, return_inverse=True)[1]
        truths = [labels == str(k % 10) for k in range(runs)]
        rows += _honest("digits", windows, truths, groups)
    with rare_archives("yamnet", 1) as (windows, _):
        for title, names in (("rare sounds", RARE), ("common sounds", COMMON)):
            truths = [truth_of(windows, names[k % len(names)]) for k in range(runs)]
            rows += _honest(title, windows, truths, windows.contents)
    write("labelling_honest", rows)


def _honest(
    title: str, windows: Windows, truths: Sequence[np.ndarray], groups: np.ndarray
) -> list[dict[str, object]]:
    everywhere = np.ones(len(windows), bool)
    inside: dict[tuple[int, str], list[bool]] = {}
    widths: dict[tuple[int, str], list[float]] = {}
    for k, truth in enumerate(truths):
        rng = np.random.default_rng(k)
        oracle = Oracle(windows, truth, groups, everywhere)
        first = int(rng.choice(np.flatnonzero(truth)))
        for answers, fitted in labelled(oracle, first, "earmark", 100, rng):
            if answers not in (60, 100):
                continue
            standing = oracle.standing(fitted)
            rest = open_rows(windows, everywhere, oracle.known())
            found = rest[fitted.margins[rest] >= 0]
            if standing.precision is not None and len(found):
                low, high = standing.precision.low, standing.precision.high
                true = truth[found].mean()
                inside.setdefault((answers, "precision"), []).append(bool(low <= true <= high))
                widths.setdefault((answers, "precision"), []).append(high - low)
            if standing.unseen is not None:
                low, high = standing.unseen.low, standing.unseen.high
                true = stretches(windows, rest[truth[rest]])
                inside.setdefault((answers, "unseen events"), []).append(bool(low <= true <= high))
                widths.setdefault((answers, "unseen events"), []).append(
                    (high - low) / max(1, true)
                )
    rows: list[dict[str, object]] = []
    for (answers, what), own in sorted(inside.items()):
        rows.append(
            {
                "data": title,
                "answers": answers,
                "estimate": what,
                "runs": len(own),
                "inside": sum(own),
                "median_width": round(statistics.median(widths[answers, what]), 3),
            }
        )
        print(rows[-1], flush=True)
    return rows


def a_round(count: int) -> None:
    """Measure the fit and the choice of a dozen among many windows."""
    rng, width = np.random.default_rng(0), 384
    with tempfile.TemporaryDirectory() as name:
        layers = {"one": width, "two": width}
        files = VectorFiles(Path(name), layers, Centre.none((width // 2, width // 2)))
        (Path(name) / "vectors").mkdir()
        parts = [(f"part-{k}.parquet", ROWS) for k in range(count // ROWS)]
        hidden = rng.standard_normal(width, np.float32)
        for file, _ in parts:
            x = rng.standard_normal((ROWS, width), np.float32)
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            files.path(file).write_bytes(x.astype(np.float16).tobytes())
        n = ROWS * len(parts)
        contents, numbers = np.divmod(np.arange(n), 7_500)  # an hour each
        recordings = {
            int(c): [ArchiveRecording("d", f"{c}.flac", f"/d/{c}.flac", int(c), 3600.0)]
            for c in np.unique(contents)
        }
        table = SimpleNamespace(
            rows=np.arange(n), parts=[SimpleNamespace(file=f, clips=c) for f, c in parts]
        )
        network = ArchiveNetwork(1, {"window_s": 0.96, "hop_s": 0.48}, "", files.centre)
        windows = Windows(network, contents, numbers, table, recordings, files)  # type: ignore[arg-type]
        scores = windows.similarities(hidden / np.linalg.norm(hidden))
        truth = scores > np.partition(scores, -n // 500)[-n // 500]
        oracle = Oracle(windows, truth, contents, np.ones(n, bool))
        costs = []
        oracle.rows, oracle.chances = [int(np.flatnonzero(truth)[0])], [np.nan]
        for _ in range(10):
            start = time.process_time(), time.perf_counter()
            fitted = oracle.fit(rng)
            standing = oracle.standing(fitted)
            oracle.ask(fitted, "earmark", DOZEN, rng)
            costs.append((time.process_time() - start[0], time.perf_counter() - start[1]))
        row = {
            "windows": n,
            "numbers": width,
            "answers": standing.answers,
            "cpu_s": round(statistics.median(c for c, _ in costs[1:]), 2),
            "seconds": round(statistics.median(s for _, s in costs[1:]), 2),
            "most_seconds": round(max(s for _, s in costs[1:]), 2),
            "first_cpu_s": round(costs[0][0], 2),
        }
    print(row)
    write("labelling_round", [row])


def main() -> None:
    """Run the benchmark that the first argument names."""
    print(describe())
    what, *rest = sys.argv[1:] or ["digits"]
    number = int(rest[0]) if rest else None
    if what == "digits":
        digits(number or 10)
    elif what == "rare":
        rare(number or 5)
    elif what == "honest":
        honest(number or 20)
    else:
        a_round(number or 1_000_000)


if __name__ == "__main__":
    main()
