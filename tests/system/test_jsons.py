"""JSON never has NaN or infinity."""

import json
import math

import numpy as np
import pytest

from earmark.system.jsons import json_text


def no_constant(name):
    raise AssertionError(name)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_what_is_not_finite_is_null(bad):
    text = json_text({"a": [1.5, bad, (bad, {"b": bad})], "c": "NaN", "d": None})
    read = json.loads(text, parse_constant=no_constant)
    assert read == {"a": [1.5, None, [None, {"b": None}]], "c": "NaN", "d": None}
