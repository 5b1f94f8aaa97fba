"""Colours of classes: as many as there are, each seen on white paper and on a dark screen."""

from __future__ import annotations

import math

LIGHT = (0.50, 0.62)  # OKLab lightness on a light page; neighbours differ, so hue is not all
DARK = (0.82, 0.70)
CHROMA = 0.15


def css(classes: int) -> str:
    """Return rules ``.k0``, ``.k1``, ... with the colours of both themes."""
    light = "".join(f".k{k}{{fill:{colour(k, classes, LIGHT)}}}" for k in range(classes))
    dark = "".join(f".k{k}{{fill:{colour(k, classes, DARK)}}}" for k in range(classes))
    return f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"


def colour(k: int, classes: int, lightness: tuple[float, float]) -> str:
    """Return the colour of class ``k`` of ``classes`` as '#rrggbb'.

    Hues are even around the circle; less chroma where the screen cannot show it.
    """
    hue = 2 * math.pi * k / classes + 0.5
    chroma = CHROMA
    while True:
        rgb = _srgb(lightness[k % 2], chroma * math.cos(hue), chroma * math.sin(hue))
        if chroma < 0.02 or all(0 <= c <= 1 for c in rgb):
            return "#" + "".join(f"{round(255 * min(max(c, 0), 1)):02x}" for c in rgb)
        chroma -= 0.01


def _srgb(light: float, a: float, b: float) -> list[float]:
    """Return sRGB of an OKLab colour (B. Ottosson 2020, 'A perceptual color space')."""
    m1 = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    m2 = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    m3 = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * m1 - 3.3077115913 * m2 + 0.2309699292 * m3,
        -1.2684380046 * m1 + 2.6097574011 * m2 - 0.3413193965 * m3,
        -0.0041960863 * m1 - 0.7034186147 * m2 + 1.7076147010 * m3,
    )
    return [12.92 * c if c <= 0.0031308 else 1.055 * abs(c) ** (1 / 2.4) - 0.055 for c in linear]
