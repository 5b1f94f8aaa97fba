"""Commands about the pretrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from earmark.apps.cli import text as console
from earmark.apps.cli.checks import print_json
from earmark.apps.cli.options import Json

app = typer.Typer(help="The pretrained networks: list, show, fetch, verify.", rich_markup_mode=None)


@app.command("list")
def list_backbones(as_json: Json = False) -> None:
    """List the backbones."""
    from earmark import backbones

    infos = [backbones.info(name) for name in backbones.names()]
    if as_json:
        print_json({"backbones": [_described(info) for info in infos]})
        return
    print(f"{'name':<20} {'rate':>6} {'layers':>6} {'size':>8} {'download':>9}  good for")
    for info in infos:
        fetched = sum(file.bytes for file in backbones.weight_files(info.name))
        download = f"{fetched / 1e6:.0f} MB" if fetched else "none"
        print(
            f"{info.name:<20} {info.rate_hz // 1000:>2} kHz {len(info.layers):>6}"
            f" {info.parameters / 1e6:>6.1f} M {download:>9}  {info.summary} ({info.licence})"
        )
    print("hf:NAME-OR-FOLDER: a Wav2Vec2, HuBERT, WavLM, data2vec, UniSpeech-SAT, AST or Whisper.")


@app.command("show")
def show_backbone(name: str, as_json: Json = False) -> None:
    """Show what is known of a backbone: rate, windows, layers, source, licence."""
    from earmark import backbones

    described = _described(backbones.info(name))
    if as_json:
        print_json(described)
        return
    for key, value in described.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{key:<12} {shown}")


@app.command("fetch")
def fetch_backbone(
    name: str,
    to: Annotated[
        Path | None, typer.Option(help="A folder to keep the files in, for another machine.")
    ] = None,
) -> None:
    """Find or download a backbone's weights, check their hash, say where they are."""
    from earmark import backbones, weights

    files = backbones.weight_files(name)
    if not files:
        backbones.create(name)
        print(f"{name} is ready; there is nothing to fetch.")
    for file in files:
        with console.byte_bar(file.name) as bar:
            print(weights.fetch(file, to, bar))


@app.command("verify")
def verify_backbone(name: str) -> None:
    """Load a backbone's weights, check their hash and the network's published reference values."""
    from earmark import backbones

    backbone = backbones.create(name)
    print(backbone.fingerprint)
    print(backbone.verify())


def _described(info: Any) -> dict[str, Any]:
    layers = [f"{layer.name} ({layer.size})" for layer in info.layers]
    return {
        "name": info.name,
        "summary": info.summary,
        "parameters": info.parameters,
        "rate_hz": info.rate_hz,
        "window_s": info.window / info.rate_hz,
        "hop_s": info.hop / info.rate_hz,
        "layers": layers,
        "source": info.source,
        "licence": info.licence,
    }
