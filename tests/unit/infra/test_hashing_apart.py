"""Passwords hashed in processes of their own."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from app.infra.hashing import apart
from app.infra.hashing.answers import Question, Verdict, answer
from app.infra.hashing.apart import NICENESS, HashingProcess
from app.infra.passwords import Passwords, is_own
from app.kernel.errors import Unavailable

GOOD = "correct-horse-battery"
QUESTION = Question(GOOD, GOOD, None)


@pytest.fixture
def process() -> Iterator[HashingProcess]:
    found = HashingProcess()
    yield found
    found.close()


def pid_of(process: HashingProcess) -> int:
    assert process._process is not None
    return process._process.pid


def test_it_is_in_a_session_of_its_own_which_steps_back(process: HashingProcess) -> None:
    """Sessions share a core before processes do, where the system has that."""
    process(QUESTION)
    pid = pid_of(process)
    assert os.getsid(pid) == pid
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        assert group.read_text().split()[1:] == ["nice", str(NICENESS)]


def test_it_tries_again_where_the_system_is_asked_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a session of its own would make it the equal of all that answers."""
    said = []

    class Group:
        def write_text(self, text: str) -> None:
            said.append(text)
            if len(said) < 3:
                raise BlockingIOError

    monkeypatch.setattr(apart, "_AUTOGROUP", Group())
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(os, "setsid", lambda: None)
    apart._step_back()
    assert said == [str(NICENESS)] * 3


def test_it_says_nothing_of_a_session_that_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def is_leader() -> None:
        raise PermissionError

    monkeypatch.setattr(apart, "_AUTOGROUP", tmp_path / "autogroup")
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(os, "setsid", is_leader)
    apart._step_back()
    assert not (tmp_path / "autogroup").exists()


def test_the_same_as_here() -> None:
    """Whatever a password is made of: quotes, line ends of other scripts, and half a character where only the hash of
    another system is compared."""
    hasher = Passwords(2, apart=True)
    try:
        for password in (GOOD, 'a "quoted" one', "Zoë\u2028\u2029 x", "\U0001f600" * 20):
            stored = hasher.hash(password)
            assert answer(Question(password, password, stored)) == Verdict(ok=True)
            assert hasher.verify(password, stored) == Verdict(ok=True)
            assert hasher.verify(password + "x", stored) == Verdict(ok=False)
        assert hasher.verify("\ud800", stored) == Verdict(ok=False)
        imported = bcrypt.hashpw(GOOD.encode(), bcrypt.gensalt(4)).decode()
        assert is_own(hasher.verify(GOOD, imported).better or "")
        assert hasher.verify_dummy(GOOD) == Verdict(ok=False)
    finally:
        hasher.close()


def test_it_steps_back_and_knows_nothing_of_ours(
    process: HashingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHWORD_MASTER_KEY", "a key")
    monkeypatch.setenv("PGPASSWORD", "another")
    assert process(QUESTION).ok
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, pid_of(process)) == min(19, here + NICENESS)
    environ = Path(f"/proc/{pid_of(process)}/environ").read_bytes()
    assert b"WATCHWORD" not in environ
    assert b"PGPASSWORD" not in environ


def test_it_is_small(process: HashingProcess) -> None:
    """It knows the schemes, and neither the application nor its libraries."""
    asked = "import sys; import app.infra.hashing.apart; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert {"argon2", "nacl"} <= set(found.stdout.split())
    assert not {"flask", "sqlalchemy", "prometheus_client", "redis", "app.wiring"} & set(found.stdout.split())


def test_one_process_serves_until_it_ends(process: HashingProcess) -> None:
    process(QUESTION)
    first = pid_of(process)
    process(QUESTION)
    assert pid_of(process) == first
    os.kill(first, signal.SIGINT)
    os.kill(first, signal.SIGTERM)
    process(QUESTION)
    assert pid_of(process) == first, "these are for those it works for"


def test_one_that_was_killed_is_replaced(process: HashingProcess) -> None:
    process(QUESTION)
    first = pid_of(process)
    os.kill(first, signal.SIGKILL)
    assert process._process is not None
    process._process.wait(10)
    assert process(QUESTION).ok
    assert pid_of(process) != first


def test_one_that_dies_over_a_question_costs_that_question(
    process: HashingProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets 503 and is on record; the next question has a process."""
    process(QUESTION)
    os.kill(pid_of(process), signal.SIGSTOP)
    first = process._process
    assert first is not None
    killer = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.3; kill -9 {first.pid}"])
    with pytest.raises(Unavailable) as refused:
        process(QUESTION)
    assert killer.wait(10) == 0
    assert (refused.value.code, refused.value.retry_after_seconds) == ("passwords.busy", 2)
    assert "a hashing process failed" in caplog.text
    assert GOOD not in caplog.text
    assert process(QUESTION).ok


def test_one_that_is_stuck_is_ended(process: HashingProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    process(QUESTION)
    first = pid_of(process)
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr(apart, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(Unavailable):
        process(QUESTION)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_an_answer_is_never_taken_for_another_ones(
    process: HashingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes away without their answer leaves none behind; and should one lie there all the same, it does not
    count."""
    stored = process(QUESTION).better
    right, wrong = Question(GOOD, GOOD, stored), Question("wrong", "wrong", stored)
    with monkeypatch.context() as patch:

        def interrupted() -> None:
            raise KeyboardInterrupt

        patch.setattr(apart.select, "poll", interrupted)
        with pytest.raises(KeyboardInterrupt):
            process(right)
    assert process(wrong) == Verdict(ok=False)
    assert process(right) == Verdict(ok=True)
    asked, _ = apart._pipes(process._process)  # type: ignore[arg-type]
    asked.write(json.dumps(["another", *right]).encode() + b"\n")
    with pytest.raises(Unavailable):
        process(wrong)
    assert process(wrong) == Verdict(ok=False)


def test_modules_are_those_of_the_installation(
    process: HashingProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that lie in the folder it is started in."""
    for name in ("argon2", "app", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken for another')")
    monkeypatch.chdir(tmp_path)
    assert process(QUESTION).ok


def test_many_files_may_be_open(process: HashingProcess) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        assert process(QUESTION).ok
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_ends_with_those_it_works_for() -> None:
    """However they end: it asks for nothing and lets go of nothing."""
    code = (
        "import os; from app.infra.hashing.apart import HashingProcess; from app.infra.hashing.answers import Question;"
        "p = HashingProcess(); p(Question('x', 'x', None)); print(p._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    # Its standard error is not ours, or reading ours would wait for it.
    ended = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        stderr=subprocess.DEVNULL,
    )
    assert ended.returncode == -signal.SIGKILL
    pid = int(ended.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"
