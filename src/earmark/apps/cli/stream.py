"""``earmark stream``: events in live sound, as JSON lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer import Argument, Option

from earmark.apps.cli import signals
from earmark.apps.cli.detect_options import RuleOptions
from earmark.apps.cli.meter import Meter
from earmark.apps.cli.options import ClassifierOptions
from earmark.apps.cli.text import print_json, say, warn_of
from earmark.errors import AudioError, EarmarkError

if TYPE_CHECKING:
    from earmark.audio.live import LiveInput
    from earmark.audio.options import AudioOptions
    from earmark.data.event import Event
    from earmark.detection.listening import Listener, Record

LEAST_S = 0.1  # of lost sound, to name it in a warning
LONGEST_STEP_S = 10.0  # as much as the networks compute at once


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Live sound, and how it is read."""

    source: str = Argument(
        metavar="SOURCE",
        help="mic, mic:NAME, a URL, a file, or - for raw PCM on standard input.",
    )
    rate: int | None = Option(None, help="Sample rate of the raw PCM in Hz.")
    channels: int | None = Option(None, help="Channels of the raw PCM; 1 by default.")
    pcm_format: str | None = Option(
        None, "--format", help="Format of the raw PCM: s16le by default, f32le, s24be, u8, ..."
    )
    real_time: bool = Option(False, "--real-time", help="Play a file at its own pace.")
    retries: int | None = Option(
        None,
        min=0,
        help="Give up on a URL after so many failed attempts in a row to reconnect; never by"
        " default.",
    )

    @property
    def kind(self) -> str:
        """One of 'pcm', 'mic', 'url' and 'file'."""
        if self.source == "-":
            return "pcm"
        if self.source == "mic" or self.source.startswith("mic:"):
            return "mic"
        return "url" if "://" in self.source else "file"

    def check(self) -> None:
        """Refuse options of other sources, a missing file, and a missing microphone."""
        has_pcm = (self.rate, self.channels, self.pcm_format) != (None, None, None)
        if has_pcm and self.kind != "pcm":
            raise EarmarkError(
                "--rate, --channels and --format describe raw PCM on standard input. Give - as the"
                " source, or leave them out."
            )
        if self.kind == "pcm" and self.rate is None:
            raise EarmarkError(
                "Raw PCM on standard input has no header. Give its sample rate, such as --rate"
                " 16000."
            )
        if self.kind == "pcm" and (sys.stdin is None or sys.stdin.isatty()):
            state = "closed" if sys.stdin is None else "a terminal"
            raise EarmarkError(f"standard input is {state}. Pipe raw PCM into it.")
        if self.real_time and self.kind != "file":
            raise EarmarkError("--real-time needs a file. Leave it out.")
        if self.retries is not None and self.kind != "url":
            raise EarmarkError("--retries needs a URL. Leave it out.")
        if self.kind == "file":
            _check_file(Path(self.source))
        from earmark.audio.options import AS_IT_IS

        self.open(AS_IT_IS).close()

    def open(self, audio: AudioOptions) -> LiveInput:
        """Open the source; samples that are not numbers become zeros, with a warning."""
        from earmark.audio.live_sources import open_live
        from earmark.audio.pcm import Pcm

        pcm = None
        if self.kind == "pcm":
            channels = 1 if self.channels is None else self.channels
            pcm = Pcm(self.rate or 0, channels, self.pcm_format or "s16le")
        audio = replace(audio, non_finite="zero")
        settings: dict[str, Any] = {"real_time": self.real_time, "retries": self.retries}
        return open_live(self.source, audio, pcm=pcm, **settings)


