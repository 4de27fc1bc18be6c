"""Debian's oidc-agent, unchanged, without a terminal of anybody's: it registers itself, and keeps tokens fresh."""

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tests.servers import wait_until

SECONDS = 60.0
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class OidcAgent:
    """The agent and its commands, with a home folder of their own."""

    def __init__(self, folder: Path, ca_file: Path) -> None:
        self.ca_file = ca_file
        self._socket = folder / "agent.sock"
        home = folder / "home"
        home.mkdir(mode=0o700)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(folder),
            "OIDC_SOCK": str(self._socket),
            "OIDC_ENCRYPTION_PW": "of-this-test-alone",
        }
        self._log = folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = ["oidc-agent", "--console", "--socket-path", str(self._socket)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._socket.exists, seconds=20, what="starting oidc-agent")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def generate(self, account: str, issuer: str, scope: str, on_link: Callable[[str], Any]) -> str:
        """Register a client and have somebody allow it by device flow; `on_link` is given where they have to go.

        Gives what was printed.
        """
        options = ["--flow=device", "--pw-env", "--prompt=none", "--confirm-default", "--no-url-call"]
        names = ["--issuer", issuer, "--scope", scope, "--cert-file", str(self.ca_file)]
        with self._terminal(["oidc-gen", account, *names, *options]) as (process, read):
            said, deadline, told = "", time.monotonic() + SECONDS, False
            while (more := read()) is not None and time.monotonic() < deadline:
                said += more
                if not told and (found := re.search(r"enter the code: ([A-Z]{4}-[A-Z]{4})", said)):
                    told = True
                    on_link(f"{issuer}/device?user_code={found[1]}")
            assert process.wait(10) == 0, said
        return said

    def run(self, *command: str) -> str:
        """Run one of its commands to its end; gives what it printed."""
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    @contextlib.contextmanager
    def _terminal(
        self, command: list[str]
    ) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[], str | None]]]:
        """The command at a terminal, so that it prints line by line; `read` gives None once it has ended."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command, env=self._environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
        )
        os.close(theirs)

        def read() -> str | None:
            ready, _, _ = select.select([ours], [], [], 0.5)
            if not ready:
                return "" if process.poll() is None else None
            try:
                return _ESCAPE.sub("", os.read(ours, 4096).decode("utf-8", "replace")) or None
            except OSError:
                return None

        try:
            yield process, read
        finally:
            process.kill()
            process.wait(10)
            os.close(ours)
