"""``earmark embed DATA -o DIR``: shares, the table, and what is said about other files."""

import csv
import json
from pathlib import Path

import pytest

from command_line import earmark
from earmark.embeddings import embed_work, shares

pytest.importorskip("pyarrow")


@pytest.fixture
def manifest(tones, monkeypatch) -> Path:
    """Twelve clips in three parts of five."""
    monkeypatch.setattr(shares, "PART_CLIPS", 5)
    paths = sorted(tones.rglob("*.wav"))
    lines = [f"{path.relative_to(tones)},{path.parent.name}" for path in paths]
    (tones / "meta.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return tones / "meta.csv"


def embed(manifest: Path, out: Path, *arguments: object) -> dict:
    options = ("--backbone", "logmel", "--json", *arguments)
    return json.loads(earmark("embed", manifest, "-o", out, *options).stdout)


def test_shares_and_the_table_of_all(manifest, tmp_path):
    out = tmp_path / "new" / "parts"
    first = embed(manifest, out, "--share", "1/2")
    assert (first["parts"], first["computed"], first["clips"], first["share"]) == (2, 2, 7, "1/2")
    assert Path(first["table"]).name == "parts-1-of-2.csv" and not (out / "parts.csv").exists()
    whole = embed(manifest, out, "--on", "local")
    assert (whole["parts"], whole["computed"], whole["clips"]) == (3, 1, 12)
    assert whole["seconds"] == 6.0 and whole["failures"] == 0 and len(whole["machines"]) == 1
    assert embed(manifest, out, "--share", "2/2")["computed"] == 0
    with (out / "parts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows] == ["0", "1", "2"]
    assert sorted(row["file"] for row in rows) == sorted(p.name for p in out.glob("part-*"))
    assert rows[0]["machine"] == whole["machines"][0]


def test_what_is_said_of_other_files_and_other_machines(manifest, tmp_path, monkeypatch):
    out = tmp_path / "parts"
    embed(manifest, out)
    manifest.write_text(manifest.read_text().replace("high/3.wav,high", "high/3.wav,other"))
    done = earmark("embed", manifest, "-o", out, "--backbone", "logmel")
    assert done.stdout.startswith("12 clips, 0 failures, 0.00 h of audio: 3 parts, 1 computed now")
    assert f"note: 1 file in {out} belongs to no part of this data, such as part-0" in done.stderr
    sorted(out.glob("part-000001*"))[0].unlink()
    monkeypatch.setattr(embed_work, "machine_of", lambda _: "another machine")
    done = earmark("embed", manifest, "-o", out, "--backbone", "logmel")
    assert "the parts were computed on 2 kinds of machines" in done.stderr
    assert len(embed(manifest, out)["machines"]) == 2


def test_a_damaged_part_is_named_and_computed_again(manifest, tmp_path):
    out = tmp_path / "parts"
    embed(manifest, out)
    file = sorted(out.glob("part-*"))[1]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    done = earmark("embed", manifest, "-o", out, "--backbone", "logmel")
    assert f"warning: {file} has changed since it was written" in done.stderr
    assert "3 parts, 1 computed now" in done.stdout and file.read_bytes() == whole
