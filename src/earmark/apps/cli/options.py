"""Arguments and options, each described once; those that belong together are a class."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from typer import Argument, Option

from earmark.apps.cli import signals
from earmark.apps.cli.text import print_csv, print_json, report_skipped, say, show
from earmark.errors import EarmarkError, StoreDamageError
from earmark.system.text import one_line

if TYPE_CHECKING:
    from earmark.audio.options import AudioOptions
    from earmark.data.clip import Clip
    from earmark.data.dataset import Dataset
    from earmark.embeddings.stages import Failure
    from earmark.embeddings.store import Store

DATA = Argument(metavar="DATA", help="A folder with a sub-folder per class, or a manifest.")
MODEL = Argument(metavar="MODEL", help="A classifier: the file that `earmark train` wrote.")
REPORT = Option(None, help="Write report.html and the figures behind it into this folder.")
JSON = Option(False, "--json", help="Print one JSON object on standard output.")
PATH = Option("path", help="The manifest's column of recordings.")
START = Option(None, help="The column of where clips start, in seconds; or none.")
END = Option(None, help="The column of where clips end, in seconds; or none.")
ROOT = Option(None, help="The folder where a manifest's paths begin, if not its own.")
MODEL_FILE = "The classifier file to write."
ALLOW_SKIPS = Option(
    False, "--allow-skips", help="Exit with 0 even if recordings could not be read."
)


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Labelled clips, and the manifest's columns."""

    source: str = DATA
    label: str = Option("label", help="The manifest's column of labels.")
    group: str | None = Option(
        None, help="The column of what must stay in one fold, such as speaker."
    )
    separator: str | None = Option(None, help="The text between the classes of one clip: ';'.")
    path: str = PATH
    start: str | None = START
    end: str | None = END
    root: str | None = ROOT
    split: str | None = Option(None, help="The column of splits: train, test, validation.")
    split_map: str | None = Option(
        None, help="What other words for splits mean: gold=test,rest=train; or none."
    )

    def read(self, *, quiet: bool = False, **settings: Any) -> Dataset:
        """Read the clips, and say what was understood; ``settings`` are of ``Dataset.read``."""
        from earmark.data.dataset import Dataset

        names = "label group separator path start end root split split_map"
        columns = {name: getattr(self, name) for name in names.split()}
        dataset = Dataset.read(self.source, **{**columns, **settings})
        for note in () if quiet else dataset.notes:
            say(f"note: {note}")
        return dataset

    def as_typed(self) -> list[str]:
        """Return DATA, and the options that say how it is read, for a command that follows."""
        words = [self.source]
        for option in fields(self):
            value, default = getattr(self, option.name), getattr(option.default, "default", None)
            if option.name != "source" and value != default:
                words += [f"--{option.name.replace('_', '-')}", str(value)]
        return words


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """How recordings are read."""

    channel: int | None = Option(
        None, min=1, help="Read this channel (1 is left), not the mean of all."
    )
    non_finite: Literal["refuse", "zero"] = Option(
        "refuse", help="Refuse recordings with NaN or infinity, or make those zero."
    )
    full_scale: float = Option(
        1.0, help="Full scale of recordings stored as floats: 32768 for 16-bit integers."
    )

    def audio(self) -> AudioOptions:
        """Return them as the library takes them."""
        from earmark.audio.options import AudioOptions

        return AudioOptions(self.channel, self.non_finite, self.full_scale)


