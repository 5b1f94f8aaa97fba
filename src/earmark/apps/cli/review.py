"""``earmark review``: list labels that look wrong, and correct them."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli.checks import check_backbones, check_output
from earmark.apps.cli.options import APPLY, JSON, DataOptions, FoldOptions, ModelOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import class_text, print_json, say, show, skipped_json
from earmark.errors import DataError, EarmarkError, amount

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.data.clip import Clip
    from earmark.data.dataset import Dataset
    from earmark.labelling.reviewing import Review


def review(
    *,
    data: DataOptions,
    model: ModelOptions,
    folds: FoldOptions,
    top: int = Option(30, min=1, help="Number of labels to list, most doubtful first."),
    apply: Path | None = APPLY,
    output: Path | None = Option(
        None, "-o", "--output", help="The decisions file to write; with --apply, the manifest."
    ),
    as_json: bool = JSON,
    run: RunOptions,
) -> None:
    """List labels that look wrong, with the reason, and correct them.

    DATA may be a classifier; then the data that it was trained on is reviewed. The decisions file
    that -o writes has a column for your decisions. Fill it in, and give the file to --apply.
    """
    _check(apply, output, data.source)
    reviewed: Classifier | None = None
    settings = {**asdict(model), **asdict(folds)}
    if _is_model(data.source):
        from earmark.labelling.reviewing import of_model

        dataset, reviewed = of_model(Path(data.source))
        provenance = reviewed.provenance
        arguments = {**provenance.get("arguments", {}), "seed": provenance.get("seed", 0)}
        settings |= {name: arguments[name] for name in settings if name in arguments}
    else:
        dataset = data.read()
    if apply is not None and output is not None:
        _correct(dataset, apply, output, as_json)
        return
    check_backbones(settings["backbone"])
    from earmark.classifier.networks import only_from_here
    from earmark.labelling import corrections
    from earmark.labelling.reviewing import review

    with contextlib.ExitStack() as stack:
        for name in settings["backbone"].split(",") if reviewed is not None else ():
            stack.enter_context(only_from_here(name))  # a file named it, and not the user
        store = stack.enter_context(run.store())
        bar = stack.enter_context(progress_bar("starting"))
        result = review(dataset, **settings, top=top, store=store, progress=bar)
    if output is not None:
        output.parent.mkdir(exist_ok=True)
        corrections.write(output, result.suspects)
    estimate = result.training.estimate
    if reviewed is not None:
        _say_changes(data.source, dataset, reviewed, result.training.classifier)
        estimate = reviewed.estimate
    if as_json:
        print_json(_json(data.source, result, output) | {"verdict": estimate.verdict})
    else:
        show(*_lines(data, result, output, estimate.warning))
    run.finish(result.training.skipped)


def _say_changes(source: str, dataset: Dataset, old: Classifier, new: Classifier) -> None:
    """Warn if the data or a backbone has changed since the classifier was trained."""
    digest = new.provenance["data"]
    is_of_clips = old.detector is None  # a detector's digest is that of windows
    if is_of_clips and old.provenance.get("data", digest) != digest:
        say(
            f"warning: {dataset.source} has changed since {source} was trained on it. This review"
            " reads the changed data."
        )
    for before, now in zip(old.backbones, new.backbones, strict=False):
        if before.name == now.name and before.fingerprint != now.fingerprint:
            say(
                f"warning: {source} was trained with {before.fingerprint}. This review uses"
                f" {now.fingerprint}."
            )


def _check(apply: Path | None, output: Path | None, source: str) -> None:
    """Refuse a missing -o, an -o that is an input, and a file that already exists."""
    if apply is not None and output is None:
        raise EarmarkError("--apply needs a manifest to write. Add -o CORRECTED.csv.")
    if output is None:
        return
    check_output(output, source, *([apply] if apply else []))
    if apply is None and output.exists():
        raise EarmarkError(f"{output} already exists. Name a new file, or delete this one.")


def _is_model(source: str) -> bool:
    """Return whether ``source`` is a file without the suffix of a manifest or label track."""
    from earmark.data.annotations import SUFFIX
    from earmark.data.tables import MANIFEST_SUFFIXES

    path = Path(source)
    return path.is_file() and path.suffix.lower() not in (*MANIFEST_SUFFIXES, SUFFIX)


def _correct(dataset: Dataset, apply: Path, output: Path, as_json: bool) -> None:
    """Write the corrected manifest; never overwrite the data or the decisions file."""
    for original in (Path(dataset.source), apply):
        if output.exists() and original.exists() and output.samefile(original):
            raise DataError(f"{output} is an input and would be overwritten. Name another output.")
    from earmark.labelling import corrections

    corrected, counts = corrections.apply(dataset, apply)
    output.parent.mkdir(exist_ok=True)
    corrected.to_manifest(output)
    numbers = {kind: counts[kind] for kind in ("relabelled", "dropped", "kept")}
    if as_json:
        print_json({"manifest": str(output), "clips": len(corrected), **numbers})
        return
    changes = ", ".join(f"{number} {kind}" for kind, number in numbers.items())
    show(f"{amount(len(corrected), 'clip')} -> {output}: {changes}, as {apply} says")
    if corrected.separator:
        say(f"add --separator {corrected.separator!r} to commands that read {output}")


def _lines(
    data: DataOptions, result: Review, output: Path | None, warning: str | None
) -> list[str]:
    source = data.source
    clips = amount(result.n_clips, "clip")
    lines = [] if warning is None else [f"{source}: {warning}", _LISTEN_FIRST]
    suspects = amount(len(result.suspects), "most doubtful label")
    lines += [f"{source}: {clips}; the {suspects}, with the doubt from 0 to 1"]
    for number, suspect in enumerate(result.suspects, 1):
        change = f" -> {class_text(suspect.suggested)}?" if suspect.suggested else ""
        name = _labelled(suspect.clip)
        lines.append(f"{number:>4}  {suspect.doubt:.3f}  {name}{change}")
        lines.append(f"        {suspect.reason}")
        for near in suspect.neighbours:
            lines.append(f"        similarity {near.similarity:.2f}  {_labelled(near.clip)}")
    if output is not None:
        apply = ["earmark", "review", *data.as_typed(), "--apply", str(output)]
        lines.append(
            f"-> {output}; fill in its last column (keep, relabel, drop or a class), then run:"
            f"  {shlex.join(apply)} -o CORRECTED.csv"
        )
    return lines


_LISTEN_FIRST = "The doubts of a weak classifier mean little: listen before you change a label."


def _labelled(clip: Clip) -> str:
    from earmark.data.clip import NO_CLASS

    return f"{clip.name}  {class_text(clip.label) if clip.label else NO_CLASS}"


def _json(source: str, result: Review, output: Path | None) -> dict[str, Any]:
    return {
        "data": source,
        "clips": result.n_clips,
        "decisions": None if output is None else str(output),
        "skipped": skipped_json(result.training.skipped),
        "suspects": [
            {
                **_clip_json(suspect.clip),
                "suggested": suspect.suggested,
                "evidence": suspect.doubt,
                "reason": suspect.reason,
                "neighbours": [
                    {**_clip_json(near.clip), "similarity": near.similarity}
                    for near in suspect.neighbours
                ],
            }
            for suspect in result.suspects
        ],
    }


def _clip_json(clip: Clip) -> dict[str, Any]:
    return {"path": clip.place, "start": clip.start, "end": clip.end, "label": clip.label}
