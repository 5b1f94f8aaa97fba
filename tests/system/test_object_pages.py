"""Statuses of objects from pages of a listing."""

from __future__ import annotations

import random

import pytest

from earmark.system import object_pages
from earmark.system.object_pages import Pages
from earmark.system.objects import ObjectError, ObjectStatus

NAMES = [f"{number:05d}.wav" for number in range(5_000)]


class Bucket:
    """A bucket that counts its listings."""

    def __init__(self, names=NAMES):
        self.names, self.listings = names, 0

    def page_after(self, start):
        self.listings += 1
        names = [name for name in self.names if name > start][: object_pages.PAGE]
        return {name: ObjectStatus(int(name[:5]), "v") for name in names}


@pytest.fixture(autouse=True)
def pages_from_the_first(monkeypatch):
    monkeypatch.setattr(object_pages, "SINGLE", 0)


def asked_alone(names, bucket):
    """Ask for all ``names``; return how many no page had."""
    pages, alone = Pages(), 0
    for name in names:
        status = pages.status(name, bucket.page_after)
        assert status in (None, ObjectStatus(int(name[:5]), "v"))
        alone += status is None
    return alone


def test_names_in_order_need_a_page_for_each_thousand():
    bucket = Bucket()
    assert asked_alone(NAMES, bucket) == 0
    assert bucket.listings == 5


def test_threads_may_ask_in_no_exact_order():
    bucket, rng = Bucket(), random.Random(0)
    order = sorted(range(5_000), key=lambda number: number + rng.uniform(0, 64))
    order.remove(order[0])
    assert asked_alone([NAMES[number] for number in order], bucket) < 70
    assert bucket.listings <= 7


def test_names_far_apart_are_asked_for_alone():
    bucket = Bucket()
    shuffled = random.Random(0).sample(NAMES, 500)
    assert asked_alone(shuffled, bucket) > 480
    assert bucket.listings == 1


def test_a_few_names_are_asked_for_alone(monkeypatch):
    monkeypatch.setattr(object_pages, "SINGLE", 16)
    bucket = Bucket()
    assert asked_alone(NAMES[:16], bucket) == 16
    assert bucket.listings == 0


@pytest.mark.parametrize("is_passing", [True, False])
def test_a_bucket_that_may_not_be_listed(is_passing):
    def refused(_):
        raise ObjectError("access is denied (403)", is_passing=is_passing)

    pages = Pages()
    if is_passing:  # it is asked again
        with pytest.raises(ObjectError):
            pages.status(NAMES[0], refused)
        assert pages.status(NAMES[0], Bucket().page_after) == ObjectStatus(0, "v")
    else:
        assert pages.status(NAMES[0], refused) is None
        assert pages.status(NAMES[1], Bucket().page_after) is None
