"""The blocks of a decoder, with what it printed, and without what it cannot report."""

from __future__ import annotations

from collections.abc import Iterator

from earmark.audio import printed
from earmark.audio.decoder import Block
from earmark.audio.source import Source
from earmark.audio.uri import Ranged


def check_came(source: Source) -> None:
    """Raise Refusal if bytes of a recording that lies elsewhere did not come."""
    if isinstance(source, Ranged):
        source.check()


class PrintedBlocks:
    """The blocks of a decoder, and ``texts``, which it printed; any thread may iterate over it."""

    def __init__(self, blocks: Iterator[Block], texts: list[str], source: Source) -> None:
        self.blocks, self.texts, self.source = blocks, list(texts), source

    def __iter__(self) -> Iterator[Block]:
        while True:
            try:
                with printed.caught() as texts:
                    block = next(self.blocks, None)
            finally:
                check_came(self.source)
            self.texts += texts
            if block is None:
                return
            yield block
