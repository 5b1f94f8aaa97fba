"""Optional packages, imported at their first use."""

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
    """Import and return an optional ``package``; raise ``error`` if it is not installed.

    The message says how to install the ``extra``. ``purpose`` is its subject, such as
    "backbone 'hf:...'" or "reading Parquet".
    """
    try:
        return importlib.import_module(package)
    except ImportError as missing:
        raise error(
            f"{purpose} needs the package {package}, which is not installed. {install(extra)}."
        ) from missing


def install(extra: str) -> str:
    """Return the sentence, without its end, that says how to install an extra of earmark."""
    return f"Run in a clone of earmark: pip install '.[{extra}]'"  # no index has earmark yet


def first_of(packages: Sequence[T], purpose: str) -> T:
    """Return the first of ``packages`` that is installed; EarmarkError if none is."""
    for package in packages:
        if importlib.util.find_spec(package) is not None:
            return package
    raise EarmarkError(
        f"{purpose} needs one of the packages {', '.join(packages)}, and none is installed. Run:"
        f" pip install {packages[0]}."
    )
