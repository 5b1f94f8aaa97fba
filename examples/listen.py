"""Send a recording to `earmark serve` as live sound, and print the events.

python examples/listen.py ws://127.0.0.1:8000 night.wav [--real-time]
"""

import asyncio
import json
import sys

import soundfile
from websockets.asyncio.client import connect

BLOCK_S = 0.1


async def send(stream, sound, is_real_time):
    for block in sound.blocks(round(BLOCK_S * sound.samplerate), dtype="int16"):
        await stream.send(block.tobytes())
        if is_real_time:
            await asyncio.sleep(BLOCK_S)
    await stream.send(json.dumps({"type": "end"}))


async def listen(service, path, is_real_time):
    with soundfile.SoundFile(path) as sound:
        url = f"{service}/v1/listen?rate={sound.samplerate}&channels={sound.channels}"
        # no pings: they would wait behind the sound
        async with connect(url, ping_interval=None) as stream:
            sending = asyncio.ensure_future(send(stream, sound, is_real_time))
            async for text in stream:
                value = json.loads(text)
                if value["type"] == "event":
                    print(f"{value['start']:.2f} {value['end']:.2f} {value['label']}", flush=True)
                elif value["type"] == "error":
                    sys.exit(value["detail"])
            await sending


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1], sys.argv[2], "--real-time" in sys.argv[3:]))
