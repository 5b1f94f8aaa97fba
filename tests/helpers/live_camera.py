"""A camera with a microphone: an RTSP server on the loopback that sends raw samples over TCP."""

import contextlib
import socket
import struct
import threading
from typing import BinaryIO

from audio_files import noise
from live_sound import PATIENCE_S

RATE = 44_100
PACKET = 1_400  # bytes of sound
DESCRIPTION = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=camera
c=IN IP4 0.0.0.0
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=control:video
m=audio 0 RTP/AVP 11
a=rtpmap:11 L16/44100/1
a=control:audio
""".replace("\n", "\r\n")


class Camera:
    """Offers pictures and a second of sound; then it ``ends`` or ``stalls``."""

    samples = noise(RATE)

    def __init__(self, then: str) -> None:
        self.then = then
        self.transports: list[str] = []
        self.over = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.url = f"rtsp://user:word@127.0.0.1:{self.port}/live"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the server or the client is closed
            while True:
                connection, _ = self.server.accept()
                with connection, connection.makefile("rwb") as file:
                    self._talk(file)

    def _talk(self, file: BinaryIO) -> None:
        while line := file.readline():
            method, headers = line.split()[0].decode(), {}
            while header := file.readline().strip():
                name, _, value = header.decode().partition(":")
                headers[name.lower()] = value.strip()
            more, body = "Session: 1\r\n", ""
            if method == "DESCRIBE":
                more, body = "Content-Type: application/sdp\r\n", DESCRIPTION
            elif method == "SETUP":
                self.transports.append(headers["transport"])
                more += f"Transport: {headers['transport']}\r\n"
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            answer = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{more}{length}\r\n{body}"
            file.write(answer.encode())
            file.flush()
            if method == "PLAY":
                return self._play(file)
        return None

    def _play(self, file: BinaryIO) -> None:
        content = (self.samples * 32_768).astype(">i2").tobytes()
        for number, at in enumerate(range(0, len(content), PACKET)):
            packet = struct.pack(">BBHII", 0x80, 11, number, at // 2, 7) + content[at : at + PACKET]
            file.write(b"$\0" + struct.pack(">H", len(packet)) + packet)
        file.flush()
        if self.then == "stalls":
            self.over.wait(PATIENCE_S)
