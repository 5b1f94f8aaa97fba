"""A name in a docstring, such as `Dataset.read`, leads to its page, wherever it was defined."""

from __future__ import annotations

from typing import Any


def _resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    if node.get("refdomain") != "py":
        return None
    python, words = env.get_domain("py"), node["reftarget"].split(".")
    while words:  # `earmark.data.dataset.Dataset.read`, then without its first words
        ending = ".".join(["", *words])
        names = sorted((name for name in python.objects if name.endswith(ending)), key=len)
        if names:
            return python.resolve_xref(
                env, node["refdoc"], app.builder, "obj", names[0], node, content
            )
        words = words[1:] if words[0] == "earmark" or not words[0][:1].isupper() else []
    return None


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True}
