"""Small data sets of empty files, and what is said of them."""

from pathlib import Path

import pytest

from earmark.data.dataset import Dataset
from earmark.errors import DataError


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def refusal(data: Path, **options: object) -> str:
    with pytest.raises(DataError) as refused:
        Dataset.read(data, **options)  # type: ignore[arg-type]
    return str(refused.value)


def manifest(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    make(folder, "a.wav", "b.wav", "sub/c.wav")
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(content)
    return folder / name
