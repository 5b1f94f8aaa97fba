"""Coverage of the intervals of `earmark density`, on made archives whose truth is known.

    python benchmarks/density.py [RUNS]      # into results/density.csv; 200 runs by default

An archive has 20,000 windows in 100 recordings of 10 sites. Events last 1 window or more, 1.5 on
average, and are twice as frequent in half of the sites. The score of a window is normal, and
`separation` is how many standard deviations windows with the class lie above the others: 1 is a
poor classifier (AUC 0.76), 2 a fair one (0.92) and 3.5 a good one (0.99). Each run makes another
archive, draws another sample of 200 windows and answers it truly. `covered` is the share of runs
whose 95 % interval has the truth; `beta_covered` is that of the equal-tailed interval of Beta
posteriors of the strata (Jeffreys), for comparison. `rough` is the share of runs that say
that the scores are too poor to count events; `begins_covered` is the coverage of events if the
windows before those with the class are answered, too. Widths are medians, in percent of all
windows.
"""

from __future__ import annotations

import sys

import numpy as np

from earmark.embeddings.archive import ArchiveRecording
from earmark.labelling.density import draw_rows
from earmark.labelling.density_estimate import Density, estimate
from earmark.labelling.density_frame import Frame
from earmark.labelling.strata import DRAWS, run_lengths
from machine import write

N, RECORDINGS, SITES, SIZE, RUNS = 20_000, 100, 10, 200, 200
MEAN_WINDOWS = 1.5  # of an event
PREVALENCES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SEPARATIONS = (1.0, 2.0, 3.5)


def made_truth(prevalence: float, rng: np.random.Generator) -> np.ndarray:
    """Return which windows (N,) have the class: events in runs, more of them in half the sites."""
    wanted, has = round(prevalence * N), np.zeros(N, bool)
    site = np.arange(N) // (N // RECORDINGS) % SITES
    chance = np.where(site % 2 == 0, 2.0, 1.0)
    starts = rng.choice(N, N // 2, replace=False, p=chance / chance.sum())
    for start in starts.tolist():
        if has.sum() >= wanted:
            break
        length = int(rng.geometric(1 / MEAN_WINDOWS))
        has[start : min(start + length, (start // 200 + 1) * 200)] = True
    return has


def made_frame(has: np.ndarray, separation: float, rng: np.random.Generator) -> Frame:
    """Return windows (N,) with scores."""
    contents = np.arange(N) // (N // RECORDINGS)
    recordings = {
        n: ArchiveRecording(
            "made", f"{n}.wav", f"/{n}.wav", n, 200.0, columns={"site": str(n % 10)}
        )
        for n in range(RECORDINGS)
    }
    scores = (rng.standard_normal(N) + separation * has).astype(np.float32)
    return Frame(contents, np.arange(N) % 200 * 2, scores, recordings, 1.0, 0.5, "made")


def beta_interval(result: Density, rng: np.random.Generator) -> tuple[float, float]:
    """Return the interval of independent Beta posteriors of the strata."""
    total = np.zeros(DRAWS)
    for own in result.strata:
        total += own.windows * rng.beta(own.hits + 0.5, own.answered - own.hits + 0.5, DRAWS)
    low, high = np.quantile(total, [0.025, 0.975])
    return float(low), float(high)


def one_run(prevalence: float, separation: float, seed: int) -> list[float]:
    """Return what the columns of a row are made of."""
    rng = np.random.default_rng([round(1e4 * prevalence), round(10 * separation), seed])
    has = made_truth(prevalence, rng)
    frame = made_frame(has, separation, rng)
    edges, rows, _, _ = draw_rows(frame.scores, SIZE, seed)
    verdicts = {row: bool(has[row]) for row in rows.tolist()}
    result = estimate(frame, edges, verdicts, seed, "site")
    previous = frame.before(rows[has[rows]])
    asked = {row: bool(has[row]) for row in previous.tolist() if row >= 0}
    begun = estimate(frame, edges, verdicts, seed, before=asked)
    places = np.flatnonzero(has)
    lengths = run_lengths(frame.numbers[places], frame.contents[places], frame.step)
    site = frame.contents % SITES
    sites = [
        own.windows.low <= has[site == int(own.group)].sum() <= own.windows.high
        for own in result.groups
    ]
    low, high = beta_interval(result, rng)
    return [
        result.windows.low <= has.sum() <= result.windows.high,
        result.events.low <= (1 / lengths).sum() <= result.events.high,
        float(np.mean(sites)),
        low <= has.sum() <= high,
        100 * (result.windows.high - result.windows.low) / N,
        100 * (high - low) / N,
        100 * (result.windows.value - has.sum()) / N,
        result.is_rough,
        begun.events.low <= (1 / lengths).sum() <= begun.events.high,
        float(
            np.median([100 * (g.windows.high - g.windows.low) * SITES / N for g in result.groups])
        ),
    ]


def main() -> None:
    """Run all prevalences and separations."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    rows: list[dict[str, object]] = []
    for prevalence in PREVALENCES:
        for separation in SEPARATIONS:
            figures = np.array([one_run(prevalence, separation, seed) for seed in range(runs)])
            share, median = figures.mean(0).tolist(), np.median(figures, 0).tolist()
            rows.append(
                {
                    "prevalence": prevalence,
                    "separation": separation,
                    "runs": runs,
                    "covered": round(share[0], 3),
                    "events_covered": round(share[1], 3),
                    "sites_covered": round(share[2], 3),
                    "beta_covered": round(share[3], 3),
                    "width": round(median[4], 2),
                    "beta_width": round(median[5], 2),
                    "bias": round(share[6], 3),
                    "rms_error": round(float(np.sqrt(np.mean(figures[:, 6] ** 2))), 3),
                    "rough": round(share[7], 3),
                    "begins_covered": round(share[8], 3),
                    "site_width": round(median[9], 2),
                }
            )
            print(rows[-1], flush=True)
    write("density", rows)


if __name__ == "__main__":
    main()
