"""Who is taken for whom: the diagonal, a class's own clips, is no confusion."""

from types import SimpleNamespace

import numpy as np

from earmark.report import answers, figures

COUNTS = np.array([[50, 3, 1, 0], [0, 9, 0, 0], [4, 4, 20, 0], [2, 0, 5, 1]])


def test_a_class_is_not_confused_with_itself():
    assert figures.most_confused(COUNTS) == [(1, 3), None, (0, 4), (2, 5)]
    assert figures.most_confused(np.diag([5, 0, 2])) == [None, None, None]


def test_pairs_are_the_most_frequent_errors():
    expected = [(3, 2, 5), (2, 0, 4), (2, 1, 4), (0, 1, 3), (3, 0, 2), (0, 2, 1)]
    assert figures.pairs(COUNTS, 10) == expected
    assert figures.pairs(COUNTS, 3) == expected[:3]


def test_the_table_of_classes_names_the_most_frequent_error_of_each():
    truth, given = (np.repeat(side.ravel(), COUNTS.ravel()) for side in np.indices((4, 4)))
    contents = SimpleNamespace(truth=truth, answers=given, labels=list("abcd"))
    assert (figures.confusion(truth, given, 4) == COUNTS).all()
    rows = [
        {"label": label, "n": n, "f1": f1}
        for label, n, f1 in zip("abcd", COUNTS.sum(1).tolist(), (0.9, 0.7, 0.8, 0.1), strict=True)
    ]
    table = answers.classes({"classes": rows}, contents)
    assert [(row["label"], row["confused"]) for row in table["rows"]] == [
        ("d", ("c", 5)), ("b", None), ("c", ("a", 4)), ("a", ("b", 3))
    ]  # fmt: skip
    assert answers.confusions(contents)["errors"] == 19
    assert answers.confusions(contents)["confused"] == 6
