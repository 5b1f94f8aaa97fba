"""Colours and marks of classes: class k has colour k % 9 and mark k % 8.

Two of the first 72 classes never share both. A class keeps its colour and mark when classes are
added after it.
"""

# Nine colours in a fixed order, the same as in the studio. They stay distinct for people with
# protanopia, deuteranopia or tritanopia, and have a contrast of 3:1 on the paper of their theme.
LIGHT = (
    "#7a1d06", "#2b3f9e", "#b37a02", "#1c9da1", "#7d5fcf", "#6b4d66", "#01866d", "#48344d",
    "#6a9764",
)  # fmt: skip
DARK = (
    "#d95f40", "#7badfc", "#fdb743", "#63f0f5", "#8f74dd", "#ba98b4", "#23947b", "#ceb5d4",
    "#b1e2ab",
)  # fmt: skip
MARKS = (  # SVG paths around the origin, about 5 units wide; eight, so that pairs repeat late
    "m-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0-4.8 0z",  # disc
    "m-2.2-2.2h4.4v4.4h-4.4z",  # square
    "m0-3 2.9 5h-5.8z",  # triangle
    "m0-3.1 2.7 3.1-2.7 3.1-2.7-3.1z",  # diamond
    "m-1-2.8h2v1.8h1.8v2h-1.8v1.8h-2v-1.8h-1.8v-2h1.8z",  # plus
    "m0 3 2.9-5h-5.8z",  # triangle, upside down
    "m-2.6-1.1h5.2v2.2h-5.2z",  # horizontal bar
    "m-1.1-2.6h2.2v5.2h-2.2z",  # vertical bar
)
DIFFERENT = len(LIGHT) * len(MARKS)  # up to this many classes, no two look alike


def look(k: int) -> tuple[str, str]:
    """Return the CSS class of the colour of class ``k``, and the SVG path of its mark."""
    return f"k{k % len(LIGHT)}", MARKS[k % len(MARKS)]
