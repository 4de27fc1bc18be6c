"""Hashing in a process of its own, which steps back behind those that answer requests.

Threads would do but for the interpreter's lock. Hashing gives it away, and has to take it again to hand over what came
out; a thread of low priority that is interrupted just then keeps it from every thread that could go on. A process of
low priority keeps nothing from anybody.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from app.infra.hashing.answers import Question, Verdict, answer
from app.kernel.errors import Unavailable

NICENESS = 10
"""By how much the process steps back: the scheduler lets whoever answers a request go first."""
PATIENCE_SECONDS = 30.0
"""Several times what the dearest hash takes on a busy machine. After that the process counts as stuck."""
RETRY_SECONDS = 2
_ROOT = Path(__file__).parents[3]

log = logging.getLogger("watchword.passwords")


class HashingProcess:
    """One process, started by the first question and again after it ended; one question at a time.

    It gets questions on its standard input, a line of JSON each, and ends with it. Of the environment it gets nothing
    that is ours: no master key and no address of a database.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, question: Question) -> Verdict:
        """The answer. Raises `Unavailable` (`passwords.busy`) when the process does not give any."""
        try:
            line = self._asked(json.dumps(question).encode() + b"\n")
            ok, better = json.loads(line)
        except (OSError, ValueError) as fault:
            self.close()
            log.exception("a hashing process failed")
            raise Unavailable(
                "passwords.busy", detail="a hashing process failed", retry_after_seconds=RETRY_SECONDS
            ) from fault
        return Verdict(ok, better)

    def _asked(self, line: bytes) -> bytes:
        # In a forked child it is nobody's child, which counts as ended.
        if self._process is not None and self._process.poll() is not None:
            self.close()
        process = self._process = self._process or _started()
        asked, told = _pipes(process)
        asked.write(line)
        asked.flush()
        if not select.select([told], [], [], PATIENCE_SECONDS)[0]:
            raise TimeoutError("no answer in time")
        return told.readline()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in _pipes(process):
            with suppress(OSError):
                pipe.close()


def _started() -> "subprocess.Popen[bytes]":
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "PROM"))
    }
    environ["PYTHONPATH"] = str(_ROOT)
    return subprocess.Popen(  # noqa: S603 -- ourselves
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    )


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[BinaryIO, BinaryIO]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started with both pipes")
    return process.stdin, process.stdout  # type: ignore[return-value]


def main() -> None:
    """Answer until nobody asks any more."""
    # Ctrl-C goes to everything in the foreground; requests under way may still have a password to check.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICENESS)
    for line in sys.stdin.buffer:
        found = answer(Question(*json.loads(line)))
        sys.stdout.buffer.write(json.dumps([found.ok, found.better]).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
