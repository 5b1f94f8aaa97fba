"""The feature specs that compete, listed in full for one network and for two."""

import pytest

from earmark.backbones.info import BackboneInfo, Layer
from earmark.errors import BackboneError
from earmark.training.candidates import _equal_layers, candidates


def info_of(name, *layers):
    return BackboneInfo(name, "", 16_000, 1, 1, tuple(layers), 0, "", "")


NET = info_of("net", Layer("a", 3, 2), Layer("b", 3, 2), Layer("c", 5))
OTHER = info_of("other", Layer("x", 4), Layer("y", 4))
ONE = info_of("one", Layer("z", 4))
DEEP = info_of(
    "deep",
    Layer("front", 9),
    Layer("h0", 4, 2),
    Layer("h1", 4, 2),
    Layer("h2", 4, 2),
    Layer("end", 8),
)


def listed(infos, layers="auto"):
    """Name to layers, and letters: s for deviations, b for bands, m for a mean over layers."""
    return {
        name: (
            spec.layers,
            "s" * spec.spread + "b" * spec.bands + "m" * spec.averaged,
        )
        for name, spec in candidates(infos, layers).items()
    }


def test_one_network_offers_each_layer_its_upper_half_and_all():
    assert listed([NET]) == {
        "a": ((("a",),), "sb"),
        "b": ((("b",),), "sb"),
        "c": ((("c",),), "sb"),
        "c, means": ((("c",),), "b"),
        "upper": ((("b", "c"),), "sb"),
        "upper, no bands": ((("b", "c"),), "s"),
        "upper, means": ((("b", "c"),), "b"),
        "upper, means, no bands": ((("b", "c"),), ""),
        "all": ((("a", "b", "c"),), "sb"),
        "all, no bands": ((("a", "b", "c"),), "s"),
        "all, means": ((("a", "b", "c"),), "b"),
        "all, means, no bands": ((("a", "b", "c"),), ""),
    }


def test_two_networks_are_offered_alone_and_together():
    found = listed([OTHER, ONE])
    assert list(found) == [
        "other/x", "other/y", "other/y, means", "other/upper", "other/upper, means", "other/all",
        "other/all, means", "one/z", "one/z, means", "last", "last, means", "upper",
        "upper, means", "all", "all, means",
    ]  # fmt: skip
    assert found["other/y, means"] == ((("y",), ()), "b")
    assert found["one/z"] == (((), ("z",)), "sb")
    assert found["last"] == ((("y",), ("z",)), "sb")
    assert found["upper"] == ((("y",), ("z",)), "sb")
    assert found["all, means"] == ((("x", "y"), ("z",)), "b")


def test_three_networks_are_offered_in_pairs_too():
    found = listed([OTHER, ONE, NET])
    assert found["other+one/last"] == ((("y",), ("z",), ()), "sb")
    assert found["one+net/all, means, no bands"] == (((), ("z",), ("a", "b", "c")), "")
    assert found["last"] == ((("y",), ("z",), ("c",)), "sb")
    assert "other+net/upper" in found and "other+one+net/all" not in found


def test_the_mean_is_over_the_largest_set_of_equal_layers():
    assert _equal_layers(DEEP) == ("h0", "h1", "h2")
    assert _equal_layers(NET) == ("a", "b")
    found = listed([DEEP, ONE])
    assert found["deep/mean"] == ((("h0", "h1", "h2"), ()), "sbm")
    assert found["deep/mean, means, no bands"] == ((("h0", "h1", "h2"), ()), "m")
    assert not any("mean" in name.partition(",")[0] for name in listed([NET]))  # of two: no mean
    assert found["deep/upper"] == ((("h1", "h2", "end"), ()), "sb")
    assert "upper" not in listed([ONE]) and list(listed([ONE])) == ["z", "z, means"]


def test_layers_that_are_named_come_with_their_variants():
    assert listed([NET], "last") == {"last": ((("c",),), "sb"), "last, means": ((("c",),), "b")}
    assert listed([NET], "b") == {"b": ((("b",),), "sb")}
    assert list(listed([NET], "a,c")) == [
        "a,c", "a,c, no bands", "a,c, means", "a,c, means, no bands"
    ]  # fmt: skip
    assert list(listed([OTHER], "all")) == ["all", "all, means"]
    with pytest.raises(BackboneError):
        candidates([NET], "d")
