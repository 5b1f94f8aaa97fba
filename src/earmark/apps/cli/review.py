"""The command that looks for labels that are wrong, and corrects them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from earmark.apps.cli import text as console
from earmark.apps.cli.checks import check_output, finish, opened_store, print_json
from earmark.apps.cli.options import (
    AllowSkips,
    Channel,
    Fold,
    Group,
    HeadChoice,
    Json,
    Label,
    NonFinite,
    NonFiniteChoice,
    NoStore,
    Separator,
)
from earmark.errors import DataError, EarmarkError


def review(
    data: Annotated[
        str, typer.Argument(help="Labelled recordings, or a classifier: then what it learnt from.")
    ],
    backbone: Annotated[str, typer.Option(help="NAME[,NAME...] or auto.")] = "auto",
    head: Annotated[HeadChoice, typer.Option(help="The classifier on top.")] = HeadChoice.auto,
    layers: Annotated[str, typer.Option(help="auto, last, all, or NAME,NAME...")] = "auto",
    label: Label = "label",
    group: Group = None,
    fold: Fold = None,
    separator: Separator = None,
    channel: Channel = None,
    non_finite: NonFinite = NonFiniteChoice.refuse,
    folds: Annotated[int, typer.Option(min=2, help="Folds to make where none are given.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same list.")] = 0,
    top: Annotated[int, typer.Option(min=1, help="How many labels to list, worst first.")] = 30,
    apply: Annotated[
        Path | None, typer.Option(help="A filled decisions file: write a corrected manifest to -o.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The decisions file, or corrected manifest, to write."),
    ] = None,
    as_json: Json = False,
    allow_skips: AllowSkips = False,
    no_store: NoStore = False,
) -> None:
    """List the labels that look wrong, with reasons; correct them by a decisions file."""
    from earmark import decisions
    from earmark.audio import AudioOptions
    from earmark.dataset import Dataset
    from earmark.review import is_model, of_model, review

    if output is not None:
        check_output(output)
    provenance: dict[str, Any] = {}
    arguments: dict[str, Any] = {
        "backbone": backbone,
        "head": head.value,
        "layers": layers,
        "folds": folds,
    }
    if is_model(Path(data)):
        dataset, classifier = of_model(Path(data))
        provenance = classifier.provenance
        arguments, seed = provenance["arguments"], provenance["seed"]
    else:
        audio = AudioOptions(channel, non_finite.value)
        dataset = Dataset.read(
            data, label=label, group=group, fold=fold, separator=separator, audio=audio
        )
    if apply is not None:
        _correct(dataset, apply, output, as_json)
        return
    if output is not None and output.exists():
        raise EarmarkError(f"{output} is there already; name a new file, or delete it.")
    with opened_store(no_store) as store, _bar(dataset, [str(arguments["backbone"])]) as bar:
        found = review(dataset, **arguments, seed=seed, top=top, store=store, progress=bar)
    if output is not None:
        decisions.write(output, found.suspects)
    now = found.training.classifier.provenance["data"]
    if provenance.get("data", now) != now:
        console.say(f"warning: {dataset.source} has changed since {data} was trained on it.")
    if as_json:
        print_json(_review_json(data, found, output))
    else:
        print(_review_text(data, found, output))
    finish(found.training.skipped, allow_skips)


def _correct(dataset: Any, apply: Path, output: Path | None, as_json: bool) -> None:
    """Write the corrected manifest, never over what it was made of."""
    from earmark import decisions

    if output is None:
        raise EarmarkError("--apply needs -o CORRECTED.csv, the manifest to write.")
    for original in (Path(dataset.source), apply):
        if output.exists() and original.exists() and output.samefile(original):
            raise DataError(f"{output} would be overwritten; name another file with -o.")
    corrected, counts = decisions.apply(dataset, apply)
    corrected.to_manifest(output)
    kinds = ("relabelled", "dropped", "kept")
    if as_json:
        told = {"manifest": str(output), "clips": len(corrected)}
        print_json({**told, **{kind: counts[kind] for kind in kinds}})
        return
    shown = ", ".join(f"{counts[kind]} {kind}" for kind in kinds)
    print(f"{len(corrected)} clips -> {output}: {shown} by {apply}")
    if corrected.separator:
        console.say(f"read it with --separator {corrected.separator!r}")


def _bar(dataset: Any, backbones: list[str]) -> contextlib.AbstractContextManager[Any]:
    from earmark.training import backbone_names

    names = [name for given in backbones for name in backbone_names(given)[0]]
    return console.progress_bar("embedding", len(dataset) * len(names))


def _review_text(data: str, found: Any, output: Path | None) -> str:
    lines = [f"{data}: {found.clips} clips; the {len(found.suspects)} labels that look worst"]
    for number, suspect in enumerate(found.suspects, 1):
        change = f" -> {suspect.suggested}?" if suspect.suggested else ""
        lines += [
            f"{number:>4}  {suspect.evidence:.3f}  {_name(suspect.clip)}  {suspect.clip.label}"
            + change,
            f"        {suspect.reason}",
            *(
                f"        near {near.similarity:.2f}  {_name(near.clip)}  {near.clip.label}"
                for near in suspect.neighbours
            ),
        ]
    if output is not None:
        lines.append(
            f"-> {output}; fill in its last column (keep, relabel, drop or a class), then:"
            f"  earmark review {data} --apply {output} -o CORRECTED.csv"
        )
    return "\n".join(lines)


def _name(clip: Any) -> str:
    if clip.start is None and clip.end is None:
        return str(clip.path)
    return f"{clip.path} {clip.start or 0:g}..{'' if clip.end is None else f'{clip.end:g}'}"


def _review_json(data: str, found: Any, output: Path | None) -> dict[str, Any]:
    return {
        "data": data,
        "clips": found.clips,
        "decisions": None if output is None else str(output),
        "skipped": [{"path": f.path, "reason": f.reason} for f in found.training.skipped],
        "suspects": [
            {
                **_clip_json(suspect.clip),
                "suggested": suspect.suggested,
                "evidence": suspect.evidence,
                "reason": suspect.reason,
                "neighbours": [
                    {**_clip_json(near.clip), "similarity": near.similarity}
                    for near in suspect.neighbours
                ],
            }
            for suspect in found.suspects
        ],
    }


def _clip_json(clip: Any) -> dict[str, Any]:
    return {"path": str(clip.path), "start": clip.start, "end": clip.end, "label": clip.label}
