"""Links that lead out of docs/ lead somewhere in the site, too.

Pages link to files of the repository, as they do where the repository is read. In the site,
README, CHANGELOG and CONTRIBUTING are pages, a folder of pages is its index, and any other file
is a download.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {
    ROOT / "README.md": "/index.md",
    ROOT / "CHANGELOG.md": "/changelog.md",
    ROOT / "CONTRIBUTING.md": "/contributing.md",
    DOCS / "decisions": "/decisions/index.md",
}
SHOWN_ELSEWHERE = {"changelog": ROOT / "CHANGELOG.md", "contributing": ROOT / "CONTRIBUTING.md"}
LINK = re.compile(r"\[([^\]\[]*)\]\((?!https?:|#|/)([^)#\s]+)(#[^)\s]*)?\)")


def in_site(text: str, page: Path) -> str:
    """Return the Markdown of ``page`` with its links as the site needs them."""

    def changed(match: re.Match[str]) -> str:
        words, target, anchor = match[1], (page.parent / match[2]).resolve(), match[3] or ""
        if target in PAGES:
            return f"[{words}]({PAGES[target]}{anchor})"
        if DOCS in target.parents:
            return f"[{words}](/{target.relative_to(DOCS).as_posix()}{anchor})"
        if target.is_file():
            return f"{{download}}`{words} </../{target.relative_to(ROOT).as_posix()}>`"
        return match[0]  # the build says that it leads nowhere

    blocks = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    return "".join(b if b.startswith("```") else LINK.sub(changed, b) for b in blocks)


def _read(app: Any, name: str, source: list[str]) -> None:
    page = SHOWN_ELSEWHERE.get(name, DOCS / f"{name}.md")
    if page.is_file():
        text = page.read_text(encoding="utf-8") if name in SHOWN_ELSEWHERE else source[0]
        source[0] = in_site(text, page)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
