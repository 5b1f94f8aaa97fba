"""Measure how far figures and decisions can be trusted: few examples, sets, unknown sounds.

    python benchmarks/trust.py

On ESC-10 (official folds) and Free Spoken Digit (speakers), with real weights; recordings and
weights are found as in benchmarks/accuracy.py.
"""

from __future__ import annotations

import itertools
import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from earmark import Dataset, Store, backbones
from earmark.classifier.calibration import softmax
from earmark.classifier.decision import conformal_quantile, nonconformity
from earmark.classifier.targets import Targets
from earmark.data.splits import make_scheme
from earmark.embeddings.embedding import embed
from earmark.training import candidates
from earmark.training.inner import Average, Candidate
from earmark.training.kernels import FeatureTable
from earmark.training.selection import Search
from earmark.training.unknown import find_threshold
from machine import describe, shared_data, write

DRAWS = 20
COVERAGE = 0.9
RATE = 0.05  # of clips of unknown classes that are accepted
FIXED = Average((Candidate("linear", "upper", 3e-4),))  # for clips too few to select with


def search_over(name: str, backbone: str, group: str | None) -> tuple[Search, np.ndarray]:
    """Return a search over a data set, and the numbers (N,) of its clips' recordings."""
    dataset = Dataset.read(shared_data(name) / "meta.csv", group=group)
    networks = [backbones.load_backbone(name) for name in backbone.split(",")]
    with Store() as store:
        several = [embed(dataset.clips, network, store) for network in networks]
    heard, infos = several[0], [network.info for network in networks]
    number = {label: k for k, label in enumerate(dataset.labels)}
    truth = np.array([number[str(clip.label)] for clip in heard.clips])
    scheme = make_scheme(heard.clips, np.arange(len(heard.clips)))
    matrices = [embeddings.matrix for embeddings in several]
    bank = FeatureTable(infos, matrices, candidates.candidates(infos, "auto"))
    sources = [clip.path.name.split("-")[1] for clip in heard.clips] if name == "esc10" else truth
    source = np.unique(sources, return_inverse=True)[1]
    return Search(bank, Targets.single(truth, len(number)), scheme.fold), source


def part(search: Search, rows: np.ndarray, fold: np.ndarray) -> Search:
    """Return a search over some clips and the classes that they have."""
    of = search.targets.onehot[rows]
    truth = np.unique(of.argmax(1), return_inverse=True)[1]
    targets = Targets.single(truth, truth.max() + 1)
    return Search(search.table.only(rows), targets, fold, search.kinds, search.seed)


def few_examples(backbone: str) -> Iterator[dict[str, object]]:
    """Train on a few clips of each class of ESC-10; test on the other recordings."""
    search, source = search_over("esc10", backbone, None)
    truth = search.targets.onehot.argmax(1)
    for size in (1, 2, 4, 8, 16):
        found, losses = [], []
        for draw in range(DRAWS):
            rng = np.random.default_rng((size, draw))
            order = [rng.permutation(np.flatnonzero(truth == k))[:size] for k in range(10)]
            rows = np.stack(order, 1).ravel()  # clip 0 of each class, then clip 1, ...
            few = part(search, rows, np.arange(size).repeat(10) % min(size, 5))
            choice = few.choose() if size > 2 else None
            best = choice.best if choice else FIXED
            head = few.fit_rows(best, np.arange(len(rows)))
            others = np.flatnonzero(~np.isin(source, source[rows]))
            logits = head.logits(search.table.features(best.specs(search.table), others))
            found.append(float((logits.argmax(1) == truth[others]).mean()))
            if choice:
                scores = softmax(choice.calibration.logits(logits))
                own = scores[np.arange(len(others)), truth[others]]
                losses.append(float(-np.log(own.clip(1e-9)).mean()))
        yield row("few examples", f"ESC-10, {backbone}, {size} a class", found)
        if losses:
            yield row("few examples, log loss", f"ESC-10, {backbone}, {size} a class", losses)


