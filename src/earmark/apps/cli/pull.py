"""``earmark pull``: copy a classifier from the Hugging Face Hub into a file."""

from pathlib import Path

from typer import Option

from earmark.apps.cli.checks import check_model_output
from earmark.apps.cli.options import JSON, REPO
from earmark.apps.cli.progress import byte_bar
from earmark.apps.cli.text import print_json, show, warn_of


def pull(
    *,
    repo: str = REPO,
    output: Path | None = Option(
        None, "-o", "--output", help="The file to write; by default NAME.earmark."
    ),
    as_json: bool = JSON,
) -> None:
    """Copy a classifier from the Hugging Face Hub into a file.

    REPO may have a revision, OWNER/NAME@REVISION. Size and hash of the file are checked. No code in
    it is run, and a network that it names is downloaded only by a command with --allow-remote.
    """
    from earmark.classifier.hub_address import address_of, file_of

    address = address_of(repo)
    target = file_of(address) if output is None else output
    check_model_output(target)
    from earmark.classifier.hub_files import commit_of, copy_to, fetch

    with byte_bar(str(address)) as bar:
        path = fetch(address, bar)
    from earmark.classifier.classifier import Classifier

    classifier = Classifier.load(path)
    target.parent.mkdir(exist_ok=True)
    copy_to(path, target)
    warn_of(target, classifier.estimate.warning)
    if as_json:
        commit = commit_of(path)
        print_json({"address": str(address), "commit": commit, "model": str(target)})
        return
    show(f"{target}: {classifier!r}")