@dataclass(frozen=True, kw_only=True)
class DataOptions(RecordingOptions, LabelOptions):
    """Labelled clips, and how their recordings and folds are read."""

    fold: str | None = Option(None, help="The column of folds.")

    def read(self, **settings: Any) -> Dataset:
        """Read the clips; ``settings`` are those of ``Dataset.read``."""
        return super().read(fold=self.fold, audio=self.audio(), **settings)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What a classifier is made of, named as the parameters of ``earmark.train``."""

    backbone: str = Option("auto", help="NAME[,NAME...] or auto.")
    head: Literal["auto", "linear", "logistic", "mlp", "prototype"] = Option(
        "auto", help="The classifier on top."
    )
    layers: str = Option("auto", help="auto, last, all, or NAME,NAME...")


@dataclass(frozen=True, kw_only=True)
class FoldOptions:
    """How clips are divided, named as the parameters of ``earmark.train``."""

    folds: int = Option(5, min=2, help="How many folds to make, unless the data has some.")
    seed: int = Option(0, help="The same seed gives the same result.")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What computes a backbone, named as the parameters of ``earmark.train``."""

    precision: Literal["exact", "fast"] = Option(
        "exact", help="float32, or the fastest with a cosine of 0.999 to it."
    )
    engine: Literal["auto", "torch", "openvino"] = Option(
        "auto", help="What computes the backbone."
    )


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """Fine-tuning: which weights, the recipe, and the folder of its curves."""

    finetune: str | None = Option(
        None, help="Train the networks further, too: full, last:N or lora."
    )
    recipe: str = Option("", help="Changes to fine-tuning: epochs=5,dropout=0.3,...")
    tensorboard: Path | None = Option(None, help="Write curves of fine-tuning into this folder.")

    def check(self, unknown: float | None) -> None:
        """Refuse options that contradict, and a wrong recipe."""
        if self.finetune is None and (self.recipe or self.tensorboard is not None):
            raise EarmarkError("--recipe and --tensorboard need --finetune; add it.")
        if self.finetune is not None and unknown is not None:
            raise EarmarkError(
                "--unknown needs frozen features, and --finetune changes them; leave out one."
            )
        if self.finetune is not None:
            from earmark.training.finetuning.recipe import Recipe, check_method

            check_method(self.finetune)
            Recipe().changed(self.recipe)
        if self.finetune is not None:
            signals.goes_on()  # from its checkpoints


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Whether embeddings are stored, and whether unread recordings count as a failure."""

    allow_skips: bool = ALLOW_SKIPS
    no_store: bool = Option(False, "--no-store", help="Do not use the store of embeddings.")

    def store(self) -> contextlib.AbstractContextManager[Store | None]:
        """Open the store of embeddings; with --no-store, or where it is damaged, there is None."""
        from earmark.embeddings.store import Store

        if self.no_store:
            return contextlib.nullcontext()
        signals.goes_on()
        try:
            return Store()
        except StoreDamageError as error:
            signals.goes_on(False)
            say(f"warning: {error} This run goes on without it.")
            return contextlib.nullcontext()

    def finish(self, skipped: Sequence[Failure]) -> None:
        """Say what could not be read, and exit with 1 if that counts."""
        report_skipped(skipped)
        if skipped and not self.allow_skips:
            raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """Recordings to answer one by one, and the form of the answers."""

    paths: list[str] = Argument(
        metavar="PATH", help="Files, folders, manifests, or - for a list on stdin."
    )
    path: str = PATH
    start: str | None = START
    end: str | None = END
    root: str | None = ROOT
    as_json: bool = Option(False, "--json", help="Print one JSON object a line.")
    as_csv: bool = Option(False, "--csv", help="Print CSV, with a line of column names.")
    allow_skips: bool = ALLOW_SKIPS

    def recordings(self) -> tuple[Iterable[Clip | Path], int]:
        """Expand files, folders and manifests; return them and the length of the longest path.

        What is not there comes as a clip that cannot be read; DataError where nothing is there.
        '-' alone reads paths from standard input as they come, with a length of 0.
        """
        if self.as_json and self.as_csv:
            raise EarmarkError("--json and --csv exclude each other; give one.")
        if self.paths == ["-"]:
            from earmark.apps.cli.lists import paths_in

            return paths_in(sys.stdin), 0
        if "-" in self.paths:
            raise EarmarkError("- stands for a list on standard input; give it alone, or paths.")
        from earmark.data.dataset import answerable
        from earmark.data.folders import paths

        columns = {"path": self.path, "start": self.start, "end": self.end, "root": self.root}
        clips, notes = answerable(self.paths, **columns)
        for note in notes:
            say(f"note: {note}")
        lengths = [len(one_line(clip.name)) for clip in clips if clip.recording is None]
        if not lengths:
            paths(self.paths)  # says why there are none
        return clips, max(lengths)

    def show(self, text: str | None, value: dict[str, Any], rows: list[list[str]]) -> None:
        """Print the answer for one recording in the form that was asked for."""
        if self.as_json:
            print_json(value)
        elif self.as_csv:
            print_csv(rows)
        elif text is not None:
            show(text)

    def finish(self, failures: int) -> None:
        """Exit with 1 if there were failures and they count."""
        if failures and not self.allow_skips:
            raise typer.Exit(1)
