"""The parts of live sound that need no microphone: spectra, and the way to the server and back."""

from __future__ import annotations

import functools
import http.server
import threading
from importlib import resources

import pytest

# A socket that a test opens, answers and closes by hand.
SOCKET = """
    window.sockets = [];
    window.WebSocket = class extends EventTarget {
      static OPEN = 1;
      constructor(address) {
        super();
        Object.assign(this, { address, readyState: 0, bufferedAmount: 0, sent: [] });
        sockets.push(this);
      }
      send(data) { this.sent.push(data); }
      close() { this.readyState = 3; this.dispatchEvent(new Event('close')); }
      open() { this.readyState = 1; this.dispatchEvent(new Event('open')); }
      say(value) {
        const data = JSON.stringify(value);
        this.dispatchEvent(new MessageEvent('message', { data }));
      }
    };
    window.told = [];
    window.begin = async () => {
      const { Link } = await import('./live-link.js');
      const link = new Link('ws://x/?model=a', 1000, (kind, value) => told.push([kind, value]));
      const take = (from, to) => {
        for (let k = from; k < to; k++) {
          const samples = new Int16Array(100).fill(k);
          link.take({ number: k, first: 100 * k, at: 0, samples });
        }
      };
      return { link, take };
    };
    window.numbers = (socket) => socket.sent.map((data) => new Int16Array(data)[0]);
    null;
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the modules and an empty page, and says nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page(launch):
    """A page that may import the modules of the studio."""
    folder = resources.files("earmark.apps.studio") / "page" / "js"
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = launch().new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        yield page
        server.shutdown()


def test_a_tone_is_in_its_row_however_the_sound_comes(page):
    rows = page.evaluate("""async () => {
      const { Spectrum, shareOf, topOf } = await import('./live-spectrum.js');
      const length = 48_000, per = 2 * Math.PI * 1000 / length;
      const tone = Float32Array.from({ length }, (_, k) => 32767 * Math.sin(per * k));
      const columns = (size) => {
        const made = [], spectrum = new Spectrum(48_000, 192, 0.0125);
        for (let k = 0; k < length; k += size) {
          spectrum.feed(tone.subarray(k, k + size), 32_768, (column) => made.push([...column]));
        }
        return made;
      };
      const [whole, small] = [columns(48_000), columns(997)], last = whole.at(-1);
      const loudest = Math.max(...last), share = 1 - (last.indexOf(loudest) + 0.5) / 192;
      const equal = JSON.stringify(whole) === JSON.stringify(small);
      return { count: whole.length, equal, loudest, share, wanted: shareOf(1000, topOf(length)) };
    }""")
    assert rows["count"] == 80 and rows["equal"]
    assert rows["loudest"] >= 250  # full scale is 255, and the tone lies between two bins
    assert abs(rows["share"] - rows["wanted"]) < 1 / 192


def test_silence_is_white(page):
    shades = page.evaluate("""async () => {
      const { Gain, Spectrum } = await import('./live-spectrum.js');
      const gain = new Gain(), spectrum = new Spectrum(16_000, 64, 0.0125), shades = new Set();
      spectrum.feed(new Int16Array(16_000), 32_768, (levels) => {
        gain.follow(levels);
        for (const x of levels) shades.add(gain.shade(x));
      });
      return [...shades];
    }""")
    assert shades == [0]


def test_a_picture_has_the_contrast_of_its_own_sound(page):
    made = page.evaluate("""async () => {
      const { contrastOf } = await import('./draw.js');
      const rain = new Uint8Array(10_000).fill(200);
      const call = rain.map((_, k) => (k % 100 ? 120 : 240)), faint = call.map((x) => x / 3);
      return [rain, call, faint].map((levels) => contrastOf(levels));
    }""")
    rain, call, faint = made
    assert rain["from"] < 200 <= rain["to"]  # a steady sound is not taken for silence
    assert call == {"from": 120, "to": 240}  # the noise around a call is paper
    assert faint["to"] > 160  # what is faint stays faint


def test_sound_from_before_the_connection_is_sent_and_answers_have_its_times(page):
    page.evaluate(SOCKET)
    result = page.evaluate("""async () => {
      const { link, take } = await begin();
      link.open();
      take(3, 6);
      sockets[0].open();
      take(6, 8);
      sockets[0].say({ type: 'scores', start: 0.1, end: 0.2, scores: [1] });
      const { lost, sent } = link, [{ address }] = sockets;
      return { numbers: numbers(sockets[0]), told, lost, sent, address };
    }""")
    assert result["numbers"] == [3, 4, 5, 6, 7]
    assert result["sent"] == 5 and result["lost"] == 0
    [[kind, scores]] = result["told"]
    assert kind == "scores" and scores["start"] == pytest.approx(0.4)  # sample 300 is its second 0
    assert "rate=1000" in result["address"] and "format=s16le" in result["address"]


def test_a_short_outage_loses_nothing_and_a_long_one_says_what_is_lost(page):
    page.evaluate(SOCKET)
    result = page.evaluate("""async () => {
      const { link, take } = await begin();
      link.open();
      sockets[0].open();
      take(0, 5);
      sockets[0].close();
      const gone = told.at(-1);
      take(5, 115);
      link.open();
      sockets[1].open();
      sockets[1].say({ type: 'event', start: 1, end: 2, label: 'a' });
      const gaps = told.filter(([kind]) => kind === 'lost').map(([, { start }]) => start);
      return { gone, gaps, numbers: numbers(sockets[1]), event: told.at(-1)[1], lost: link.lost };
    }""")
    assert result["gone"][0] == "gone" and result["gone"][1]["pause"] == 0.5
    assert result["lost"] == 10 and result["gaps"][0] == pytest.approx(0.5)
    assert result["numbers"] == list(range(15, 115))  # the latest 10 s
    assert result["event"]["start"] == pytest.approx(2.5)  # 1.5 s were before this stream


def test_what_follows_a_gap_has_a_stream_of_its_own(page):
    page.evaluate(SOCKET)
    numbers = page.evaluate("""async () => {
      const { link, take } = await begin();
      link.open();
      sockets[0].open();
      take(0, 3);
      take(9, 12);
      sockets[1].open();
      return sockets.map((socket) => numbers(socket));
    }""")
    assert numbers == [[0, 1, 2], [9, 10, 11]]


def test_a_stream_that_is_ended_sends_nothing_more(page):
    page.evaluate(SOCKET)
    sent = page.evaluate("""async () => {
      const { link, take } = await begin();
      link.open();
      sockets[0].open();
      take(0, 1);
      link.close();
      take(1, 4);
      const [{ sent }] = sockets;
      return { last: sent.at(-1), count: sent.length, waiting: link.waiting.length };
    }""")
    assert sent == {"last": '{"type":"end"}', "count": 2, "waiting": 0}
