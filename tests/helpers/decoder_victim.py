"""The process that decodes, with recordings that make it hang, end or take memory."""

import os
import time

from earmark.apps.service import child, decoding

ATTACKS = {
    b"hang": lambda: time.sleep(3600),
    b"end": lambda: os._exit(3),
    b"memory": lambda: bytearray(2**34),
}
decode_ahead = decoding.decode_ahead


def decode(body, *arguments, **options):
    """Do what the first bytes of a recording say."""
    for name, attack in ATTACKS.items():
        if body.startswith(name):
            attack()
    return decode_ahead(body, *arguments, **options)


if __name__ == "__main__":
    decoding.decode_ahead = decode
    child.main()
