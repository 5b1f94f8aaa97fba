"""A stand-in for onnxruntime-web on npm: an archive of tiny files, and its pinned hashes."""

import hashlib
import io
import random
import tarfile
from collections.abc import Mapping

RUNTIME = {
    "ort.wasm.min.mjs": b"export const runtime = true;\n",
    "ort-wasm-simd-threaded.mjs": b"export default 1;\n",
    "ort-wasm-simd-threaded.wasm": random.Random(0).randbytes(4_000),
}
OTHERS = {"dist/ort.all.js": b"another build\n", "package.json": b'{"license": "MIT"}\n'}


def npm_archive(members: Mapping[str, bytes] = RUNTIME, link: str | None = None) -> bytes:
    """Return a package as npm sends it; the file called ``link`` is a link to /etc/passwd."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        named = {f"dist/{name}": content for name, content in members.items()}
        for name, content in {**OTHERS, **named}.items():
            info = tarfile.TarInfo(f"package/{name}")
            if name == f"dist/{link}":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
                continue
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def hashes(members: Mapping[str, bytes] = RUNTIME) -> dict[str, str]:
    """Return the SHA-256 of each file, in hex."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
