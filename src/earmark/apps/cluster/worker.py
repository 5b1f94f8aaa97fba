"""A worker of a cluster: it holds the networks and computes one part after the other."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cluster.driver import Answer
from earmark.data.parts import SETTINGS
from earmark.errors import EarmarkError
from earmark.version import __version__

if TYPE_CHECKING:
    from earmark.embeddings.part import Part, Settings


def job_of(settings: Settings, how: Mapping[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    """Return what each worker of a run is told, in types of JSON.

    A worker with another version of earmark must be able to read it. ``how`` has the arguments of
    :func:`~earmark.apps.cluster.works.load_work`; paths must be absolute.
    """
    return {
        "version": __version__,
        "settings": settings.to_json(),
        "how": dict(how),
        "folder": str(folder),
        "root": str(root),
    }


class Worker:
    """Computes parts of a ``job`` on one machine, with ``threads`` that compute."""

    def __init__(self, job: Mapping[str, Any], threads: int = 1) -> None:
        self.job, self.threads = job, threads
        self.host = platform.node() or "a machine without a name"
        self._dropped: set[int] = set()

    def prepare(self) -> str | None:
        """Load the networks; return a sentence if this worker must not be used."""
        try:
            return self._prepare()
        except EarmarkError as error:
            return f"the worker on {self.host} cannot start: {error}"

    def _prepare(self) -> str | None:
        job = self.job
        if job["version"] != __version__:
            return self._refusal("earmark", __version__, job["version"])
        if not (Path(job["folder"]) / SETTINGS).is_file():
            return (
                f"the worker on {self.host} does not see {job['folder']}/{SETTINGS}. All machines"
                " must see the folder under the same path, as on a network file system."
            )
        from earmark.apps.cluster.works import load_work
        from earmark.embeddings.part_folder import PartFolder

        self.work = load_work(job["settings"]["kind"], job["how"], Path(job["root"]))
        for name, value in self.work.settings.to_json().items():
            if value != job["settings"].get(name):
                return self._refusal(name, value, job["settings"].get(name))
        self.folder = PartFolder(Path(job["folder"]), self.work.settings)
        return None

    def _refusal(self, name: str, own: object, value: object) -> str:
        return (
            f"the worker on {self.host} has {name} {own!r}, but this run has {value!r}. All"
            " machines need the same earmark, weights and classifier."
        )

    def compute(self, errand: int, part: Part) -> Answer:
        """Compute a part, unless its file is there by now or the errand has been dropped."""
        if errand in self._dropped:
            self._dropped.discard(errand)
            return Answer()
        from earmark.embeddings.parts import compute_parts

        try:
            done = compute_parts(self.folder, [part], self.work, threads=self.threads)
        except EarmarkError as error:
            return Answer(problem=f"the worker on {self.host} stopped: {error}")
        return Answer(done.summaries[0], done.computed > 0)

    def drop(self, errand: int) -> None:
        """Do not begin an errand; called from another thread than ``compute``."""
        self._dropped.add(errand)
