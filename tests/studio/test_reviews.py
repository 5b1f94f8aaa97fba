"""Reviews: suspects, decisions on them, and the folder after them; and remedies of the doctor."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from command_line import earmark
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.jobs import files as job_files
from earmark.apps.studio.jobs import jobs, processes
from earmark.apps.studio.jobs.jobs import Jobs
from earmark.apps.studio.jobs.results import review_record
from earmark.apps.studio.learned.remedies import SENTENCES, Remedies, remedy
from earmark.apps.studio.learned.reviews import Reviews
from earmark.data.doctor.fixing import CORRECTED
from earmark.errors import EarmarkError
from studio_folders import labels, tones_folder

STUB = Path(__file__).parents[1] / "helpers" / "job_stub.py"


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What ``earmark review`` wrote and printed; one tone has a wrong label."""
    folder = tones_folder(tmp_path_factory.mktemp("reviewed"))
    manifest = folder / "earmark.csv"
    manifest.write_text(manifest.read_text().replace("low/5.wav,low", "low/5.wav,high"))
    quick = ("--backbone", "logmel", "--no-store", "--head", "prototype", "--top", "4")
    decisions = folder / "decisions" / "r.csv"
    shown = earmark("review", manifest, "-o", decisions, *quick, "--json").stdout
    return folder, decisions.read_text(), shown


@pytest.fixture
def folder(printed, tmp_path):
    """The same folder, as it was after the review."""
    folder, decisions, shown = printed
    before = tmp_path / "before"
    shutil.copytree(folder, before)
    (folder / "decisions" / "r.csv").write_text(decisions)
    record = review_record(folder, "r")
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"choices": {"model": "a"}, "result": json.loads(shown)}))
    yield Folder(folder)
    shutil.rmtree(folder)
    shutil.copytree(before, folder)


def test_a_review_has_reasons_neighbours_and_ids(folder):
    reviews = Reviews(folder)
    assert reviews.names() == ["r"]
    read = reviews.read("r")
    assert (read["name"], read["model"], len(read["suspects"])) == ("r", "a", 4)
    assert read["command"].startswith(f"earmark review {folder.path} --apply ")
    first = read["suspects"][0]
    assert first["row"] == 2 and first["clip"]["name"] == "5.wav" and first["decision"] == ""
    assert (first["clip"]["label"], first["suggested"]) == ("high", "low")
    assert 0 < first["evidence"] <= 1 and "scored" in first["reason"]
    assert len(first["neighbours"]) == 5 and first["neighbours"][0]["label"] == "low"
    near = first["neighbours"][0]
    assert set(near) >= {"id", "name", "label", "similarity"} and "path" not in near
    assert all(len(s["clip"]["id"]) == 16 for s in read["suspects"])


def test_a_review_of_the_command_line_has_no_reasons_but_can_be_decided(folder):
    review_record(folder.path, "r").unlink()
    read = Reviews(folder).read("r")
    assert read["model"] is None and read["suspects"][0]["neighbours"] == []
    assert read["suspects"][0]["reason"] is None and read["suspects"][0]["evidence"] > 0


def test_decisions_are_written_as_the_command_reads_them_and_applied(folder, tmp_path):
    reviews = Reviews(folder)
    with pytest.raises(EarmarkError, match="nothing was decided yet"):
        reviews.apply("r")
    read = reviews.read("r")["suspects"]
    assert reviews.decide("r", read[0]["row"], "relabel")["decided"] == 1
    assert reviews.decide("r", read[1]["row"], "drop") == {
        "decided": 2,
        "total": 4,
        "decision": "drop",
    }
    reviews.decide("r", read[2]["row"], " high ")
    reviews.decide("r", read[3]["row"], "drop")
    reviews.decide("r", read[3]["row"], "")
    again = [suspect["decision"] for suspect in reviews.read("r")["suspects"]]
    assert again == ["relabel", "drop", "high", ""]
    out, table = tmp_path / "out.csv", folder.path / "decisions" / "r.csv"
    manifest = folder.path / "earmark.csv"
    counts = json.loads(earmark("review", manifest, "--apply", table, "-o", out, "--json").stdout)
    done = reviews.apply("r")
    relabelled = counts["relabelled"]
    changes = f"{relabelled} clip{'s' * (relabelled > 1)} and left out 1 clip"
    assert done["said"] == f"Relabelled {changes}, as the review says."
    assert len(labels(folder.path)) == counts["clips"] == 11
    assert "note 0" in manifest.read_text()
    (left_out,) = folder.clips(left_out=True)["clips"]
    assert (left_out["name"], left_out["reason"]) == (read[1]["clip"]["name"], "dropped in r")
    assert not list(review_record(folder.path, "r").parent.glob("*.csv"))
    with pytest.raises(EarmarkError, match="Review the data again|no clip"):
        reviews.apply("r")


