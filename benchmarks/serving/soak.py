"""A mixed load for long: what memory, files and threads of a service do meanwhile."""

from __future__ import annotations

import random
import signal
from array import array
from collections.abc import Iterator

import numpy as np

from . import host, material
from .clients import CONNECTING, Ask, connect, request
from .common import Bench
from .host import Server, Watch
from .load import Load
from .loop import clock
from .streaming import Listener

SHARE = 0.3  # of what a closed loop gets
SLOW = 10
SETTLED_MINUTES = 5.0  # after which memory is compared
HUP_EVERY_S = 300.0
ABANDON_EVERY_S = 1.0
LOOK_EVERY_S = 5.0
KINDS = {"WAV": "audio/wav", "FLAC": "audio/flac", "OGG": "audio/ogg", "MP3": "audio/mpeg"}
LONG_S = (3, 10, 30)


def soak(bench: Bench) -> None:
    """Write results/serve_soak.csv, a row for each minute, and serve_soak_end.csv."""
    with host.pinned(), bench.earmark_serve() as server:
        good, bad = _recordings(), _refused(bench.bodies[0])
        own = [Ask(a.content, b.expected, a.name) for a, b in _answered(server, good)]
        load = Load(server.port, own)
        load.closed(bench.clients)
        rate = SHARE * load.run(bench.given.peak_seconds).goodput
        mix = _mix(own, bad)
        load = Load(server.port, mix)
        load.open(rate * 0.7, bench.clients * 4, keeps=True, seed=1)
        load.open(rate * 0.3, bench.clients * 4, keeps=False, seed=2)
        load.dawdle(SLOW, bench.contents[0])
        load.watch_health()
        _abandon(load, bench.contents[0])
        with Watch(server, LOOK_EVERY_S) as watch, Listener(server.port, bench.bodies) as listener:
            minutes = Minutes(load, server, watch, listener)
            load.call(bench.given.row_seconds, minutes.note)
            if not bench.given.no_hup:
                load.call(HUP_EVERY_S / 2, lambda: load.loop.every(HUP_EVERY_S, minutes.hup))
            minutes.every_s = bench.given.row_seconds
            load.run(60 * bench.given.minutes + 1)
        bench.keep("soak", minutes.rows, shows=[])
        bench.keep("soak_end", [_end(minutes, rate)])
    for what, count in sorted(load.by_name.items()):
        print(f"{what:40} {count}")


class Minutes:
    """Notes a row every minute."""

    def __init__(self, load: Load, server: Server, watch: Watch, listener: Listener) -> None:
        self.load, self.server, self.watch, self.listener = load, server, watch, listener
        self.rows: list[dict[str, object]] = []
        self.every_s, self.n_hups, self._cpu_s = 60.0, 0, server.cpu_s()
        self._seen: dict[int, int] = {}
        self._began = clock()

    def hup(self) -> None:
        """Let the service load its classifiers anew."""
        if not self.server.has_ended():
            self.server.signal(signal.SIGHUP)
            self.n_hups += 1

    def note(self) -> None:
        """Add a row: medians of what was seen since the last one, answers, latencies."""
        if not self.load.is_open:
            return
        tally, cpu_s = self.load.main, self.server.cpu_s()
        fresh = {s: x[self._seen.get(s, 0) :] for s, x in tally.latency.items()}
        self._seen = {s: len(x) for s, x in tally.latency.items()}
        answers = fresh.get(200, array("f"))
        middle, last = np.percentile(answers, [50, 99]) * 1e3 if answers else (np.nan, np.nan)
        usage = self.watch.take()
        self.rows.append(
            {
                "minute": round((clock() - self._began) / 60, 2),
                **vars(usage),
                "answers": len(answers),
                "refused": sum(len(x) for s, x in fresh.items() if s != 200),
                "p50_ms": round(float(middle), 1),
                "p99_ms": round(float(last), 1),
                "cpu_percent": round(100 * (cpu_s - self._cpu_s) / self.every_s, 1),
                "lost": tally.lost,
                "broken": tally.broken,
                "late": tally.late,
                "unsent": tally.unsent,
                "unconnected": tally.unconnected,
                "wrong": f"{tally.wrong} of {tally.checked}",
                "hups": self.n_hups,
                "streams": self.listener.n_streams,
                "streams_failed": self.listener.n_failed,
                "ended": "yes" if self.server.has_ended() else "no",
            }
        )
        self._cpu_s = cpu_s
        print("  ".join(f"{key} {value}" for key, value in self.rows[-1].items()), flush=True)
        self.load.call(self.every_s, self.note)


