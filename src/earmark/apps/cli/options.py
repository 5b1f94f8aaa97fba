"""Arguments and options, each described once; options that belong together form a class."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from typer import Argument, Option

from earmark.apps.cli import archive_labels, signals
from earmark.apps.cli.checks import local_model
from earmark.apps.cli.text import print_csv, print_json, report_skipped, say, show
from earmark.errors import EarmarkError, StoreDamageError
from earmark.system.text import one_line

if TYPE_CHECKING:
    from earmark.audio.options import AudioOptions
    from earmark.classifier.classifier import Classifier
    from earmark.data.blocks import ClipBlocks
    from earmark.data.clip import Clip
    from earmark.data.dataset import Dataset
    from earmark.embeddings.stages import Failure
    from earmark.embeddings.store import Store

MOST_PADDED = 100  # characters of a path that answers are aligned by; longer ones are not
DATA = Argument(
    metavar="DATA",
    help="A folder with one sub-folder per class, a manifest, or an archive with labels.",
)
LABELS = Option(
    None, help="The file of labels of an archive; by default labels.csv in the archive."
)
MODEL = Argument(
    metavar="MODEL",
    help="The classifier file that `earmark train` wrote, or hf://OWNER/NAME[@REVISION].",
)
REPO = Argument(metavar="REPO", help="The repository on the Hugging Face Hub: OWNER/NAME.")
ALLOW_REMOTE = Option(
    False,
    "--allow-remote",
    help="Fetch what a file names elsewhere: recordings (s3, gs, az, https) and networks.",
)
REPORT = Option(None, help="Write report.html and its figures into this folder.")
JSON = Option(False, "--json", help="Print one JSON object on standard output.")
JSON_LINES = Option(False, "--json", help="Print one JSON object per line.")
PATH = Option("path", help="Manifest column with the paths of the recordings.")
START = Option(None, help="Manifest column with the start of clips in seconds; `none` ignores it.")
END = Option(None, help="Manifest column with the end of clips in seconds; `none` ignores it.")
ROOT = Option(None, help="Folder that the paths of a manifest are relative to, if not its own.")
CLIPS = Option(
    None, help="Cut out what was found as clips, into a sub-folder of this folder for each class."
)
MARGIN = Option(0.0, min=0, help="Seconds of sound before and after each clip.")
GROUP = Option(
    None, help="Column with a group, such as speaker or site; a group stays in one fold."
)
APPLY = Option(
    None, help="Apply the decisions of this filled-in table, which `review` or `label` wrote."
)
MODEL_FILE = "The classifier file to write."
ALLOW_SKIPS = Option(
    False, "--allow-skips", help="Exit with 0 even if some recordings could not be read."
)


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Labelled clips, and the names of the manifest's columns."""

    source: str = DATA
    label: str = Option("label", help="Manifest column with the labels.")
    group: str | None = GROUP
    separator: str | None = Option(
        None, help="Text between the classes of a clip with several, such as ';'."
    )
    path: str = PATH
    start: str | None = START
    end: str | None = END
    root: str | None = ROOT
    split: str | None = Option(
        None, help="Manifest column with the split: train, test or validation."
    )
    split_map: str | None = Option(
        None, help="Meaning of other split names: gold=test,rest=train; `none` ignores splits."
    )
    labels: Path | None = LABELS

    @property
    def is_archive(self) -> bool:
        """Whether DATA is an archive, with labels of windows. Refuses --labels without one."""
        from earmark.embeddings.archive_file import is_archive

        if is_archive(self.source):
            return True
        if self.labels is not None:
            raise EarmarkError(
                f"--labels needs an archive, and {self.source} is none. Leave it out."
            )
        return False

    def read(self, *, quiet: bool = False, **settings: Any) -> Dataset:
        """Read the clips and print the notes; ``settings`` are further ones of ``Dataset.read``."""
        from earmark.data.dataset import Dataset

        if self.is_archive:
            dataset = archive_labels.labelled(self, **settings)
        else:
            names = "label group separator path start end root split split_map"
            columns = {name: getattr(self, name) for name in names.split()}
            dataset = Dataset.read(self.source, **{**columns, **settings})
        for note in () if quiet else dataset.notes:
            say(f"note: {note}")
        return dataset

    def as_typed(self) -> list[str]:
        """Return DATA and the options that say how to read it, for the next command to type."""
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
        None, min=1, help="Read this channel (1 is left) instead of the mean of all."
    )
    non_finite: Literal["refuse", "zero"] = Option(
        "refuse", help="Refuse recordings with NaN or infinite samples, or set those to zero."
    )
    full_scale: float = Option(
        1.0, help="Full scale of floating-point recordings; 32768 if they hold 16-bit values."
    )

    def audio(self) -> AudioOptions:
        """Return the options as the library expects them."""
        from earmark.audio.options import AudioOptions

        return AudioOptions(self.channel, self.non_finite, self.full_scale)


