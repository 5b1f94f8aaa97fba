"""A client of ``/v1/listen`` in a thread: it streams sound, reads what comes, and begins again."""

from __future__ import annotations

import io
import threading
from types import TracebackType

import soundfile

PAUSE_S = 5.0  # between two streams
BLOCK_S = 0.1


class Listener:
    """Streams clips one after the other, in real time; ``n_streams`` were heard to their end."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self._port, self._bodies = port, bodies
        self._end, self._thread = threading.Event(), threading.Thread(target=self._run)
        self.n_streams, self.n_messages, self.problem = 0, 0, ""

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        print(f"/v1/listen: {self.n_streams} streams, {self.n_messages} messages. {self.problem}")

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self._stream()
                self.n_streams += 1
            except Exception as error:
                self.problem = f"{type(error).__name__}: {error}"
            self._end.wait(PAUSE_S)

    def _stream(self) -> None:
        from websockets.sync.client import connect

        x, rate_hz = soundfile.read(io.BytesIO(b"".join(self._bodies[:1])), dtype="int16")
        address = f"ws://127.0.0.1:{self._port}/v1/listen?rate={rate_hz}"
        with connect(address, proxy=None) as socket:
            block = round(BLOCK_S * rate_hz)
            for at in range(0, 3 * len(x), block):
                socket.send(x[at % len(x) :][:block].tobytes())
                self._end.wait(BLOCK_S)
                try:
                    while True:
                        socket.recv(timeout=0)
                        self.n_messages += 1
                except TimeoutError:
                    pass
