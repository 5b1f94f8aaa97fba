"""Packages that earmark can do without, imported when they are first used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import TypeVar

from earmark.errors import EarmarkError

T = TypeVar("T", bound=str)


def load(
    package: str, extra: str, purpose: str, error: type[EarmarkError] = EarmarkError
) -> ModuleType:
    """Import a ``package`` of an ``extra``; ``error`` says what needs it and how to install it.

    ``purpose`` is the subject of that sentence: "backbone 'hf:...'", "reading Parquet".
    """
    try:
        return importlib.import_module(package)
    except ImportError as missing:
        raise error(
            f"{purpose} needs the package {package}, which is not installed; pip install"
            f" 'earmark[{extra}]'."
        ) from missing


def first_of(packages: Sequence[T], purpose: str) -> T:
    """Return the first of ``packages`` that is installed; EarmarkError where none is."""
    for package in packages:
        if importlib.util.find_spec(package) is not None:
            return package
    raise EarmarkError(
        f"{purpose} needs one of the packages {', '.join(packages)}, and none is installed; pip"
        f" install {packages[0]}."
    )
