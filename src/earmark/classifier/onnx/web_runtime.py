"""ONNX Runtime for browsers: three files of a package on npm, fetched once and checked by hash."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from pathlib import Path

from filelock import FileLock

from earmark.backbones.weights import WeightFile, fetch, find, weights_folder
from earmark.errors import DataError, WeightsError, first_line
from earmark.system.files import file_sha256
from earmark.system.progress import ByteProgress
from earmark.system.unpacking import remove, unpack

NAME, VERSION = "onnxruntime-web", "1.30.0"
REGISTRY = "https://registry.npmjs.org"
VARIABLES = ("npm_config_registry", "NPM_CONFIG_REGISTRY")  # a mirror, under npm's own names
ARCHIVE = WeightFile(
    name=f"{NAME}-{VERSION}.tgz",
    url=f"{REGISTRY}/{NAME}/-/{NAME}-{VERSION}.tgz",
    sha256="d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
    bytes=33_106_585,
)
UNPACKED_BYTES = 160_000_000  # the archive has 145 MB: every build, and maps of the source
MEMBERS = {  # the build for the CPU; it has one thread or several
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": (
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}


def runtime_folder() -> Path:
    """Return the folder of the runtime's files in the cache."""
    return weights_folder() / f"{NAME}-{VERSION}"


def is_runtime_at_hand() -> bool:
    """Say whether the runtime is on this machine, unpacked or as npm's archive."""
    return _is_whole(runtime_folder()) or find(ARCHIVE) is not None


def fetch_runtime(progress: ByteProgress | None = None) -> list[Path]:
    """Return the runtime's files; download and unpack npm's archive unless the cache has them.

    The archive may also lie in a folder of ``EARMARK_WEIGHTS``. A mirror may be named in
    ``npm_config_registry``. If several processes need the files, one downloads and the others wait.
    Raises WeightsError if the archive cannot be downloaded, is not the published one, or cannot be
    unpacked, and if ``EARMARK_OFFLINE`` forbids the download.
    """
    folder = runtime_folder()
    if not _is_whole(folder):
        archive = dataclasses.replace(ARCHIVE, url=_address())
        cached = weights_folder() / archive.name
        path = find(archive) or fetch(archive, progress=progress)
        try:
            weights_folder().mkdir(parents=True, exist_ok=True)
            with FileLock(weights_folder() / f"{folder.name}.lock"):
                if not _is_whole(folder):
                    _unpack(path, folder)
        except OSError as error:
            raise WeightsError(
                f"{NAME} cannot be written to {folder}: {error.strerror or error}",
                "free some space there, or name another folder in EARMARK_CACHE",
            ) from error
        cached.unlink(missing_ok=True)  # 33 MB, of which 19 are for other builds
    return [folder / name for name in MEMBERS]


def _address() -> str:
    registry = next(filter(None, map(os.environ.get, VARIABLES)), REGISTRY)
    return f"{registry.rstrip('/')}{ARCHIVE.url.removeprefix(REGISTRY)}"


def _is_whole(folder: Path) -> bool:
    """Say whether every file is in the folder with its right hash."""
    return all(
        (folder / name).is_file() and file_sha256(folder / name).hex() == digest
        for name, digest in MEMBERS.items()
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the runtime's files, check them, and put them into the cache, all or none."""
    names = re.compile(f"package/dist/({'|'.join(map(re.escape, MEMBERS))})")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        inside = Path(temporary) / "members"
        try:
            unpack(archive, inside, names, UNPACKED_BYTES)
        except DataError as error:
            raise WeightsError(
                f"{archive} cannot be unpacked: {first_line(error).partition('. ')[0]}",
                "delete it, and run the same command again",
            ) from error
        if not _is_whole(inside):
            raise WeightsError(
                f"{archive} lacks files of {NAME} {VERSION}, or has others under their names",
                "delete it, and run the same command again",
            )
        remove(folder)  # damaged
        inside.rename(folder)
