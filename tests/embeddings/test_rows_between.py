"""The windows of an archive that lie in a stretch of a recording."""

from types import SimpleNamespace

import numpy as np
import pytest

from earmark.embeddings.archive import ArchiveRecording, Windows


def windows_of(lengths: dict[int, tuple[float, int]], seed: int = 0) -> Windows:
    """Windows of 1 s every 0.5 s in any order, of contents with (seconds, windows)."""
    rows = [(content, k) for content, (_, n) in lengths.items() for k in range(n)]
    rows = np.random.default_rng(seed).permutation(np.array(rows, np.int64))
    recordings = {
        content: [ArchiveRecording("x", f"{content}", f"/{content}", content, seconds)]
        for content, (seconds, _) in lengths.items()
    }
    network = SimpleNamespace(window_s=1.0, hop_s=0.5)
    return Windows(network, rows[:, 0], rows[:, 1], None, recordings, None)  # type: ignore[arg-type]


@pytest.fixture
def windows() -> Windows:
    return windows_of({3: (10.2, 19), 7: (0.3, 1), 8: (5.0, 9), 9: (None, 4)})


def numbers(windows: Windows, content: int, start: float | None, end: float | None) -> list[int]:
    rows = windows.rows_between(content, start, end)
    assert set(windows.contents[rows].tolist()) <= {content}
    return windows.numbers[rows].tolist()


@pytest.mark.parametrize(
    ("content", "start", "end", "expected"),
    [
        (3, None, None, list(range(19))),
        (3, 2.0, 3.0, [4]),  # a window of the grid finds itself
        (3, 2.0 + 1e-7, 3.0, [4]),
        (3, 2.0, 3.5, [3, 4, 5, 6]),
        (3, 2.1, 3.1, [4, 5]),  # 0.9 and 0.6 s of 1 s
        (3, 2.25, 3.25, [4, 5]),
        (3, 2.3, 2.4, [3, 4]),  # a short stretch is in both
        (3, 0.0, 0.4, [0]),
        (3, 9.5, None, [18]),
        (3, None, 1.0, [0]),
        (3, 20.0, 21.0, []),
        (7, None, None, [0]),
        (7, 0.0, 0.3, [0]),  # the window ends in silence
        (7, 0.0, 0.1, [0]),
        (8, 4.0, 5.0, [8]),
        (9, None, None, [0, 1, 2, 3]),  # of unknown length
        (9, 1.5, 2.5, [3]),
        (4, None, None, []),
        (10, 0.0, 1.0, []),
    ],
)
def test_windows_that_share_half_with_a_stretch(windows, content, start, end, expected):
    assert numbers(windows, content, start, end) == expected


def test_every_window_finds_itself(windows):
    for row, (content, number) in enumerate(zip(windows.contents, windows.numbers, strict=True)):
        start, end = windows.span(int(content), int(number), int(number))
        assert windows.rows_between(int(content), start, end).tolist() == [row]