def conformal(name: str, backbone: str, group: str | None) -> dict[str, object]:
    """Measure how often prediction sets, fitted on the other folds, have the true class."""
    search, _ = search_over(name, backbone, group)
    logits, fold, of = search.out_of_fold(), search.fold, search.targets.onehot
    missed = nonconformity(softmax(logits), of)
    inside, sizes = np.zeros(len(of)), np.zeros(len(of))
    for tested in np.unique(fold):
        rows = fold == tested
        most = conformal_quantile(np.sort(missed[~rows]), COVERAGE)
        inside[rows] = missed[rows] <= most
        sizes[rows] = (1 - softmax(logits[rows]) <= most).sum(1)
    by_fold = [float(inside[fold == tested].mean()) for tested in np.unique(fold)]
    return {
        "what": f"{COVERAGE:.0%} sets: covered",
        "case": f"{name}, {backbone}",
        "mean": round(float(inside.mean()), 4),
        "least": round(min(by_fold), 4),
        "most": round(max(by_fold), 4),
        "note": f"mean size {sizes.mean():.2f}, empty {np.mean(sizes == 0):.3f}; spread over folds",
    }


def unknown(backbone: str, left_out: int, choices: int) -> Iterator[dict[str, object]]:
    """Leave classes of ESC-10 out, fit the unknown threshold on the others, then test on them.

    Clips of known classes come from a held-out fold; each fold takes its turn.
    """
    search, _ = search_over("esc10", backbone, None)
    truth = search.targets.onehot.argmax(1)
    sets = list(itertools.combinations(range(10), left_out))
    accepted, answered = [], []
    for turn, left in enumerate(sets[:: max(1, len(sets) // choices)]):
        tested = turn % 5
        strange = np.isin(truth, left)
        rows = np.flatnonzero(~strange & (search.fold != tested))
        known = part(search, rows, np.unique(search.fold[rows], return_inverse=True)[1])
        best = known.choose().best
        border = find_threshold(known, best, RATE)
        head = known.fit_rows(best, np.arange(len(rows)))

        def let_in(clips: np.ndarray, head=head, best=best, below=border.below) -> float:
            familiar = head.known_score(search.table.features(best.specs(search.table), clips))
            return float((familiar >= below).mean())

        accepted.append(let_in(np.flatnonzero(strange)))
        answered.append(let_in(np.flatnonzero(~strange & (search.fold == tested))))
    case = f"ESC-10, {backbone}, {left_out} classes left out, {len(accepted)} choices"
    yield row("unknown clips accepted at 5 %", case, accepted)
    yield row("known clips accepted at 5 %", case, answered)


def row(what: str, case: str, values: Sequence[float]) -> dict[str, object]:
    least, most = np.quantile(values, (0.05, 0.95))
    return {
        "what": what,
        "case": case,
        "mean": round(statistics.mean(values), 4),
        "least": round(float(least), 4),
        "most": round(float(most), 4),
        "note": f"{len(values)} runs, 5 % and 95 % quantiles",
    }


def main() -> None:
    """Measure and write results/trust.csv."""
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    print(describe())
    rows: list[dict[str, object]] = []
    for found in itertools.chain(
        (
            conformal("esc10", "speech-embedding", None),
            conformal("esc10", "efficientat-mn04", None),
            conformal("fsdd", "speech-embedding", "speaker"),
        ),
        unknown("efficientat-mn04", 2, 45),
        unknown("efficientat-mn04", 5, 42),
        few_examples("efficientat-mn04"),
        few_examples("efficientat-mn04,speech-embedding"),
        few_examples("efficientat-mn04,yamnet-float32"),
        few_examples("yamnet-float32,speech-embedding"),
        few_examples("speech-embedding"),
    ):
        print(f"{found['what']}: {found['case']}: {found['mean']}", found["note"], flush=True)
        rows.append(found)
    write("trust", rows)


if __name__ == "__main__":
    main()
