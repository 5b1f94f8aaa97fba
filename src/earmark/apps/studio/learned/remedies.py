"""One-click remedies for what the doctor finds: ``doctor --fix --only``, and taking it over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from earmark.apps.studio.jobs.jobs import Jobs
from earmark.apps.studio.learned.digest import data_digest
from earmark.apps.studio.learned.reviews import Adopts
from earmark.data.doctor.fixing import CORRECTED
from earmark.errors import EarmarkError, amount

CHANGED = (
    "the labels were changed while this remedy was at work, so it was not used. Start it again."
)
_LEAVE_OUT = "Leave these clips out"
_GROUP = "Keep each set in one group, so that no copy is tested by what was trained on another"
# What is offered for a kind of finding, as a sentence without its full stop.
SENTENCES = {
    "unreadable": _LEAVE_OUT,
    "empty": _LEAVE_OUT,
    "silent": _LEAVE_OUT,
    "similar labels": "Write each class in its most frequent way",
    "label conflict": "Leave all of them out, because one label of each set is wrong",
    "leak": "Keep one clip of each set and leave the others out",
    "copies": "Keep one clip of each set and leave the others out",
    "near label conflict": "Leave all of them out, because one label of each set is wrong",
    "near leak": _GROUP,
    "near copies": _GROUP,
}
assert set(SENTENCES) == set(CORRECTED)


def remedy(kind: str) -> dict[str, Any] | None:
    """Return the remedy for a kind of finding: the choices of a job 'fix', and its sentence.

    None if a person has to decide.
    """
    if kind not in SENTENCES:
        return None
    return {"kinds": [kind], "sentence": f"{SENTENCES[kind]}."}


class Remedies:
    """Findings with their remedies, and the results of jobs of the kind 'fix'."""

    def __init__(self, folder: Adopts, jobs: Jobs) -> None:
        self.folder, self.jobs = folder, jobs
        self._taken: dict[str, asyncio.Task[None]] = {}

    def shown(self, id: str) -> dict[str, Any]:
        """Return a job with its result for the page; KeyError for an unknown job.

        Clips in findings and changes have an ``id`` (null if the folder has no such clip) and a
        ``name`` instead of a path. Each finding has a ``remedy`` (see :func:`remedy`). Reads files,
        so call it in a thread.
        """
        job = self.jobs.get(id)
        result = job["result"] or {}
        fixed = result.get("fixed") or {}
        findings = [*result.get("findings", ()), *fixed.get("left", ())]
        clips = [clip for change in fixed.get("changes", ()) for clip in change["clips"]]
        for finding in findings:
            finding["remedy"] = remedy(finding["kind"])
            clips += [*finding["clips"], *(c for item in finding["items"] for c in item["clips"])]
        self.folder.ids_of(clips)
        for clip in clips:
            clip["name"] = Path(clip.pop("path")).name
            clip.setdefault("id", None)
        return job

    def heed(self, job: dict[str, Any]) -> None:
        """Take over what a job 'fix' has written, once; call this with every job that is told."""
        is_new = job["kind"] == "fix" and job["state"] == "done"
        if is_new and not job["said"] and not job["error"] and job["id"] not in self._taken:
            self._taken[job["id"]] = asyncio.create_task(self._take_over(job["id"]))

    async def _take_over(self, id: str) -> None:
        try:
            said = await asyncio.to_thread(self._adopt, id)
        except (EarmarkError, OSError) as error:
            await self.jobs.say(id, "", str(error))
        else:
            await self.jobs.say(id, said)

    def _adopt(self, id: str) -> str:
        """Let the folder take over the manifest; return what was done, as a sentence."""
        files = self.jobs.files(id)
        if files.load().data != data_digest(self.folder.path):
            raise EarmarkError(CHANGED)
        fixed = (files.result() or {}).get("fixed") or {}
        changes = fixed.get("changes", [])
        left_out = [
            {**clip, "reason": change["kind"]}
            for change in changes
            if change["done"] == "left out"
            for clip in change["clips"]
        ]
        said = _said(changes)
        if changes:
            self.folder.adopt(Path(fixed["manifest"]), left_out, said)
        return said


def _said(changes: list[dict[str, Any]]) -> str:
    """Return how many clips were left out, renamed, grouped and moved, as a sentence."""
    counts: dict[str, int] = {}
    for change in changes:
        done = str(change["done"])
        counts[done] = counts.get(done, 0) + len(change["clips"])
    words = ", ".join(f"{done} {amount(n, 'clip')}" for done, n in counts.items())
    return f"{words[:1].upper()}{words[1:]}." if words else "There was nothing to change."