@pytest.mark.parametrize(
    ("row", "decision", "error", "says"),
    [
        (99, "keep", KeyError, "99"),
        (2, "lov", EarmarkError, "Did you mean 'low'"),
        (2, "<b>", EarmarkError, "no class"),
    ],
)
def test_impossible_decisions_are_refused(folder, row, decision, error, says):
    before = (folder.path / "decisions" / "r.csv").read_bytes()
    with pytest.raises(error, match=says):
        Reviews(folder).decide("r", row, decision)
    assert (folder.path / "decisions" / "r.csv").read_bytes() == before


def test_a_relabel_needs_a_suggestion_and_a_name_leads_nowhere_else(folder):
    reviews = Reviews(folder)
    rows = [s["row"] for s in reviews.read("r")["suspects"] if s["suggested"] is None]
    with pytest.raises(EarmarkError, match="no suggestion"):
        reviews.decide("r", rows[0], "relabel")
    for name in ("../earmark", "x", ""):
        with pytest.raises(KeyError):
            reviews.read(name)
    (folder.path / "decisions" / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(EarmarkError, match="no column 'path'"):
        reviews.read("odd")
    (folder.path / "decisions" / "odd.csv").unlink()


# Remedies


def test_every_kind_that_can_be_corrected_has_a_sentence():
    assert set(SENTENCES) == set(CORRECTED)
    assert remedy("silent") == {"kinds": ["silent"], "sentence": "Leave these clips out."}
    assert remedy("small class") is None


async def over(all_jobs, id, key="ended_at"):
    for _ in range(2_000):
        if all_jobs.get(id)[key] or all_jobs.get(id)["error"]:
            return all_jobs.get(id)
        await asyncio.sleep(0.01)
    raise AssertionError("it took too long")


def plan_of_fix(folder, manifest):
    clip = {"path": str(folder / "recordings" / "low" / "0.wav"), "label": "low"}
    left = {"kind": "small class", "severity": "error", "advice": "add", "clips": [clip]}
    left["items"] = [{"detail": "x", "clips": [dict(clip)]}]
    change = {"done": "left out", "kind": "silent", "detail": "x", "clips": [clip]}
    fixed = {"manifest": str(manifest), "clips": 11, "changes": [change], "left": [left]}
    (folder / "plan.json").write_text(
        json.dumps({"wait": "go", "print": {"clips": 12, "findings": [left], "fixed": fixed}})
    )


@pytest.mark.skipif(os.name == "nt", reason="the stub sets handlers of POSIX signals")
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_remedy_is_taken_over_once_unless_the_labels_have_changed(
    folder, tmp_path, monkeypatch, is_changed
):
    monkeypatch.setattr(processes, "EARMARK", (sys.executable, str(STUB)))
    monkeypatch.setattr(jobs, "POLL_S", 0.02)
    manifest = folder.path / "earmark.csv"
    lines = manifest.read_text().splitlines()
    fixed = folder.path / "fixed.csv"
    fixed.write_text("\n".join(line for line in lines if "low/0.wav" not in line) + "\n")
    plan_of_fix(folder.path, fixed)
    for name in ("go", "doctor.started"):
        (folder.path / name).unlink(missing_ok=True)

    async def main():
        heard = []
        all_jobs = Jobs(folder.path, lambda job: (heard.append(job), remedies.heed(job)))
        remedies = Remedies(folder, all_jobs)
        job = await all_jobs.start("fix", {"kinds": ["silent"]})
        assert "--fix --only silent -o" in job["command"]
        while not (folder.path / "doctor.started").exists():
            await asyncio.sleep(0.01)
        if is_changed:
            manifest.write_text(manifest.read_text().replace("high/0.wav,high", "high/0.wav,low"))
        (folder.path / "go").touch()
        await over(all_jobs, job["id"])
        done = await over(all_jobs, job["id"], "said")
        found = remedies.shown(job["id"])["result"]["findings"]
        again = Jobs(folder.path, lambda job: Remedies(folder, again).heed(job))
        await again.attach()
        await asyncio.sleep(0.05)
        return done, found

    done, found = asyncio.run(main())
    assert found[0]["remedy"] is None and len(found[0]["clips"][0]["id"]) == 16
    assert found[0]["items"][0]["clips"][0]["name"] == "0.wav"
    if is_changed:
        assert "the labels were changed while this remedy" in done["error"]
        assert len(labels(folder.path)) == 12
    else:
        assert done["said"] == "Left out 1 clip." and done["error"] is None
        assert len(labels(folder.path)) == 11
        assert folder.clips(left_out=True)["clips"][0]["reason"] == "silent"
    for id in job_files.ids_in(folder.path):
        job_files.JobFiles(folder.path, id).delete()
