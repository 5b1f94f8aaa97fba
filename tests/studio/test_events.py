"""What has changed is told to every page, which may leave and come back."""

import asyncio
import contextlib
import time

from earmark.apps.studio import notices
from earmark.apps.studio.notices import Notices
from studio_events import Events
from studios import running


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_change_is_told_and_a_page_that_comes_back_gets_what_is_new(sounds):
    with running(sounds) as client:
        page = Events(client)
        assert page.response.headers["content-type"].startswith("text/event-stream")
        id = client.get("/api/clips").json["clips"][0]["id"]
        client.post("/api/label", {"ids": [id], "label": "new"})
        kind, data = page.next()
        assert kind == "state" and data["version"] == client.get("/api/state").json["version"]
        page.close()
        client.post("/api/undo")
        again = Events(client, page.last)
        assert again.next()[1]["version"] > data["version"]
        other = Events(client, "0000-99999999")  # of an earlier run
        assert other.next()[0] == "state"
        shown = Events(client, query=f"?after={again.last}")  # it was hidden
        version = client.post("/api/redo").json["version"]
        assert shown.next()[1]["version"] == version
        for each in (again, other, shown):
            each.close()


def test_a_hundred_pages_may_listen_and_leave(studio):
    pages = [Events(studio) for _ in range(100)]
    assert studio.get("/api/state").status == 200
    studio.call(studio.studio.notices.publish, "folder", {"trouble": []})
    assert all(page.next() == ("folder", {"trouble": []}) for page in pages)
    for page in pages:
        page.close()
    studio.call(studio.studio.notices.publish, "folder", {"trouble": [1]})
    until(lambda: studio.studio.notices.pages == 0)


def test_a_page_too_many_is_refused(studio, monkeypatch):
    monkeypatch.setattr(notices, "MOST_PAGES", 1)
    page = Events(studio)
    until(lambda: studio.studio.notices.pages == 1)
    assert Events(studio).response.status == 503
    page.close()
    until(lambda: studio.studio.notices.pages == 0)


def test_signs_of_life_come_while_nothing_happens(studio, monkeypatch):
    monkeypatch.setattr(notices, "BEAT_S", 0.05)
    page = Events(studio)
    while not page.block()[0].startswith(":"):
        pass
    page.close()


def test_only_the_newest_of_each_thing_is_kept():
    async def test():
        own = Notices()
        for number in range(1_000):
            own.publish("job", {"id": str(number % 3), "step": number}, str(number % 3))
            own.publish("state", {"version": number})
        stream = own.listen(None)
        await anext(stream)
        texts = [(await anext(stream)).decode() for _ in range(4)]
        assert sum("event: job" in text for text in texts) == 3
        assert '{"version": 999}' in texts[-1]
        last = texts[-1].split()[1]
        own.publish("models", {})
        later = own.listen(last)
        await anext(later)
        assert b"event: models" in await anext(later)
        own.close()
        with contextlib.suppress(StopAsyncIteration):
            await anext(later)
            raise AssertionError("it goes on")

    asyncio.run(test())


def test_the_server_stops_although_pages_listen(sounds):
    with running(sounds) as client:
        page = Events(client)
    assert page.response.read() == b"", "the connection has ended"
    page.close()
