"""A parent for a few child processes: starts again what ends unasked, later each time, and ends all together."""

import ctypes
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

GRACE_SECONDS = 30.0
STEADY_SECONDS = 30.0
FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 0.25, 15.0

_STOP = (signal.SIGTERM, signal.SIGINT)
_WATCHED = frozenset({*_STOP, signal.SIGHUP, signal.SIGCHLD})
_PR_SET_PDEATHSIG = 1

log = logging.getLogger("watchword.serve")


def die_with_parent(parent: int) -> None:
    """Have the kernel send this process SIGTERM when `parent` ends, however it ends: a killed parent leaves no orphans.

    Call it first thing in a child. Exits at once if the parent is gone already.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(1)


@dataclass(slots=True)
class Part:
    """A child process: what it runs, and how it has fared."""

    name: str
    run: Callable[[], None]
    pid: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    delay_seconds: float = FIRST_DELAY_SECONDS

    def ended(self, now: float) -> None:
        """Note that the process is gone and when to start it again."""
        steady = now - self.started_at > STEADY_SECONDS
        self.delay_seconds = (
            FIRST_DELAY_SECONDS if steady else min(self.delay_seconds * 2, LAST_DELAY_SECONDS)
        )
        self.pid, self.due_at = 0, now + self.delay_seconds


class Supervisor:
    """Runs its parts until it is told to stop. For the main thread of a process that has no other."""

    def __init__(self, parts: Sequence[Part], *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._parts = parts
        self._grace_seconds = grace_seconds

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return 0, or 1 if something had to be killed at the end."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            self._run_until_stopped()
            return self._stop()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _run_until_stopped(self) -> None:
        while True:
            now = time.monotonic()
            for part in self._parts:
                if not part.pid and part.due_at <= now:
                    self._start(part)
            waiting = [part.due_at - now for part in self._parts if not part.pid]
            received = signal.sigtimedwait(_WATCHED, max(0.0, min([*waiting, 3600.0])))
            if received and received.si_signo in _STOP:
                return
            if received and received.si_signo == signal.SIGHUP:
                self._tell(signal.SIGHUP, names=("web",))
            self._reap()

    def _start(self, part: Part) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            part.pid, part.started_at = pid, time.monotonic()
            return
        status = 1
        try:
            # A group of its own: Ctrl-C reaches the parent alone, which then ends the children in order.
            os.setpgid(0, 0)
            for number in (*_STOP, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            die_with_parent(parent)
            part.run()
            status = 0
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self, *, stopping: bool = False) -> None:
        while any(part.pid for part in self._parts):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for part in self._parts:
                if part.pid == pid:
                    part.ended(time.monotonic())
                    if not stopping:
                        code = os.waitstatus_to_exitcode(status)
                        log.error(
                            "%s ended (%d); starting again in %.1f s", part.name, code, part.delay_seconds
                        )

    def _tell(self, number: signal.Signals, *, names: Sequence[str] = ()) -> None:
        for part in self._parts:
            if part.pid and (not names or part.name in names):
                os.kill(part.pid, number)

    def _stop(self) -> int:
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while any(part.pid for part in self._parts) and time.monotonic() < deadline:
            signal.sigtimedwait(_WATCHED, max(0.0, deadline - time.monotonic()))
            self._reap(stopping=True)
        left = [part for part in self._parts if part.pid]
        for part in left:
            log.error("%s did not end within %.0f s and is killed", part.name, self._grace_seconds)
        self._tell(signal.SIGKILL)
        for part in left:
            os.waitpid(part.pid, 0)
        return int(bool(left))
