"""What stays of a job when its files are deleted: the labels of a training, a review's suspects."""

from __future__ import annotations

from pathlib import Path

from earmark.apps.studio.jobs.files import Job, JobFiles
from earmark.apps.studio.jobs.networks import networks
from earmark.apps.studio.learned.digest import TrainedRecords
from earmark.apps.studio.places import MODEL_SUFFIX, MODELS, PRIVATE
from earmark.errors import EarmarkError
from earmark.system.files import write_whole
from earmark.system.jsons import json_text


def review_record(folder: Path, name: str) -> Path:
    """Return where the suspects of a review are kept; its decisions are in ``decisions``."""
    return folder / PRIVATE / "reviews" / f"{name}.json"


def keep(folder: Path, job: Job, files: JobFiles) -> None:
    """Keep what is needed later of a job that is done; EarmarkError if that cannot be written."""
    name = str(job.choices.get("name"))
    if job.kind == "train":
        TrainedRecords(folder).write(folder / MODELS / f"{name}{MODEL_SUFFIX}", job.data)
    if job.kind == "fetch":
        networks.cache_clear()
    if job.kind == "review":
        record = review_record(folder, name)
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EarmarkError(f"cannot make the folder {record.parent}: {error}.") from error
        value = {"command": files.text(job), "choices": job.choices, "result": files.result()}
        write_whole(record, json_text(value).encode())
