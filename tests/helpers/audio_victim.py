"""A process that decodes what it is told to, so that a crash or a hang is its own and is seen.

Run as a program: it reads paths, one a line, and answers each with one line.
"""

import os
import queue
import subprocess
import sys
import threading
import warnings

PATIENCE_S = 30.0  # the slowest file takes some milliseconds; machines may be busy


class Victim:
    """Decodes in another process; a new one is started when it dies or hangs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def decode(self, path: str) -> str:
        """Return 'read', 'refused', 'crashed ...', 'hung' or 'raised ...'."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass
        try:
            answer = self._answers.get(timeout=PATIENCE_S)
        except queue.Empty:
            self.close()
            return "hung"
        if answer:
            return answer
        self.close()
        return f"crashed ({process.returncode})"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(process, self._answers), daemon=True).start()
        self._process = process
        return process

    @staticmethod
    def _listen(process: "subprocess.Popen[str]", answers: "queue.SimpleQueue[str]") -> None:
        assert process.stdout is not None
        while line := process.stdout.readline():
            answers.put(line.strip())
        process.wait()
        answers.put("")


def main() -> None:
    """Decode whole and in part, at another rate; a refusal must be one sentence."""
    from earmark import audio
    from earmark.errors import AudioError

    warnings.simplefilter("error", RuntimeWarning)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libsndfile prints on standard output what it finds in damaged files
    for line in sys.stdin:
        answer = "refused"
        for stretch in ((None, None), (0.1, 0.3), (40.0, None)):
            try:
                audio.read(line.rstrip("\n"), 8_000, *stretch)
                answer = "read"
            except AudioError as error:
                text = str(error)
                if "\n" in text or not text.endswith("."):
                    answer = f"raised {text!r}"
                    break
            except BaseException as error:
                answer = f"raised {error!r}"
                break
        print(answer.replace("\n", " "), file=out, flush=True)


if __name__ == "__main__":
    main()
