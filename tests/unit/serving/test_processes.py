"""The parent of the server's processes, with real processes: what ends is started again, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.serving.processes import FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS, STEADY_SECONDS, Part
from tests.servers import wait_until

PARENT = """
import os, signal, sys, time
from pathlib import Path
from app.serving.processes import Part, Supervisor

folder = Path(sys.argv[1])

def part(name, deaf=False):
    def run():
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / f"{name}.new").write_text(str(os.getpid()))
        (folder / f"{name}.new").rename(folder / name)
        while True:
            time.sleep(60)
    return Part(name, run)

parts = [part("web"), part("worker", deaf="deaf" in sys.argv)]
sys.exit(Supervisor(parts, grace_seconds=1.0).run())
"""


class Family:
    """A parent with a web part and a worker part that note their process ids."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self.parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder), *arguments])
        wait_until(lambda: self.pid("web") > 0 and self.pid("worker") > 0, seconds=20)

    def pid(self, name: str) -> int:
        """The part's latest process id, or 0."""
        file = self._folder / name
        return int(file.read_text()) if file.exists() else 0


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    made = Family(tmp_path)
    yield made
    made.parent.kill()
    made.parent.wait(10)


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_killed_part_is_started_again_and_the_other_left_alone(family: Family, name: str) -> None:
    other = "worker" if name == "web" else "web"
    killed, kept = family.pid(name), family.pid(other)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: family.pid(name) != killed, seconds=20)
    assert alive(family.pid(name))
    assert family.pid(other) == kept
    assert alive(kept)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_everything_with_status_0(family: Family, number: signal.Signals) -> None:
    pids = [family.pid("web"), family.pid("worker")]
    family.parent.send_signal(number)
    assert family.parent.wait(10) == 0
    assert not any(map(alive, pids))


def test_a_killed_parent_leaves_no_orphans(family: Family) -> None:
    pids = [family.pid("web"), family.pid("worker")]
    family.parent.kill()
    family.parent.wait(10)
    wait_until(lambda: not any(map(alive, pids)), seconds=10)


def test_a_deaf_part_is_killed_after_the_grace_with_status_1(tmp_path: Path) -> None:
    family = Family(tmp_path, "deaf")
    deaf = family.pid("worker")
    family.parent.send_signal(signal.SIGTERM)
    assert family.parent.wait(10) == 1
    assert not alive(deaf)


def test_the_wait_before_a_new_start_doubles_to_a_limit_and_falls_back_after_a_steady_run() -> None:
    part = Part("web", lambda: None, started_at=0.0)
    waits = []
    for _ in range(8):
        part.ended(1.0)
        waits.append(part.due_at - 1.0)
    assert waits[:3] == [FIRST_DELAY_SECONDS * 2, FIRST_DELAY_SECONDS * 4, FIRST_DELAY_SECONDS * 8]
    assert waits[-1] == LAST_DELAY_SECONDS
    part.ended(STEADY_SECONDS + 1)
    assert part.delay_seconds == FIRST_DELAY_SECONDS
