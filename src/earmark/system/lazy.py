"""Public names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from earmark.system.renamed import look_up


def hand_on(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a room whose public names live in its modules.

    ``homes`` maps a public name to the module of the ``package`` that has it. Its modules are found
    without being imported first; names of 0.1 are looked up where they are now.
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
