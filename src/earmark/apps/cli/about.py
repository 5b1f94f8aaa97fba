"""``earmark --version --verbose``: what a report of a fault must say about its machine."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

from earmark.apps.cli.text import show
from earmark.errors import BackboneError, amount, first_line
from earmark.version import __version__

TOOLS = ("bench", "dev", "docs", "release")  # extras for work on earmark itself
SETTINGS = ("EARMARK_", "OMP_", "CUDA_VISIBLE_DEVICES")  # beginnings of environment variables


def show_version(verbose: bool) -> None:
    """Print the version; with ``verbose``, also packages, machine, weights and folders."""
    show(f"earmark {__version__}")
    if verbose:
        show(*(f"  {name:<14} {text}" for name, text in _facts()))


def _facts() -> Iterator[tuple[str, str]]:
    """Yield the name and text of each line; a package that cannot be imported has one, too."""
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    yield "system", platform.platform()
    yield from _machine()
    yield "numpy", _version("numpy")
    yield "soundfile", _with("soundfile", lambda it: f"libsndfile {it.__libsndfile_version__}")
    yield "av", _with("av", _codecs)
    yield from _extras()
    yield from _weights()
    yield from _folders()


def _machine() -> Iterator[tuple[str, str]]:
    from earmark.backbones.choices import processor_name
    from earmark.system.threads import available_cores

    yield "processor", f"{processor_name()}, {amount(available_cores(), 'core')} for this process"
    yield "torch", _with("torch", lambda torch: amount(torch.get_num_threads(), "thread"))
    yield "GPU", _gpus()


def _gpus() -> str:
    torch = _imported("torch")
    if isinstance(torch, str) or not torch.cuda.is_available():
        return "none that torch can use"
    names = (torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))
    return f"{', '.join(names)}; CUDA {torch.version.cuda}"


def _codecs(av: ModuleType) -> str:
    version = av.library_versions.get("libavcodec", ())
    return f"libavcodec {'.'.join(map(str, version))}"


def _extras() -> Iterator[tuple[str, str]]:
    """Yield each extra with the versions of its packages."""
    try:
        lines = importlib.metadata.requires("earmark") or []
    except importlib.metadata.PackageNotFoundError:
        yield "extras", "unknown: earmark is not installed, only on the import path"
        return
    extras: dict[str, list[str]] = {}
    for line in lines:
        package = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == [\"']([\w-]+)", line)
        if package and extra and extra[1] not in TOOLS:
            extras.setdefault(extra[1], []).append(f"{package[0]} {_version(package[0])}")
    for name, packages in extras.items():
        yield f"[{name}]", ", ".join(packages)


def _weights() -> Iterator[tuple[str, str]]:
    """Yield the backbones whose weights are here, and where; their hashes are not checked."""
    from earmark.backbones import registry
    from earmark.backbones.weights import locate

    missing = []
    for name in registry.list_backbones():
        try:
            places = [locate(file) for file in registry.weight_files(name)]
        except BackboneError as error:
            yield "weights", f"{name}: {first_line(error)}"
            continue
        if None in places:
            missing.append(name)
        else:
            where = ", ".join(map(str, places)) or "part of the installation"
            yield "weights", f"{name}: {where}"
    yield "not here", ", ".join(missing) or "none missing"


def _folders() -> Iterator[tuple[str, str]]:
    from earmark.system.cache import cache_folder

    folder = cache_folder()
    yield "cache", f"{folder}{'' if folder.is_dir() else ' (not there yet)'}"
    for name, value in sorted(os.environ.items()):
        if name.startswith(SETTINGS):
            yield "setting", f"{name}={value}"


def _with(package: str, more: Callable[[ModuleType], str]) -> str:
    """Return a package's version and the text of ``more``, or why it cannot be imported."""
    module = _imported(package)
    if isinstance(module, str):
        return f"{_version(package)}, which {module}"
    return f"{_version(package)}, {more(module)}"


def _imported(package: str) -> ModuleType | str:
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:  # OSError: a library that cannot be loaded
        return f"cannot be imported: {first_line(error)}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
