"""What ``train --detector`` and ``evaluate --events`` do once their arguments are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli import options
from earmark.apps.cli.checks import separator_of
from earmark.apps.cli.detect_options import RuleOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import (
    print_json,
    report_read_warnings,
    say,
    show,
    this_command,
    warn_of,
)
from earmark.errors import EarmarkError
from earmark.system.files import not_a_file

if TYPE_CHECKING:
    from earmark.data.dataset import Dataset

ANNOTATED = Option(
    None,
    help="Only sound within so many seconds of an annotated event counts; the rest was not"
    " annotated.",
)


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """Training for events in long recordings, named like the parameters of ``train_detector``."""

    detector: bool = Option(
        False, "--detector", help="Train a detector of events in long recordings and live sound."
    )
    background: Path | None = Option(
        None,
        help="With --detector: recordings without any of the classes, best from the place where the"
        " detector will listen.",
    )
    annotated: float | None = ANNOTATED
    false_per_hour: float | None = Option(
        None, help="With --detector: choose thresholds for at most so many false events an hour."
    )

    def check(self, finetune: str | None) -> None:
        """Refuse options that contradict each other, and impossible values."""
        given = {
            "--background": self.background,
            "--annotated": self.annotated,
            "--false-per-hour": self.false_per_hour,
        }
        name = next((name for name, value in given.items() if value is not None), None)
        if name is not None and not self.detector:
            raise EarmarkError(f"{name} needs --detector. Add it.")
        if self.detector and finetune is not None:
            raise EarmarkError(
                "--finetune changes the networks, and --detector needs them as they are. Leave one"
                " out."
            )
        check_annotated(self.annotated)
        rate = self.false_per_hour
        if rate is not None and not 0 <= rate < math.inf:
            raise EarmarkError(f"--false-per-hour is {rate:g}. Give 0 or more, such as 0.5.")
        if self.background is not None and not self.background.is_dir():
            problem = not_a_file(self.background)
            if problem is None and not self.background.is_file():
                problem = "does not exist"
            if problem is not None:
                raise EarmarkError(
                    f"{self.background} {problem}. Give --background a folder of recordings"
                    " without the sounds."
                )

    def settings(self) -> dict[str, Any]:
        """Return the arguments of ``train_detector``."""
        names = ("background", "annotated", "false_per_hour")
        return {name: getattr(self, name) for name in names}


def check_annotated(seconds: float | None) -> None:
    """Refuse a number of seconds that is negative or infinite."""
    if seconds is not None and not 0 <= seconds < math.inf:
        raise EarmarkError(f"--annotated is {seconds:g}. Give 0 s or more, such as 0.5.")


def train_and_show(
    dataset: Dataset,
    settings: dict[str, Any],
    output: Path,
    report: Path | None,
    as_json: bool,
    run: options.RunOptions,
) -> None:
    """Train a detector, save it, print what came out, and write the report."""
    from earmark.training.detector import train_detector
    from earmark.training.detector_summary import detector_json, detector_lines

    settings, caveats = dict(settings), settings["caveats"]
    del settings["caveats"]
    with progress_bar("starting") as bar:
        training = train_detector(dataset, **settings, progress=bar)
    training = replace(training, warnings=(*training.warnings, *caveats))
    output.parent.mkdir(exist_ok=True)
    training.classifier.save(output)
    if report is not None:
        from earmark.report import contents_of_detector, write_event_report

        contents = contents_of_detector(training, dataset, this_command())
        figures = detector_json(training, str(output))
        say(f"report: {write_event_report(report, figures, contents)}")
    if as_json:
        print_json(detector_json(training, str(output)))
    else:
        show(*detector_lines(training, str(output)))
    run.finish(training.skipped)


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(RuleOptions):
    """Comparison of detected with annotated events, and the rules of events to change."""

    events: bool = Option(
        False, "--events", help="Compare detected events with the annotated ones of DATA."
    )
    annotated: float | None = ANNOTATED
    collar: float | None = Option(
        None,
        help="With --events: seconds by which a start or an end may be wrong; 0.2 by default. Use"
        " 0.02 for short syllables.",
    )

    def check_compared(self, source: str, unused: Mapping[str, object]) -> None:
        """Refuse options that need --events, and the ``unused`` ones that do not go with it."""
        changed = {f"--{name.replace('_', '-')}": value for name, value in vars(self).items()}
        del changed["--events"]
        if changed["--threshold"] == "auto":
            del changed["--threshold"]
        given = unused if self.events else changed
        name = next(
            (name for name, value in given.items() if value is not None and value is not False),
            None,
        )
        if name is not None and not self.events:
            raise EarmarkError(f"{name} needs --events. Add it.")
        if name is not None:
            raise EarmarkError(
                f"{name} selects clips, and --events compares all recordings of {source}. Leave"
                " one out."
            )
        check_annotated(self.annotated)
        if self.collar is not None and not 0 < self.collar < math.inf:
            raise EarmarkError(f"--collar is {self.collar:g}. Give more than 0 s, such as 0.2.")


def compare_and_show(
    trained: options.ClassifierOptions,
    model: Path,
    data: options.LabelOptions,
    comparison: ComparisonOptions,
    report: Path | None,
    as_json: bool,
    run: options.RunOptions,
) -> None:
    """Compare detected with annotated events, print the figures, and write the report."""
    if data.is_archive:
        raise EarmarkError(
            f"{data.source} is an archive, whose labels are about windows, and --events needs"
            " recordings with annotated events. Give these, or count with `earmark density`."
        )
    from earmark.data.event_reading import read_events

    names = ("label", "path", "start", "end", "root")
    columns = {name: getattr(data, name) for name in names}
    columns["separator"] = data.separator or separator_of(model)
    truth = read_events(data.source, annotated=comparison.annotated, **columns)
    from earmark.detection.detecting import NO_DETECTOR
    from earmark.training.detector_summary import evaluation_lines
    from earmark.training.event_evaluation import COLLAR_S, evaluate_detector

    classifier = trained.load(model)
    with progress_bar("detecting events", len(truth)) as bar:
        evaluation = evaluate_detector(
            classifier,
            truth,
            collar=COLLAR_S if comparison.collar is None else comparison.collar,
            other_thresholds=report is not None,
            progress=bar,
            thresholds=comparison.threshold,
            **comparison.changes,
        )
    figures = {"model": str(model), "data": data.source, **evaluation.figures}
    if report is not None:
        from earmark.report import contents_of_event_evaluation, write_event_report

        contents = contents_of_event_evaluation(evaluation, classifier, data.source, this_command())
        say(f"report: {write_event_report(report, figures, contents)}")
    if as_json:
        print_json(figures)
    else:
        show(f"{model} on {data.source}", *evaluation_lines(figures))
    warn_of(model, classifier.estimate.warning)
    if classifier.detector is None:
        warn_of(model, NO_DETECTOR)
    for note in evaluation.notes:
        say(f"note: {note}")
    report_read_warnings([text for text in evaluation.warnings if text != NO_DETECTOR])
    run.finish(evaluation.skipped)
