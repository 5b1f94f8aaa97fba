"""The ``earmark`` command with all its subcommands."""

import typer

from earmark.apps.cli import (
    backbones,
    cache,
    compare,
    data,
    demo,
    doctor,
    embed,
    evaluate,
    predict,
    review,
    tag,
    train,
)
from earmark.apps.cli.parsing import add, new_app

app = new_app(
    "Turn a folder of labelled recordings into an audio classifier you can trust and ship."
)
add(app, train.train, evaluate.evaluate, review.review, compare.compare, predict.predict)
add(app, tag.tag, embed.embed, doctor.doctor, demo.demo)
for group, name in ((backbones.app, "backbones"), (data.app, "data"), (cache.app, "cache")):
    app.add_typer(group, name=name, short_help=group.info.help)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from earmark import __version__

        print(f"earmark {__version__}")
        raise typer.Exit


@app.callback()
def _earmark(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass
