"""Classifiers on the Hugging Face Hub: copy one into a file, and publish one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from earmark.classifier.classifier import Classifier
from earmark.classifier.hub_address import (
    HubAddress,
    address_of,
    check_licence,
    check_repo,
    file_of,
)
from earmark.classifier.hub_files import MODEL, copy_to, fetch, is_same, listing
from earmark.classifier.hub_server import Server, is_hub_offline, refusals
from earmark.classifier.model_card import model_card
from earmark.classifier.network_licences import LICENCES, NetworkLicence, licences_of, licences_text
from earmark.classifier.publication import published
from earmark.classifier.saving import content_of, load
from earmark.errors import HubError
from earmark.system.progress import ByteProgress

CARD = "README.md"


def pull(
    repo: str,
    output: str | Path | None = None,
    *,
    progress: ByteProgress | None = None,
) -> Path:
    """Copy a classifier from the Hugging Face Hub into a file.

    Parameters
    ----------
    repo : str
        ``OWNER/NAME``, ``OWNER/NAME@REVISION``, or the same as an address, ``hf://...``.
    output : str or Path, optional
        The file to write; by default NAME.earmark in the current folder.
    progress : callable, optional
        Called with the bytes received and the bytes of the file.

    Returns
    -------
    Path
        The file. It is a valid classifier.

    Raises
    ------
    HubError
        The repository, the revision or the classifier does not exist, may not be read, is too
        large, or the Hub cannot be reached.
    ModelError
        The file is not a valid classifier.
    EarmarkError
        ``output`` cannot be written.

    Examples
    --------
    >>> import earmark
    >>> earmark.pull("alice/street-sounds", "street.earmark")  # doctest: +SKIP
    PosixPath('street.earmark')
    """
    address = address_of(repo)
    path = fetch(address, progress)
    load(path)  # a file that is no classifier is not copied
    target = Path(output) if output is not None else file_of(address)
    copy_to(path, target)
    return target


def push(
    classifier: Classifier | str | Path,
    repo: str,
    *,
    hashes: bool = False,
    public: bool = False,
    licence: str | None = None,
) -> str:
    """Publish a classifier on the Hugging Face Hub, with a card and the licences of its networks.

    Left out of the published file are the path and the columns of the training data, the names of
    groups, and the folders of networks. It gives the same scores.

    Parameters
    ----------
    classifier : Classifier, str or Path
        A classifier, or its file.
    repo : str
        ``OWNER/NAME``. It is created if it does not exist.
    hashes : bool
        Whether the published file has hashes of the training clips. With them, whoever has a
        recording can find out whether it was used for training.
    public : bool
        Whether everybody may read a repository that is created. One that exists stays as it is.
    licence : str, optional
        The identifier of the classifier's licence, such as 'cc-by-4.0', for the card.

    Returns
    -------
    str
        The address with the commit: ``hf://OWNER/NAME@COMMIT``, for :func:`earmark.load`.

    Raises
    ------
    HubError
        ``repo`` is no name, the token may not write, the Hub cannot be reached or breaks the
        upload off.

    Examples
    --------
    >>> import earmark
    >>> earmark.push("mine.earmark", "alice/street-sounds")  # doctest: +SKIP
    'hf://alice/street-sounds@0b5e...'
    """
    check_repo(repo)
    check_licence(licence)
    if offline := is_hub_offline():
        raise HubError(f"{offline} forbids publishing. Unset it, and run this again.")
    if not isinstance(classifier, Classifier):
        classifier = load(classifier)
    return Repository.of(classifier, repo, hashes=hashes, licence=licence).upload(public=public)


@dataclass(frozen=True)
class Repository:
    """What an upload sends: the files of a repository.

    ``left_out`` says what of the classifier is not published.
    """

    name: str
    files: Mapping[str, bytes]
    left_out: tuple[str, ...]
    licences: tuple[NetworkLicence, ...]

    @classmethod
    def of(
        cls, classifier: Classifier, name: str, *, hashes: bool = False, licence: str | None = None
    ) -> Repository:
        """Return the repository of a classifier: its file, its card and the licences."""
        public, left_out = published(classifier, hashes=hashes)
        licences = tuple(licences_of(classifier))
        files = {
            MODEL: content_of(public, Path(MODEL)),
            CARD: model_card(public, name, licences, licence).encode(),
            LICENCES: licences_text(licences).encode(),
        }
        return cls(name, files, left_out, licences)

    def upload(self, *, public: bool = False) -> str:
        """Upload the files as one commit, and return its address.

        The Hub is then asked for the size and the hash of each file. Raises HubError.
        """
        server, address = Server(), HubAddress(self.name)
        with refusals(address, server):
            exists = _exists(server, address)
        with refusals(address, server, "published"), server.patience():
            api, operation = server.api(), server.hub.CommitOperationAdd
            if not exists:
                api.create_repo(self.name, private=not public, exist_ok=True)
            operations = [
                operation(path_in_repo=name, path_or_fileobj=content)
                for name, content in self.files.items()
            ]
            message = "Upload a classifier of earmark"
            done = api.create_commit(self.name, operations, commit_message=message)
        commit = HubAddress(self.name, str(done.oid))
        _, stored = listing(server, commit, suffix="")
        for name, content in self.files.items():
            if name not in stored or not is_same(content, stored[name]):
                raise HubError(
                    f"{server.host} has not stored {name} of {commit} as it was sent. Run the"
                    " command again."
                )
        return str(commit)


def _exists(server: Server, address: HubAddress) -> bool:
    try:
        server.info(address)
    except server.errors.RepositoryNotFoundError as error:
        if isinstance(error, server.errors.GatedRepoError):
            raise
        return False
    return True
