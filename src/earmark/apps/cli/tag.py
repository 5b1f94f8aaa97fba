"""``earmark tag``: name sounds in recordings with the classes of AudioSet."""

from typer import Option

from earmark.apps.cli.checks import check_backbones
from earmark.apps.cli.options import ALLOW_REMOTE, AnswerOptions
from earmark.apps.cli.text import (
    STRETCH,
    are_stretches,
    print_csv,
    say,
    stretch_cells,
    stretch_json,
)
from earmark.system.text import one_line


def tag(
    *,
    options: AnswerOptions,
    backbone: str = Option(
        "efficientat-mn04", help="The pretrained network: yamnet or one of efficientat-*."
    ),
    allow_remote: bool = ALLOW_REMOTE,
    top: int = Option(5, min=1, help="Number of classes to show for each recording."),
) -> None:
    """Name sounds with the classes of AudioSet, without training.

    The exit code is 1 if a recording could not be read.
    """
    check_backbones(backbone)
    recordings, width = options.recordings(allow_remote)
    from earmark.classifier.tagging import tag_iter

    failures, has_stretches = 0, are_stretches(recordings)
    answers = tag_iter(recordings, backbone, top)
    if options.as_csv:
        print_csv([["path", "tag", "score", "error", *(STRETCH if has_stretches else ())]])
    for tags in answers:
        stretch = stretch_cells(tags) if has_stretches else []
        if tags.error is not None:
            failures += 1
            failure = {"path": tags.path, **stretch_json(tags), "error": tags.error}
            options.show(None, failure, [[tags.path, "", "", tags.error, *stretch]])
            say(f"{tags.name}: {tags.error}")
            continue
        scores = "  ".join(f"{name} {score:.3f}" for name, score in tags.scores.items())
        rows = [[tags.path, name, f"{p:.6f}", "", *stretch] for name, p in tags.scores.items()]
        answer = {"path": tags.path, **stretch_json(tags), "tags": tags.scores}
        options.show(f"{one_line(tags.name):<{width}}  {scores}", answer, rows)
    options.finish(failures)
