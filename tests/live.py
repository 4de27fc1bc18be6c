"""A running server for tests: `watchword serve` in processes of its own, on a private port, with two web workers.

Tests of third-party clients, browsers and faults talk to it over the wire only, and set it up as an operator does, with
the command line. `live` is the fixture; a module asks for other settings or another web server with `LiveServer`.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from app.kernel.settings import PREFIX, Settings
from app.serving import ServerName
from tests.conftest import PRODUCTION, database_urls, new_master_key
from tests.servers import PostgresServer, RedisServer, free_port, wait_until

ROOT = Path(__file__).resolve().parent.parent
WATCHWORD = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]
READY_PATH = "/health/ready"
START_SECONDS, STOP_SECONDS = 40.0, 40.0


def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a process these settings and nothing else of ours."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    found["PYTHONPATH"] = str(ROOT)
    for field in dataclasses.fields(Settings):
        value = getattr(settings, field.name)
        if value != field.default:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            found[PREFIX + field.name.upper()] = text
    return found


class LiveServer:
    """A server's processes. A context manager; `kill` and friends are for tests of faults."""

    def __init__(
        self, settings: Settings, *, server: ServerName = "granian", command: list[str] | None = None
    ) -> None:
        self.settings = settings
        self.server = server
        self.command = command or [*WATCHWORD, "serve", "--server", server]
        self.folder = Path(tempfile.mkdtemp(prefix="watchword-live-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """The issuer of the default tenant."""
        return self.settings.base_url

    @property
    def log(self) -> str:
        """What all its processes printed."""
        return (self.folder / "server.log").read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        """The parent of all its processes."""
        assert self.process is not None, "the server is not running"
        return self.process.pid

    def environment(self) -> dict[str, str]:
        """What its processes are given."""
        return environment(self.settings)

    def web_parent(self) -> int:
        """granian's or gunicorn's own parent process."""
        return next(pid for pid in children(self.pid) if children(pid))

    def web_workers(self) -> list[int]:
        """The processes that answer requests."""
        return children(self.web_parent())

    def background_worker(self) -> int:
        """The process that delivers the outbox."""
        return next(pid for pid in children(self.pid) if not children(pid))

    def watchword(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run the command line with this server's settings; return what it printed on stdout."""
        done = subprocess.run(
            [*WATCHWORD, *arguments],
            env=self.environment(),
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, (
            f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout

    def apply(self, document: Mapping[str, Any]) -> None:
        """`watchword apply` a document."""
        file = self.folder / "apply.json"
        file.write_text(json.dumps(document))
        self.watchword("apply", str(file))

    def get(self, path: str, **options: Any) -> requests.Response:
        """A plain GET, no redirects followed."""
        options = {"timeout": 10, "allow_redirects": False} | options
        return requests.get(self.base_url + path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """A plain POST."""
        return requests.post(self.base_url + path, timeout=10, allow_redirects=False, **options)

    def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        try:
            return self.get(READY_PATH, timeout=5, headers={"Connection": "close"}).status_code == 200
        except requests.RequestException:
            return False

    def start(self) -> Self:
        """Start, and wait until it is ready."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._ready_or_dead, seconds=START_SECONDS, what="starting the server")
        except BaseException as fault:
            self.stop()
            raise AssertionError(f"{fault}\n{self.log[-6000:]}") from fault
        return self

    def stop(self) -> int:
        """End it as an operator does; return its exit status."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ready_or_dead(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError("the server ended at once")
        return self.is_ready()


def children(pid: int) -> list[int]:
    """The processes a process has started."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    return []


@contextlib.contextmanager
def new_deployment(
    storage: str,
    folder: Path,
    *,
    redis: RedisServer | None = None,
    postgres: PostgresServer | None = None,
    **members: Any,
) -> Iterator[Settings]:
    """Settings of a deployment of its own on a free port, its database migrated. On production it wants the servers."""
    from app.infra import migrations

    port = free_port()
    settings = Settings(
        base_url=f"http://127.0.0.1:{port}",
        port=port,
        workers=2,
        data_dir=folder,
        master_key=new_master_key(),
    )
    with contextlib.ExitStack() as stack:
        if storage == PRODUCTION:
            assert redis is not None
            assert postgres is not None
            urls = database_urls(postgres, stack.enter_context(postgres.database()))
            settings = dataclasses.replace(settings, redis_url=redis.url, **urls)
        settings = dataclasses.replace(settings, **members)
        migrations.upgrade(settings)
        yield settings


@pytest.fixture(scope="module", params=["granian", "gunicorn"])
def live(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server with two web workers and its background worker, once on granian and once on gunicorn."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Any] = {}
        if storage == PRODUCTION:
            servers["redis"] = stack.enter_context(RedisServer())
            servers["postgres"] = request.getfixturevalue("postgres_server")
        folder = tmp_path_factory.mktemp("live")
        settings = stack.enter_context(new_deployment(storage, folder, **servers))
        yield stack.enter_context(LiveServer(settings, server=request.param))
