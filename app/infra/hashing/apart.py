"""Hashing in a process of its own, which steps back behind those that answer requests.

Threads would do but for the interpreter's lock. Hashing gives it away, and has to take it again to hand over what came
out; a thread of low priority that is interrupted just then keeps it from every thread that could go on. A process of
low priority keeps nothing from anybody.
"""

import json
import logging
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

from app.infra.hashing.answers import Question, Verdict, answer
from app.kernel.errors import Unavailable

NICENESS = 10
"""By how much the process steps back: the scheduler lets whoever answers a request go first."""
PATIENCE_SECONDS = 30.0
"""Several times what the dearest hash takes on a busy machine. After that the process counts as stuck."""
RETRY_SECONDS = 2
MAX_ANSWER_BYTES = 4096
"""What a pipe takes and gives in one piece (POSIX `PIPE_BUF` on Linux); an answer is a tenth of it."""
_ENVIRON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "PYTHONHOME", "VIRTUAL_ENV", "TZ")
_ROOT = Path(__file__).parents[3]
_AUTOGROUP = Path("/proc/self/autogroup")
_ATTEMPTS = 30

log = logging.getLogger("watchword.passwords")


class HashingProcess:
    """One process, started by the first question and again after it ended; one question at a time.

    It gets questions on its standard input, a line of JSON each, and ends with it. An answer names its question: should
    one ever be left unread, it is not taken for the next one's. Of the environment it gets what a program needs to
    run, so no master key and no address of a database.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, question: Question) -> Verdict:
        """The answer. Raises `Unavailable` (`passwords.busy`) when the process does not give any."""
        mark = secrets.token_hex(8)
        try:
            told, ok, better = json.loads(self._asked(json.dumps([mark, *question]).encode() + b"\n"))
            if told != mark:
                raise ValueError("an answer to another question")
        except (OSError, ValueError) as fault:
            self.close()
            log.exception("a hashing process failed")
            raise Unavailable(
                "passwords.busy", detail="a hashing process failed", retry_after_seconds=RETRY_SECONDS
            ) from fault
        except BaseException:
            self.close()
            raise
        return Verdict(ok, better)

    def _asked(self, line: bytes) -> bytes:
        # In a forked child it is nobody's child, which counts as ended.
        if self._process is not None and self._process.poll() is not None:
            self.close()
        process = self._process = self._process or _started()
        asked, told = _pipes(process)
        left = memoryview(line)
        while left:
            left = left[asked.write(left) :]
        # Not `select`, which knows no descriptor above 1023.
        waiting = select.poll()
        waiting.register(told, select.POLLIN)
        if not waiting.poll(PATIENCE_SECONDS * 1000):
            raise TimeoutError("no answer in time")
        return told.read(MAX_ANSWER_BYTES)

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
    environ = {name: os.environ[name] for name in _ENVIRON if name in os.environ}
    # `-P`: modules are those of the installation, whatever folder this was started in.
    return subprocess.Popen(  # noqa: S603 -- ourselves
        [sys.executable, "-P", "-m", __name__],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env={**environ, "PYTHONPATH": str(_ROOT)},
    )


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[FileIO, FileIO]:
    if not isinstance(process.stdin, FileIO) or not isinstance(process.stdout, FileIO):
        raise RuntimeError("the process was started with both pipes, unbuffered")
    return process.stdin, process.stdout


def _step_back() -> None:
    """Behind whoever answers a request, the stores among them. Linux shares a core between sessions first
    (sched(7), "The autogroup feature"), and a process is nice only within its own: so this gets one to itself."""
    with suppress(OSError):
        os.nice(NICENESS)
    try:
        os.setsid()
    except OSError:
        return  # What it would say next would be of its parent's session.
    for _ in range(_ATTEMPTS):
        try:
            _AUTOGROUP.write_text(str(NICENESS))
        except BlockingIOError:
            # The system takes one such word in a tenth of a second, whoever says it; several of us start at once.
            time.sleep(0.1 + secrets.randbelow(100) / 1000)
        except OSError:
            return
        else:
            return


def main() -> None:
    """Answer until nobody asks any more."""
    # Ctrl-C goes to everything in the foreground, and a service manager tells every process of a service to end;
    # requests under way may still have a password to check.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.SIG_IGN)
    _step_back()
    for line in sys.stdin.buffer:
        mark, *question = json.loads(line)
        found = answer(Question(*question))
        sys.stdout.buffer.write(json.dumps([mark, found.ok, found.better]).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
