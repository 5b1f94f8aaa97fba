"""``earmark export``: a classifier as one ONNX file, for other programs and the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli.checks import check_folder, check_no_detector, check_output
from earmark.apps.cli.options import JSON, ClassifierOptions
from earmark.apps.cli.text import print_json, say, show, warn_of
from earmark.errors import EarmarkError, amount

if TYPE_CHECKING:
    from earmark.classifier.onnx.exporting import Exported


def export(
    *,
    trained: ClassifierOptions,
    output: Path | None = Option(None, "-o", "--output", help="The .onnx file to write."),
    precision: str = Option(
        "float32", help="How weights are stored: float32, or float16 for half the size."
    ),
    web: Path | None = Option(
        None, help="Write a folder with a page that runs the classifier in a browser."
    ),
    verify: str | None = Option(
        None, metavar="DATA", help="Recordings to compare with `earmark predict` before writing."
    ),
    check: Path | None = Option(
        None, help="Compare this exported file with MODEL instead of writing one."
    ),
    as_json: bool = JSON,
) -> None:
    """Export a classifier as one ONNX file that needs neither earmark nor PyTorch.

    Its scores are compared with those of `earmark predict` before it is written. LICENSES.txt is
    written beside it.
    """
    model = trained.file()
    _check(model, output, precision, web, check)
    from earmark.classifier.onnx import exporting

    exporting.find_packages()
    if web is not None:
        _fetch_runtime()
    recordings = () if verify is None else _recordings(verify)
    classifier = trained.load(model)
    warn_of(model, classifier.estimate.warning)
    if check is not None:
        result = exporting.check_exported(classifier, check, verify=recordings)
    else:
        result = exporting.export(classifier, precision=precision, verify=recordings)
    licences = None
    if output is not None:
        output.parent.mkdir(exist_ok=True)
        licences = result.save(output)
    if web is not None:
        from earmark.classifier.onnx.web import write_web_folder

        write_web_folder(web, result.content, result.description, result.licences)
    for warning in result.warnings:
        say(f"warning: {warning}")
    if as_json:
        print_json(_json(result, output or check, web, licences))
    else:
        _show(result, output or check, web, licences)


def _check(
    model: Path, output: Path | None, precision: str, web: Path | None, check: Path | None
) -> None:
    if precision not in ("float32", "float16"):
        raise EarmarkError(f"--precision is {precision!r}. Give float32 or float16.")
    if check is not None and (output is not None or web is not None):
        raise EarmarkError("--check writes nothing. Leave out -o and --web, or leave out --check.")
    if check is None and output is None and web is None:
        raise EarmarkError("nothing to write. Give -o FILE.onnx, --web DIR, or both.")
    if output is not None:
        if output.suffix.lower() != ".onnx":
            raise EarmarkError(f"-o is {output}, which does not end in .onnx. Name such a file.")
        check_output(output, model)
    if web is not None:
        check_no_detector(model)
        check_folder(web, model)
        from earmark.classifier.onnx.web import check_web_folder

        check_web_folder(web)


def _fetch_runtime() -> None:
    """Fetch what the page needs, before the export takes its time."""
    from earmark.apps.cli.progress import byte_bar
    from earmark.classifier.onnx.web_runtime import fetch_runtime

    with byte_bar("onnxruntime-web") as progress:
        fetch_runtime(progress)


def _recordings(source: str) -> list[Any]:
    """Return the clips of DATA for ``--verify``."""
    from earmark.data.dataset import Dataset

    return list(Dataset.read(source, need_labels=False).clips)


def _show(result: Exported, path: Path | None, web: Path | None, licences: Path | None) -> None:
    about = result.description
    what = f"{len(result.content) / 1e6:.2f} MB, {about['precision']}, {about['rate_hz']} Hz"
    classes = amount(len(about["labels"]), "class")
    show(f"{path or web}: {what}, {classes}")
    if web is not None:
        show(f"{web}: open it with `python -m http.server --directory {web}`")
    show(
        f"scores differ from those of predict by {result.largest:.1e} at most, by"
        f" {result.median:.1e} in the median of {amount(len(result.differences), 'sound')}"
    )
    for backbone in about["backbones"]:
        show(f"backbone {backbone['name']}: licence {backbone['licence']}")
    if licences is not None:
        show(f"licences: {licences}")


def _json(
    result: Exported, path: Path | None, web: Path | None, licences: Path | None
) -> dict[str, Any]:
    return {
        "output": None if path is None else str(path),
        "licences": None if licences is None else str(licences),
        "web": None if web is None else str(web),
        "bytes": len(result.content),
        "description": result.description,
        "sounds": len(result.differences),
        "largest_difference": result.largest,
        "median_difference": result.median,
        "warnings": list(result.warnings),
    }
