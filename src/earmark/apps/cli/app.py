"""The ``earmark`` command with all its subcommands."""

import typer

from earmark.apps.cli import (
    backbones,
    cache,
    compare,
    data,
    demo,
    detect,
    doctor,
    embed,
    evaluate,
    export,
    index,
    label,
    predict,
    pull,
    push,
    review,
    search,
    serve,
    stream,
    studio,
    tag,
    train,
)
from earmark.apps.cli.parsing import add, new_app
from earmark.errors import EarmarkError

app = new_app(
    "Turn a folder of labelled recordings into an audio classifier you can trust and ship."
)
add(app, train.train, evaluate.evaluate, review.review, compare.compare, predict.predict)
add(app, detect.detect, stream.stream, tag.tag, embed.embed, doctor.doctor, demo.demo)
add(app, index.index, search.search, label.label)
add(app, push.push, pull.pull)
add(app, export.export, serve.serve, studio.studio)
for group, name in ((backbones.app, "backbones"), (data.app, "data"), (cache.app, "cache")):
    app.add_typer(group, name=name, short_help=group.info.help)


@app.callback(invoke_without_command=True)
def _earmark(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version."),
    verbose: bool = typer.Option(
        False, "--verbose", help="With --version: show packages, machine, weights and folders, too."
    ),
) -> None:
    if version:
        from earmark.apps.cli.about import show_version

        show_version(verbose)
        raise typer.Exit
    if verbose:
        raise EarmarkError("--verbose needs --version. Write earmark --version --verbose.")
    if context.invoked_subcommand is None:
        context.fail("Missing command.")
