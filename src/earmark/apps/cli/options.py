"""Arguments and options that several commands share, each described once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class NonFiniteChoice(str, Enum):
    """The values of --non-finite."""

    refuse = "refuse"
    zero = "zero"


class HeadChoice(str, Enum):
    """The values of --head."""

    auto = "auto"
    linear = "linear"
    mlp = "mlp"
    prototype = "prototype"


class PrecisionChoice(str, Enum):
    """The values of --precision."""

    exact = "exact"
    fast = "fast"


class EngineChoice(str, Enum):
    """The values of --engine."""

    auto = "auto"
    torch = "torch"
    openvino = "openvino"


Data = Annotated[
    str,
    typer.Argument(help="A folder with one sub-folder per class, or a manifest (CSV, TSV, ...)."),
]
Model = Annotated[Path, typer.Argument(help="A classifier: the file that `earmark train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
AllowSkips = Annotated[
    bool, typer.Option("--allow-skips", help="Exit with 0 though recordings could not be read.")
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Neither read nor keep embeddings.")]
Label = Annotated[str, typer.Option(help="The manifest's column of labels.")]
Group = Annotated[
    str | None, typer.Option(help="The column of what must not straddle a split: speaker, site.")
]
Fold = Annotated[str | None, typer.Option(help="The column of given folds.")]
Separator = Annotated[
    str | None, typer.Option(help="What stands between the classes of a clip that has several.")
]
Channel = Annotated[
    int | None, typer.Option(min=1, help="Listen to this channel, 1 is left; else to the mean.")
]
NonFinite = Annotated[
    NonFiniteChoice, typer.Option(help="Refuse recordings with NaN or infinity, or zero those.")
]
Precision = Annotated[
    PrecisionChoice, typer.Option(help="float32, or the fastest with a cosine of 0.999 to it.")
]
Engine = Annotated[EngineChoice, typer.Option(help="What computes the backbone.")]
FineTune = Annotated[
    str | None,
    typer.Option("--finetune", help="Adapt the networks, too: full, last:N (layers) or lora."),
]
Settings = Annotated[
    str, typer.Option("--recipe", help="Changes to fine-tuning: epochs=5,mixup=0.3,...")
]
TensorBoard = Annotated[
    Path | None, typer.Option(help="Write the curves of fine-tuning into this folder.")
]
Inputs = Annotated[
    list[str], typer.Argument(help="Files, folders, or - for a list on standard input.")
]
Report = Annotated[
    Path | None, typer.Option(help="Write report.html and the figures behind it into this folder.")
]
