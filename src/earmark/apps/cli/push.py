"""``earmark push``: publish a classifier on the Hugging Face Hub."""

import sys
from pathlib import Path

from typer import Option

from earmark.apps.cli.checks import local_model
from earmark.apps.cli.options import JSON, MODEL, REPO
from earmark.apps.cli.text import print_json, say, show, warn_of
from earmark.errors import EarmarkError, HubError, amount


def push(
    *,
    model: Path = MODEL,
    repo: str = REPO,
    public: bool = Option(
        False, "--public", help="Let everybody read a repository that is created."
    ),
    licence: str | None = Option(
        None, help="The licence of the classifier, for its card: cc-by-4.0, apache-2.0, ..."
    ),
    keep_hashes: bool = Option(
        False, "--keep-hashes", help="Publish the hashes of the training clips, after a question."
    ),
    yes: bool = Option(False, "--yes", help="Answer the question with yes, for scripts."),
    as_json: bool = JSON,
) -> None:
    """Publish MODEL on the Hugging Face Hub, with a card and the licences of its networks.

    Paths, names of groups and hashes of training clips are left out; what was left out is listed.
    REPO is created if it is missing; then it is private without --public. The token is HF_TOKEN, or
    that of `hf auth login`.
    """
    from earmark.classifier.hub_address import check_licence, check_repo
    from earmark.classifier.hub_server import is_hub_offline

    check_repo(repo)
    check_licence(licence)
    if offline := is_hub_offline():
        raise HubError(f"{offline} forbids publishing. Unset it, and run this again.")
    model = local_model(model)
    if keep_hashes and not yes:
        _ask()
    from earmark.classifier.classifier import Classifier
    from earmark.classifier.hub import Repository

    classifier = Classifier.load(model)
    repository = Repository.of(classifier, repo, hashes=keep_hashes, licence=licence)
    for line in repository.left_out:
        say(f"left out: {line}")
    say(f"published: {amount(len(classifier.labels), 'label')}, figures and settings of training")
    for entry in repository.licences:
        if entry.warning:
            say(f"warning: {entry.name}: {entry.warning}")
    warn_of(model, classifier.estimate.warning)
    address = repository.upload(public=public)
    if as_json:
        files = {name: len(content) for name, content in repository.files.items()}
        left_out = list(repository.left_out)
        print_json({"address": address, "files": files, "left_out": left_out})
        return
    show(address)


def _ask() -> None:
    """Ask whether hashes may be published; EarmarkError without a terminal, or for a no."""
    what = "Whoever has a recording can find out from the hashes whether it was used for training"
    if not _is_terminal():
        raise EarmarkError(
            f"--keep-hashes asks a question, and there is no terminal. {what}. Add --yes if that"
            " may be."
        )
    say(f"{what}. Publish them? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise EarmarkError("nothing was published. Run the command without --keep-hashes.")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