@dataclass(frozen=True, kw_only=True)
class DataOptions(RecordingOptions, LabelOptions):
    """Labelled clips, and how their recordings and folds are read."""

    fold: str | None = Option(None, help="Manifest column with the fold of each clip.")
    allow_remote: bool = ALLOW_REMOTE

    def read(self, **settings: Any) -> Dataset:
        """Read the clips; ``settings`` are further ones of ``Dataset.read``."""
        settings = {"allow_remote": self.allow_remote, **settings}
        return super().read(fold=self.fold, audio=self.audio(), **settings)

    def blocks(self, size: int) -> ClipBlocks:
        """Open the clips in blocks of ``size``, without a list of all; labels may be missing."""
        if self.is_archive:
            return archive_labels.blocks_of(self.read(need_labels=False), size)
        from earmark.data.blocks import ClipBlocks

        names = ("path", "label", "start", "end", "group", "fold", "split")
        columns = {name: getattr(self, name) for name in names}
        columns |= {name: None for name in ("path", "label") if columns[name] == name}
        clips = ClipBlocks.read(
            self.source,
            size,
            columns=columns,
            allow_remote=self.allow_remote,
            separator=self.separator,
            root=self.root,
            split_map=self.split_map,
        )
        for note in clips.notes:
            say(f"note: {note}")
        return clips


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The parts of a classifier, named like the parameters of ``earmark.train``."""

    backbone: str = Option("auto", help="The pretrained networks: auto, or NAME[,NAME...].")
    head: Literal["auto", "linear", "logistic", "mlp", "prototype"] = Option(
        "auto", help="The small classifier that is trained on the embeddings."
    )
    layers: str = Option(
        "auto", help="The layers that the head reads: auto, last, all, or NAME,NAME..."
    )


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions:
    """A trained classifier to use."""

    model: Path = MODEL
    allow_remote: bool = ALLOW_REMOTE

    def file(self) -> Path:
        """Return the file of the classifier, downloaded if it is on the Hub.

        Refuses a file that is not a classifier; only its header is read.
        """
        return local_model(self.model)

    def load(self, file: Path) -> Classifier:
        """Read the whole file."""
        from earmark.classifier.classifier import Classifier

        return Classifier.load(file, allow_remote=self.allow_remote)


@dataclass(frozen=True, kw_only=True)
class FoldOptions:
    """How clips are divided into folds, named like the parameters of ``earmark.train``."""

    folds: int = Option(5, min=2, help="Number of folds to make if the data has no folds.")
    seed: int = Option(0, help="Random seed; the same seed gives the same result.")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The engine that computes a backbone, named like the parameters of ``earmark.train``."""

    precision: Literal["exact", "fast"] = Option(
        "exact",
        help="exact: float32. fast: the fastest format with a cosine of 0.999 to float32.",
    )
    engine: Literal["auto", "torch", "openvino"] = Option(
        "auto", help="The library that computes the backbone."
    )


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Whether to plan only, and what a plan is made for."""

    plan: bool = Option(
        False, "--plan", help="Write nothing: embed a sample, and say what all would take."
    )
    price: float | None = Option(
        None, min=0.0, help="With --plan: the price of a core for an hour; 0.04 by default."
    )
    cores: int | None = Option(
        None, min=1, help="With --plan: the cores to compute with; by default those here."
    )
    sample: int | None = Option(
        None, min=1, help="With --plan: how many clips to embed; 200 by default."
    )

    def check(self) -> None:
        """Refuse options of a plan without --plan."""
        if not self.plan and (self.price, self.cores, self.sample) != (None, None, None):
            raise EarmarkError("--price, --cores and --sample need --plan. Add it.")


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """Fine-tuning: the weights to train, the recipe, and the folder for its curves."""

    finetune: str | None = Option(
        None, help="Also train weights of the networks: full, last:N or lora."
    )
    recipe: str = Option("", help="Settings of fine-tuning to change: epochs=5,dropout=0.3,...")
    tensorboard: Path | None = Option(
        None, help="Write the curves of fine-tuning into this folder, for TensorBoard."
    )
    checkpoints: str | None = Option(
        None,
        help="Keep the checkpoints of fine-tuning in this folder, or under this URI (s3, gs, az),"
        " which all machines see.",
    )

    def check(self, unknown: float | None) -> None:
        """Refuse options that contradict each other, and a wrong recipe."""
        needing = (self.recipe, self.tensorboard, self.checkpoints)
        if self.finetune is None and any(needing):
            raise EarmarkError("--recipe, --tensorboard and --checkpoints need --finetune. Add it.")
        if self.finetune is not None and unknown is not None:
            raise EarmarkError(
                "--unknown needs frozen networks, and --finetune changes them. Leave one out."
            )
        if self.finetune is not None:
            from earmark.training.finetuning.recipe import Recipe, check_method

            check_method(self.finetune)
            Recipe().changed(self.recipe)
        if self.finetune is not None:
            signals.goes_on()  # fine-tuning resumes from its checkpoints


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Whether embeddings are stored, and whether unreadable recordings count as a failure."""

    allow_skips: bool = ALLOW_SKIPS
    no_store: bool = Option(
        False, "--no-store", help="Do not store embeddings or read stored ones."
    )

    def store(self) -> contextlib.AbstractContextManager[Store | None]:
        """Open the store of embeddings; None with --no-store or if the store is damaged."""
        from earmark.embeddings.store import Store

        if self.no_store:
            return contextlib.nullcontext()
        signals.goes_on()
        try:
            return Store()
        except StoreDamageError as error:
            signals.goes_on(False)
            say(f"warning: {error} This run continues without it.")
            return contextlib.nullcontext()

    def finish(self, skipped: Sequence[Failure]) -> None:
        """List the recordings that could not be read; exit with 1 unless --allow-skips is given."""
        report_skipped(skipped)
        if skipped and not self.allow_skips:
            raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Recordings to work on one by one."""

    paths: list[str] = Argument(
        metavar="PATH", help="Files, folders or manifests; - reads a list from standard input."
    )
    path: str = PATH
    start: str | None = START
    end: str | None = END
    root: str | None = ROOT
    allow_skips: bool = ALLOW_SKIPS

    def recordings(self, allow_remote: bool = False) -> tuple[Iterable[Clip | Path], int]:
        """Return the clips of all files, folders and manifests, and the length of the longest path.

        A missing file becomes a clip that cannot be read. Raises DataError if all are missing.
        '-' alone reads paths from standard input as they arrive; the length is then 0.
        """
        if self.paths == ["-"]:
            from earmark.apps.cli.lists import paths_in

            return paths_in(sys.stdin, allow_remote), 0
        if "-" in self.paths:
            raise EarmarkError(
                "- reads a list from standard input and must stand alone. Give either - or paths."
            )
        from earmark.data.dataset import answerable
        from earmark.data.folders import paths

        columns = {"path": self.path, "start": self.start, "end": self.end, "root": self.root}
        clips, notes = answerable(self.paths, allow_remote, **columns)
        for note in notes:
            say(f"note: {note}")
        lengths = [len(one_line(clip.name)) for clip in clips if clip.recording is None]
        if not lengths:
            paths(self.paths)  # raises an error that says why there are none
        return clips, min(max(lengths), MOST_PADDED)

    def blocks(self, size: int, allow_remote: bool = False) -> ClipBlocks:
        """Open one manifest or folder in blocks of ``size`` clips, with the clips of above."""
        from earmark.data.blocks import ClipBlocks
        from earmark.data.clip import Clip
        from earmark.data.dataset import is_listed

        if len(self.paths) != 1 or self.paths == ["-"]:
            raise EarmarkError(
                "a folder of parts needs one PATH, a folder or a manifest. Write a manifest of the"
                " recordings, and give it."
            )
        (source,) = self.paths
        if not is_listed(source):
            given = self.recordings(allow_remote)[0]
            clips = [Clip(item) if isinstance(item, Path) else item for item in given]
            return ClipBlocks.of(clips, size, source)
        columns = {"path": None if self.path == "path" else self.path}
        columns |= {"start": self.start, "end": self.end}
        rows = ClipBlocks.read(
            source, size, columns=columns, root=self.root, allow_remote=allow_remote, is_list=True
        )
        for note in rows.notes:
            say(f"note: {note}")
        return rows

    def finish(self, failures: int) -> None:
        """Exit with 1 if there were failures, unless --allow-skips is given."""
        if failures and not self.allow_skips:
            raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(InputOptions):
    """Recordings to predict one by one, and the format of the output."""

    as_json: bool = JSON_LINES
    as_csv: bool = Option(False, "--csv", help="Print CSV with a header line.")

    def recordings(self, allow_remote: bool = False) -> tuple[Iterable[Clip | Path], int]:
        """Return the clips; see :class:`InputOptions`. Refuse two formats at once."""
        if self.as_json and self.as_csv:
            raise EarmarkError("--json and --csv exclude each other. Give only one.")
        return super().recordings(allow_remote)

    def show(self, text: str | None, value: dict[str, Any], rows: list[list[str]]) -> None:
        """Print the result of one recording as text, JSON or CSV."""
        if self.as_json:
            print_json(value)
        elif self.as_csv:
            print_csv(rows)
        elif text is not None:
            show(text)
