"""A client of ``/v1/listen`` in a thread: it streams sound, reads what comes, and begins again."""

from __future__ import annotations

import io
import itertools
import json
import threading

import soundfile

REPEATS = 3  # of a clip in a stream
PAUSE_S = 5.0  # between two streams
BLOCK_S = 0.1


class Listener:
    """Streams clips in real time, one stream after the other; every third one is abandoned.

    ``n_streams`` were heard to their end, with ``n_messages`` of scores and events.
    """

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self._port, self._bodies = port, itertools.cycle(bodies)
        self._end, self._thread = threading.Event(), threading.Thread(target=self._run)
        self.n_streams, self.n_messages, self.n_failed, self.problem = 0, 0, 0, ""

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        print(f"/v1/listen: {self.n_streams} streams, {self.n_messages} messages,"
              f" {self.n_failed} failed. {self.problem}")  # fmt: skip

    def _run(self) -> None:
        for k in itertools.count():
            try:
                self._stream(is_abandoned=k % 3 == 2)
            except Exception as error:
                self.n_failed += 1
                self.problem = f"{type(error).__name__}: {error}"
            if self._end.wait(PAUSE_S):
                return

    def _stream(self, is_abandoned: bool) -> None:
        from websockets.sync.client import connect

        x, rate_hz = soundfile.read(io.BytesIO(next(self._bodies)), dtype="int16")
        block = round(BLOCK_S * rate_hz)
        address = f"ws://127.0.0.1:{self._port}/v1/listen?rate={rate_hz}"
        with connect(address, proxy=None) as socket:
            for at in range(0, REPEATS * len(x), block):
                socket.send(x[at % len(x) :][:block].tobytes())
                self._end.wait(BLOCK_S)
            if is_abandoned:
                return
            socket.send(json.dumps({"type": "end"}))
            self.n_messages += sum(1 for _ in socket)  # ends when the service closes normally
            self.n_streams += 1
