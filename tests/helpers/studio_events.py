"""A page that listens to what a studio tells, as far as a test needs one."""

import http.client
import json


class Events:
    """One page that listens."""

    def __init__(self, client, last=None, query=""):
        self.connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
        headers = {"Cookie": client.cookie} | ({"Last-Event-ID": last} if last else {})
        self.connection.request("GET", f"/api/events{query}", headers=headers)
        self.response = self.connection.getresponse()
        self.last = None
        if self.response.status == 200:
            assert self.block()[0].startswith("retry: ")

    def block(self):
        lines = []
        while (line := self.response.readline().decode().rstrip("\n")) or not lines:
            lines.append(line)
        return lines

    def next(self):
        """Return kind and data of the next event; signs of life are passed over."""
        while (block := self.block())[0].startswith(":"):
            pass
        fields = dict(line.split(": ", 1) for line in block)
        self.last = fields["id"]
        return fields["event"], json.loads(fields["data"])

    def close(self):
        self.response.close()
        self.connection.close()
