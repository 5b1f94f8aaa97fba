"""No page may load anything from another server: fonts, scripts and styles are all here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.util import logging

LOADED = re.compile(
    r"""<(?!a\b)[^>]*\s(?:src|srcset|href|data|poster)\s*=\s*["']?(?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//"""
    r"""|url\(\s*["']?(?:https?:)?//""",
    re.I,
)


def _check(app: Any, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*")):
        if path.suffix in (".html", ".css"):
            for match in LOADED.finditer(path.read_text(encoding="utf-8")):
                name = path.relative_to(app.outdir)
                logging.getLogger(__name__).warning("%s loads from elsewhere: %s", name, match[0])


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True}
