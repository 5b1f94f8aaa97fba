"""Damaged manifests, archives and weights are refused in a sentence, or read; nothing else."""

import io
import json
import random
import re
import tarfile
import zipfile

import numpy as np
import pytest

from audio_files import mutated
from earmark.backbones.networks.tflite_weights import read_constants, read_operators
from earmark.data.dataset import Dataset
from earmark.errors import BackboneError, DataError
from earmark.system.unpacking import unpack

MUTANTS = 300


def mutants(content: bytes):
    dice = random.Random(0)
    return (mutated(content, dice) for _ in range(MUTANTS))


def manifests() -> dict[str, bytes]:
    rows = [
        {"path": f"a/{k}.wav", "label": "ab"[k % 2], "start": k, "end": k + 1.5} for k in range(9)
    ]
    table = "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)])
    track = "".join(f"{k}.0\t{k}.5\t{'ab'[k % 2]}\n" for k in range(9))
    selections = "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n" + "".join(
        f"{k}\t{k}.0\t{k}.5\t{'ab'[k % 2]}\n" for k in range(9)
    )
    return {
        ".csv": table.encode(),
        ".tsv": table.replace(",", "\t").encode("utf-16"),
        ".jsonl": "\n".join(map(json.dumps, rows)).encode(),
        ".json": json.dumps(rows).encode(),
        ".txt": track.encode(),
        ".selections.txt": selections.encode(),
    }


@pytest.mark.parametrize("suffix", [*manifests(), ".parquet"])
def test_mutated_manifests(tmp_path, suffix):
    if suffix == ".parquet":
        pa = pytest.importorskip("pyarrow", reason="the extra earmark[parquet] is not installed")
        import pyarrow.parquet

        columns = {"path": [f"{k}.wav" for k in range(9)], "label": list("aabbaabba")}
        pyarrow.parquet.write_table(pa.table(columns), out := io.BytesIO())
        content = out.getvalue()
    else:
        content = manifests()[suffix]
    path = tmp_path / f"m{suffix}"
    outcomes = set()
    for mutant in mutants(content):
        path.write_bytes(mutant)
        try:
            outcomes.add(bool(Dataset.read(path).clips))
        except DataError as error:
            outcomes.add(str(error))
    assert not any("\n" in str(outcome) for outcome in outcomes)
    assert len(outcomes) > 1


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_mutated_archives(tmp_path, kind):
    files = {f"set/{k}.wav": np.random.default_rng(k).bytes(50) for k in range(5)}
    whole = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in files.items():
                out.writestr(name, content)
    else:
        with tarfile.open(fileobj=whole, mode="w:gz" if kind == "tgz" else "w") as out:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    names, refused = re.compile(r"set/(\d\.wav)"), 0
    for number, content in enumerate(mutants(whole.getvalue())):
        (tmp_path / "archive").write_bytes(content)
        to = tmp_path / f"to{number}"
        try:
            unpack(tmp_path / "archive", to, names, 1_000)
        except DataError:
            refused += 1
        left = {path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()}
        assert all(re.fullmatch(r"\d\.wav", name) for name in left)
    assert refused > MUTANTS / 10
    assert {path.name for path in tmp_path.iterdir()} <= {
        "archive", *(f"to{number}" for number in range(MUTANTS))
    }  # fmt: skip


def test_mutated_weights(tmp_path):
    wakeword = pytest.importorskip("pyopen_wakeword", reason="it carries tflite files")
    from pathlib import Path

    models = Path(wakeword.__file__).parent / "models"
    content = min(models.glob("*.tflite"), key=lambda path: path.stat().st_size).read_bytes()
    refused, path = 0, tmp_path / "m.tflite"
    for mutant in mutants(content):
        path.write_bytes(mutant)
        for read in (read_constants, read_operators):
            try:
                read(path)
            except BackboneError:
                refused += 1
    assert refused > MUTANTS / 10