def _recordings() -> list[Ask]:
    """Return requests with recordings of several formats and lengths, raw and in forms."""
    own = []
    for k, (label, x) in enumerate(material.recordings()):
        kind = list(KINDS)[k % len(KINDS)]
        body = material.encoded(x, kind, 16_000 if kind == "MP3" else material.RATE_HZ)
        content = material.form(body) if k % 3 == 0 else material.raw(body, KINDS[kind])
        own.append(Ask(content, name=f"{kind.lower()} 1 s"))
        if k < len(LONG_S) * len(KINDS):
            seconds = LONG_S[k // len(KINDS)]
            long = material.encoded(np.resize(x, seconds * material.RATE_HZ), kind, 16_000)
            own.append(Ask(material.raw(long, KINDS[kind]), name=f"{kind.lower()} long {label}"))
    return own


def _answered(server: Server, own: list[Ask]) -> Iterator[tuple[Ask, Ask]]:
    yield from zip(own, material.asks(server, [ask.content for ask in own]), strict=True)


def _refused(body: bytes) -> list[Ask]:
    """Return requests that get no answer, or no recording: broken files, wrong heads, figures."""
    noise = random.Random(0).randbytes(8_000)
    return [
        Ask(material.raw(body[:30]), name="cut in its header"),
        Ask(material.raw(noise), name="noise"),
        Ask(material.raw(b"fLaC" + noise, "audio/flac"), name="broken flac"),
        Ask(material.raw(b"OggS" + noise, "audio/ogg"), name="broken ogg"),
        Ask(material.raw(b""), name="empty"),
        Ask(material.raw(body, "text/html"), name="wrong type"),
        Ask(request("/v1/predict", body, {"Host": "evil.example"}), name="wrong host"),
        Ask(request("/v1/predict?model=none", body), name="wrong model"),
        Ask(request("/nothing"), name="wrong path"),
        Ask(request("/v1/predict", None, {"Content-Length": "99999999"}, "POST"), None,
            "too large", is_cut=True),
        Ask(request("/metrics"), name="metrics"),
        Ask(request("/v1/models"), name="models"),
        Ask(request("/readyz"), name="readyz"),
    ]  # fmt: skip


def _mix(good: list[Ask], bad: list[Ask]) -> list[Ask]:
    """Return requests in a random order, one of four of them without a good recording."""
    draw = random.Random(0)
    return [draw.choice(bad if draw.random() < 0.25 else good) for _ in range(2_000)]


def _abandon(load: Load, content: bytes) -> None:
    """Send a part of a request every second, or all of it, and go away without an answer."""
    draw = random.Random(3)

    def go() -> None:
        sock, error = connect(load.port)
        if error not in CONNECTING:
            sock.close()
            return
        part = content[: draw.choice((0, 40, len(content) // 2, len(content)))]

        def send() -> None:
            try:
                sock.send(part)
            except OSError:
                sock.close()

        load.call(0.01, send)
        load.call(0.01 + draw.random() * 0.2, sock.close)

    load.loop.every(ABANDON_EVERY_S, go)


def _end(minutes: Minutes, rate: float) -> dict[str, object]:
    """Compare the end with minute 5, and fit lines from there on."""
    rows = minutes.rows
    total = float(str(rows[-1]["minute"]))
    after = min(SETTLED_MINUTES, total / 4)
    own = [row for row in rows if float(str(row["minute"])) >= after]
    hours = np.array([float(str(row["minute"])) / 60 for row in own])
    end: dict[str, object] = {
        "minutes": total, "rate_per_s": round(rate, 1), "compared_from_minute": own[0]["minute"],
    }  # fmt: skip
    for name in ("pss_mb", "own_mb", "files", "threads", "processes"):
        y = np.array([float(str(row[name])) for row in own])
        end[f"{name}_first"], end[f"{name}_last"], end[f"{name}_most"] = y[0], y[-1], y.max()
        end[f"{name}_change_percent"] = round(100 * (y[-1] / y[0] - 1), 1)
        if len(y) > 2:
            slope, error = _line(hours, y)
            end[f"{name}_per_hour"] = f"{slope:.2f} (+- {1.96 * error:.2f})"
    for name in (
        "lost",
        "broken",
        "late",
        "unsent",
        "unconnected",
        "wrong",
        "hups",
        "streams",
        "streams_failed",
    ):
        end[name] = rows[-1][name]
    return end


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope of a least-squares line, and its standard error."""
    away = x - x.mean()
    slope = float((away * y).sum() / (away**2).sum())
    rest = y - y.mean() - slope * away
    return slope, float(np.sqrt((rest**2).sum() / (len(x) - 2) / (away**2).sum()))