def stream(
    *,
    trained: ClassifierOptions,
    source: SourceOptions,
    rules: RuleOptions,
    step: float = Option(
        0.24, help="Seconds of sound that are computed at once; less costs more time."
    ),
    until: float | None = Option(None, help="End after this many seconds of sound."),
) -> None:
    """Find events in live sound while it comes, and print a JSON line for each.

    Sound that was lost gets a line as well, and so does the end.
    """
    if until is not None and not 0 < until < math.inf:
        raise EarmarkError(f"--until is {until:g}. Give seconds above 0.")
    if not 0 < step <= LONGEST_STEP_S:
        raise EarmarkError(f"--step is {step:g}. Give seconds above 0, at most {LONGEST_STEP_S:g}.")
    model = trained.file()
    rules.check(model)
    source.check()
    from earmark.detection.detecting import NO_DETECTOR, EventDetector
    from earmark.detection.listening import Listener

    classifier = trained.load(model)
    warn_of(model, None if classifier.detector else NO_DETECTOR)
    detector = EventDetector.load(classifier, rules.threshold, **rules.changes)
    if all(network.block_step() for network in detector.scorer.networks):
        import torch

        torch.set_num_threads(1)  # steps are short: threads would wait longer than they compute
    listener = Listener(detector, step, math.inf if until is None else until)
    with source.open(classifier.audio) as live:
        _Printer(live).run(listener)


class _Printer:
    """Prints what a listener hears, and says once what is wrong with the sound."""

    def __init__(self, live: LiveInput) -> None:
        self.live, self.meter = live, Meter()
        self._warned = self._gaps = 0

    def run(self, listener: Listener) -> None:
        """Print the records until the source ends, fails, or a signal asks to stop."""
        try:
            self._hear(listener)
        except KeyboardInterrupt:
            self._finish(listener)
            raise
        except AudioError as error:
            if not listener.stream.heard_s:
                raise
            self._finish(listener)
            say(f"error: {error}")
            raise typer.Exit(1) from error
        self._finish(listener)

    def _hear(self, listener: Listener) -> None:
        for item in self.live:
            with signals.held():
                self._print(listener.hear(item))
                self._warn()
                self.meter.hear(item, listener)
            if listener.is_done:
                return

    def _finish(self, listener: Listener) -> None:
        self._print(listener.finish())
        self.meter.clear()
        self._warn()
        if self._gaps > 1:
            self._say(f"{listener.lost_s:.1f} s were lost in {self._gaps} gaps.")

    def _print(self, records: Sequence[Record]) -> None:
        for record in records:
            self.meter.clear()
            value = record_json(record)
            print_json(value)
            if value["type"] == "gap":
                self._gaps += 1
                if self._gaps == 1:  # standard output has the others
                    lost = f"{value['lost']:.1f} s were lost: " if value["lost"] >= LEAST_S else ""
                    self._say(f"{lost}{value['reason']}.")

    def _warn(self) -> None:
        for warning in self.live.warnings[self._warned :]:
            self._say(warning)
            self._warned += 1

    def _say(self, text: str) -> None:
        self.meter.clear()
        say(f"warning: {self.live.name}: {text}")


def record_json(record: Record) -> dict[str, Any]:
    """Return the object that ``stream`` prints for a record."""
    from earmark.detection.listening import HeardEvent, LostSound

    if isinstance(record, HeardEvent):
        return {
            "type": "event",
            **event_json(record.event),
            "heard_at": clock_text(record.heard_at),
            "decided_at": clock_text(record.decided_at),
        }
    if isinstance(record, LostSound):
        at_s, lost_s = round(record.at_s, 6), round(record.lost_s, 6)
        return {"type": "gap", "at": at_s, "lost": lost_s, "reason": record.reason}
    heard_s, lost_s = round(record.heard_s, 6), round(record.lost_s, 6)
    return {"type": "end", "heard": heard_s, "lost": lost_s, "events": record.events}


def event_json(event: Event) -> dict[str, Any]:
    """Return what ``stream`` prints for an event, without the type and the clock times."""
    return {
        "start": round(event.start, 6),
        "end": round(event.end, 6),
        "label": event.label,
        "score": round(event.score, 6),
    }


def clock_text(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, such as 2026-01-31T06:30:00.125Z."""
    text = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _check_file(path: Path) -> None:
    from earmark.system.files import not_a_file

    problem = not_a_file(path)
    if problem is None and not path.exists():
        problem = "does not exist"
    if problem:
        raise EarmarkError(
            f"{path} {problem}. Give a recording, a URL, mic, or - for standard input."
        )
