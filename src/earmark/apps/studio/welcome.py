"""The pages of the door: before a browser has entered, and when it enters.

They have no style: what has one is behind the door.
"""

from __future__ import annotations


def _page(title: str, text: str, head: str = "") -> bytes:
    parts = (
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"{head}<title>{title}</title><h1>{title}</h1>{text}",
    )
    return "".join(parts).encode()


AGAIN = (
    "<p>In a terminal, run <code>earmark studio</code> with the same folder again. It prints a new"
    " address, also while the studio runs.</p>"
)
# The page asks for itself once more, because a browser would not send a strict cookie after a
# redirect if another page, or a file, had opened the address.
ENTERED = _page(
    "earmark studio",
    '<p><a href="/">Open the studio</a></p>',
    '<meta http-equiv="refresh" content="0; url=/">',
)
REFUSED = _page(
    "This address does not work any more",
    f"<p>It lets in one browser, once, and it may be of an earlier run.</p>{AGAIN}",
)
STRANGE = _page(
    "This browser has not entered the studio",
    f'<p>If it has: <a href="/">open the studio</a>.</p>{AGAIN}',
)
