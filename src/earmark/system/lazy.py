"""Import the public names of a package at their first use (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from earmark.system.renamed import look_up


def hand_on(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package that imports its public names lazily.

    ``homes`` maps each public name to the module of ``package`` that defines it. The modules
    themselves are attributes too, and names of version 0.1 still work.
    """

    def get(name: str) -> object:
        if name in homes:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        try:
            return importlib.import_module(f"{package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{name}":  # a package that the module needs
                raise
        return look_up(package.removeprefix("earmark."), name)

    return get
