"""A recording as live input: as fast as it is consumed, or at its own pace."""

from __future__ import annotations

from collections.abc import Iterator

from earmark.audio.decoder import Samples
from earmark.audio.live import Clock, LiveBlock, LiveItems, Sleep
from earmark.audio.options import AudioOptions
from earmark.audio.reading import open_stream
from earmark.audio.source import Source

STEP_S = 0.1  # of sound at a time, at its own pace


def recording_items(
    source: Source,
    options: AudioOptions,
    warnings: list[str],
    clock: Clock,
    sleep: Sleep | None = None,
) -> LiveItems:
    """Yield a recording; with ``sleep``, each block when it would have been heard.

    Adds the warnings of the recording to ``warnings``.
    """
    with open_stream(source, options=options) as stream:
        began_at, count = clock(), 0
        for block in stream.blocks:
            for part in [block] if sleep is None else _steps(block, stream.rate_hz):
                count += len(part)
                early_s = began_at + count / stream.rate_hz - clock()
                if sleep is not None and early_s > 0 and sleep(early_s):
                    return
                yield LiveBlock(part, stream.rate_hz, clock())
        warnings += stream.warnings


def _steps(block: Samples, rate_hz: int) -> Iterator[Samples]:
    size = max(1, round(STEP_S * rate_hz))
    for at in range(0, len(block), size):
        yield block[at : at + size]
