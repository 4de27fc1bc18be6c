"""Servers to measure: each configuration in a folder of its own, on private loopback ports, ended by process id."""

import base64
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import wiring
from app.infra import migrations, yaml
from app.kernel import settings as deployment
from app.web.services import Services
from bench.load import Connection, request
from tests.servers import OWNER_ROLE, PostgresServer, RedisServer

ROOT = Path(__file__).resolve().parent.parent
CLIENT_ID, CLIENT_SECRET = "bench", "bench-0123456789-0123456789-0123456789"
RESOURCE = "https://api.example.com"
REDIRECT_URI = "http://127.0.0.1:9/cb"

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

APPLY = f"""
tenants:
  - slug: default
    settings: {{tokens: {{access_seconds: 3600}}}}
    resources:
      - {{identifier: "{RESOURCE}", name: API, scopes: [{{name: read, description: Read}}]}}
    clients:
      - client_id: {CLIENT_ID}
        client_secret: {CLIENT_SECRET}
        redirect_uris: ["{REDIRECT_URI}"]
        grant_types: [authorization_code, refresh_token, client_credentials, "{EXCHANGE}"]
        scope: openid offline_access read
        default_resources: ["{RESOURCE}"]
        first_party: true
        id_token_signed_response_alg: ES256
      - client_id: {CLIENT_ID}-rs256
        client_secret: {CLIENT_SECRET}
        redirect_uris: ["{REDIRECT_URI}"]
        grant_types: [authorization_code, refresh_token]
        scope: openid offline_access read
        default_resources: ["{RESOURCE}"]
        first_party: true
    users:
      - {{username: alice, password: correct-horse-battery, email: alice@example.com}}
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A server under measurement."""

    server: str
    configuration: str
    url: str
    web_pid: int
    store_pids: Callable[[], list[int]]
    services: Services | None
    """The same deployment's parts in this process, to prepare codes and tokens with; none for the yardstick."""

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.server}/{self.configuration}"


@contextmanager
def start(server: str, configuration: str) -> Iterator[Running]:
    """Start a configuration (`yardstick`, `bare`, `embedded`, `production`) on a server (`granian`, `gunicorn`)."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watchword-bench-")))
        port = _free_port()
        environ = {
            "WATCHWORD_BASE_URL": f"http://127.0.0.1:{port}",
            "WATCHWORD_PORT": str(port),
            "WATCHWORD_DATA_DIR": str(folder / "data"),
            "WATCHWORD_MASTER_KEY": "bench:" + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode(),
            "WATCHWORD_LOG_LEVEL": "WARNING",
        }
        store_pids: Callable[[], list[int]] = list
        if configuration == "production":
            store_pids = _production(stack, environ)
        services = None if configuration == "yardstick" else _prepare(stack, environ, folder)
        kind = {"yardstick": "yardstick", "bare": "bare"}.get(configuration, "real")
        process = stack.enter_context(_served(server, kind, environ))
        _wait(port)
        yield Running(server, configuration, environ["WATCHWORD_BASE_URL"], process.pid, store_pids, services)


def _production(stack: ExitStack, environ: dict[str, str]) -> Callable[[], list[int]]:
    from bench import processes

    redis = stack.enter_context(RedisServer())
    postgres = stack.enter_context(PostgresServer(durable=True))
    database = postgres.create_database()
    environ["WATCHWORD_REDIS_URL"] = redis.url
    environ["WATCHWORD_DATABASE_URL"] = postgres.url(database)
    environ["WATCHWORD_MIGRATION_DATABASE_URL"] = postgres.url(database, role=OWNER_ROLE)
    return lambda: [*processes.tree(redis.pid), *processes.tree(postgres.pid)]


def _prepare(stack: ExitStack, environ: dict[str, str], folder: Path) -> Services:
    settings = deployment.load(environ, parse_yaml=yaml.load)
    migrations.upgrade(settings)
    file = folder / "watchword.yaml"
    file.write_text(APPLY, "utf-8")
    subprocess.run(
        [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())", "apply", str(file)],
        env={**os.environ, **environ},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    services = wiring.build(settings)
    stack.callback(services.close)
    return services


@contextmanager
def _served(server: str, kind: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serve", server, kind],
        env={**os.environ, **environ},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    probe = request("GET", f"http://127.0.0.1:{port}/")
    while True:
        try:
            Connection("127.0.0.1", port).send(probe)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
