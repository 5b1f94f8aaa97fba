"""The colours of classes in a report stay distinct for colour-blind readers and never change."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from earmark.report import palette, plots

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; they apply to linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [  # sRGB (IEC 61966-2-1), white D65
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
WHITE = (0.95047, 1.0, 1.08883)
DISTINCT = 10  # CIE Lab distance of any two colours; about 2 can just be seen side by side
# Six even hues, as reports coloured six classes before these colours were fixed
EVEN_HUES = ("#a8372d", "#a48118", "#067831", "#1f96a6", "#405bb8", "#b661b2")


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIE Lab (3,) of linear RGB (3,)."""
    xyz = np.array(TO_XYZ) @ rgb.clip(0, 1) / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def least_distance(colours, vision: str) -> float:
    places = [lab(np.array(VISION[vision]) @ linear(colour)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(places, 2))


def test_lab_is_that_of_the_standard():
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_nine_classes_are_distinct_for_colour_blind_readers(colours, vision):
    assert least_distance(colours, vision) >= DISTINCT


def test_evenly_spread_hues_would_fail():
    least = {vision: least_distance(EVEN_HUES, vision) for vision in VISION}
    assert least["normal"] >= DISTINCT > min(least.values())


def drawn(n_classes: int) -> list[tuple[str, str]]:
    """Return the colour and the outline of each class on a map of ``n_classes``."""
    truth = np.arange(n_classes)
    xy = np.random.default_rng(0).uniform(0, 1, (n_classes, 2))
    svg = ElementTree.fromstring(plots.scatter("a map", xy, truth, np.zeros(n_classes, bool), None))
    marks = [path for path in svg.iter() if path.get("class", "").startswith("mark ")]
    outlines = (re.sub(r"^M[-.\d]+ [-.\d]+", "", path.get("d")) for path in marks)
    return [(path.get("class"), outline) for path, outline in zip(marks, outlines, strict=True)]


@pytest.mark.parametrize("n_classes", [3, 9, 10, 20, 72])
def test_a_class_keeps_its_colour_and_mark_when_one_is_added(n_classes):
    looks = drawn(n_classes)
    assert drawn(n_classes + 1)[:n_classes] == looks
    assert len(set(looks)) == n_classes


def test_from_the_tenth_class_on_marks_separate_equal_colours():
    looks = drawn(20)
    for first, second in ((0, 9), (1, 10), (0, 18), (9, 18)):
        assert looks[first][0] == looks[second][0] and looks[first][1] != looks[second][1]
