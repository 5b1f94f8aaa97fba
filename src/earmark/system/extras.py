"""Packages that earmark can do without, imported when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

from earmark.errors import EarmarkError


def load(package: str, extra: str, purpose: str, error: type[EarmarkError] = EarmarkError) -> Any:
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
