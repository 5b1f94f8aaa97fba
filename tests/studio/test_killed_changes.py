"""`earmark studio` is killed while changes are sent: nothing that it has acknowledged is lost."""

import csv
import http.client
import os
import random
import signal
import struct
import threading
import time

import pytest

from studios import Client, command, write_sounds

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")]
KILLS, RATE = 20, 8_000
SOUND = struct.pack("<h", 5) * (RATE // 5)
ENDED = (OSError, http.client.HTTPException)  # of a connection


class Sender(threading.Thread):
    """Sends changes of one kind until the studio is gone; ``count`` are acknowledged.

    What was sent and not acknowledged may be there or not: ``possible`` has the values of a thing.
    """

    def __init__(self, client, possible, dice, values=("",)):
        super().__init__(daemon=True)
        self.client = Client(client.port, client.cookie)
        self.possible, self.dice, self.values = possible, dice, values
        self.count, self.wrong = 0, None

    def run(self):
        try:
            while True:
                self.once()
                self.count += 1
        except ENDED:
            return
        except Exception as error:
            self.wrong = error

    def once(self):
        thing = self.dice.choice(sorted(self.possible))
        value = self.dice.choice(self.values)
        self.possible[thing] |= {value}
        reply = self.send(thing, value)
        assert reply.status == 200, reply.body
        self.possible[thing] = {value}


class Labels(Sender):
    def send(self, id, label):
        return self.client.post("/api/label", {"ids": [id], "label": label})


class Decisions(Sender):
    def send(self, row, word):
        return self.client.post("/api/reviews/r/decide", {"row": row, "decision": word})


class Recordings(Sender):
    """Its ``possible`` are names, each with whether the piece must be there."""

    def once(self):
        name = f"piece {len(self.possible)}"
        about = {"kind": "pcm", "name": name, "label": "new", "rate_hz": RATE, "take": "t"}
        self.possible[name] = False
        id = self.client.post("/api/uploads", about).json["upload"]
        assert self.client.put(f"/api/uploads/{id}?offset=0", SOUND).json["offset"] == len(SOUND)
        self.possible[name] = True
        assert self.client.post(f"/api/uploads/{id}/done").status == 200


def labels(studio):
    clips = studio.get("/api/clips?count=1000").json["clips"]
    return {clip["id"]: clip["label"] for clip in clips if clip["is_recorded"] is False}


def decisions(studio):
    suspects = studio.get("/api/reviews/r").json["suspects"]
    return {suspect["row"]: suspect["decision"] for suspect in suspects}


def check(now, possible):
    assert now.keys() == possible.keys()
    for thing, value in now.items():
        assert value in possible[thing]
        possible[thing] = {value}


def check_pieces(folder, pieces):
    with (folder / "earmark.csv").open(newline="") as file:
        label_of = {row["path"]: row["label"] for row in csv.DictReader(file)}
    there = {path.stem: path for path in (folder / "recordings").glob("*.wav")}
    assert there.keys() <= pieces.keys(), "none is there twice"
    for name, must in pieces.items():
        assert name in there or not must
        if name in there:
            assert there[name].stat().st_size == 44 + len(SOUND)
            assert label_of[f"recordings/{name}.wav"] == "new"
        pieces[name] = name in there


def test_killed_at_random_moments_nothing_acknowledged_is_lost(tmp_path):
    names = [f"{label}/{k}.wav" for label in ("low", "high") for k in range(6)]
    folder, dice = write_sounds(tmp_path / "sounds", names), random.Random(7)
    (folder / "decisions").mkdir()
    rows = [f"../{name},,,{name.split('/')[0]},low,0.9," for name in names]
    head = "path,start,end,label,suggested,evidence,decision"
    (folder / "decisions" / "r.csv").write_text("\n".join([head, *rows, ""]))
    label_of, decision_of, pieces = {}, {}, {}
    for kill in range(KILLS + 1):
        with command(folder) as studio:
            assert studio.enter(studio.address.rpartition("token=")[2]).status == 200
            if not kill:
                label_of = {id: {label} for id, label in labels(studio).items()}
                decision_of = {row: {word} for row, word in decisions(studio).items()}
            check(labels(studio), label_of)
            check(decisions(studio), decision_of)
            if kill:
                check_pieces(folder, pieces)
            if kill == KILLS:
                break
            senders = [
                Labels(studio, label_of, dice, ("low", "high", "mid")),
                Decisions(studio, decision_of, dice, ("keep", "drop", "relabel", "")),
                Recordings(studio, pieces, dice),
            ]
            for sender in senders:
                sender.start()
            many = dice.randrange(1, 40)
            while sum(sender.count for sender in senders) < many:
                assert any(sender.is_alive() for sender in senders)
                time.sleep(0.001)
            studio.process.send_signal(signal.SIGKILL)
            for sender in senders:
                sender.join(30)
                assert not sender.is_alive() and sender.wrong is None, sender.wrong
    assert sum(pieces.values()) > KILLS and len({*map(frozenset, label_of.values())}) > 1
