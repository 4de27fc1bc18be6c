"""Real Redis and PostgreSQL servers for tests: private loopback ports, temporary folders.

Both are context managers and end what they started by process id. Nothing outside their folder is touched, so
that several test runs may go on at once.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import redis

START_SECONDS = 60.0
STOP_SECONDS = 20.0

OWNER_ROLE = "watchword_owner"
APPLICATION_ROLE = "watchword_app"
SYSTEM_ROLE = "watchword_system"
SUPERUSER = "postgres"


def free_port() -> int:
    """A loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], *, seconds: float = START_SECONDS, what: str = "") -> None:
    """Ask `ready` until it says yes; `TimeoutError` when it has not within `seconds`."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what or ready} took more than {seconds} s")
        time.sleep(0.02)


class Server:
    """A process of ours with a folder, a port and a log."""

    name = ""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"ww-{self.name}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        """The running server's process id."""
        assert self.process is not None, f"{self.name} is not running"
        return self.process.pid

    def start(self) -> Self:
        """Start, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self.identity(),
            )
        wait_until(self._answers_or_died, what=f"starting {self.name}")
        return self

    def stop(self) -> None:
        """End it in an orderly way (and kill it when it does not)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in an orderly way, start again on the same port and folder."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process: connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop and delete the folder."""
        if self.process is not None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def command(self) -> list[str]:
        """What is run."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """As whom it is run: keyword arguments for `Popen`."""
        return {}

    def answers(self) -> bool:
        """Whether it answers questions by now."""
        raise NotImplementedError

    def _answers_or_died(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(
                f"{self.name} ended at once:\n{self.log.read_text('utf-8', 'replace')[-4000:]}"
            )
        return self.answers()

    def _end(self, with_signal: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        family = [process.pid, *_children(process.pid)]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(with_signal)
        try:
            process.wait(STOP_SECONDS if with_signal == signal.SIGTERM else 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        if with_signal == signal.SIGKILL:
            for pid in family[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_is_alive, family)), seconds=STOP_SECONDS, what=f"ending {self.name}")


class RedisServer(Server):
    """Redis on a private port and unix socket. `appendonly`: a write is on disk before it is acknowledged."""

    name = "redis"

    def __init__(self, *, appendonly: bool = False, replica_of: "RedisServer | None" = None) -> None:
        super().__init__()
        self.appendonly = appendonly
        self.replica_of = replica_of

    @property
    def url(self) -> str:
        """For `WATCHWORD_REDIS_URL`."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The same server over its unix socket."""
        return f"unix://{self.folder / 'redis.sock'}"

    @property
    def rdb(self) -> Path:
        """The snapshot `save` writes."""
        return self.folder / "dump.rdb"

    def client(self, **options: Any) -> "redis.Redis":
        """A client of it; close it after use."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5, **options)

    def save(self, copy_to: Path | None = None) -> Path:
        """Write a snapshot now; with `copy_to`, keep a copy there."""
        with contextlib.closing(self.client()) as client:
            client.save()
        if copy_to is not None:
            shutil.copyfile(self.rdb, copy_to)
        return copy_to or self.rdb

    def restore(self, snapshot: Path) -> None:
        """Go back in time: start again with what an old snapshot held, and nothing newer."""
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        if snapshot != self.rdb:
            shutil.copyfile(snapshot, self.rdb)
        appendonly, self.appendonly = self.appendonly, False
        self.start()
        self.appendonly = appendonly
        if appendonly:
            with contextlib.closing(self.client()) as client:
                client.config_set("appendonly", "yes")
                client.config_set("appendfsync", "always")

    def promote(self) -> None:
        """Make a replica a master, as a failover does."""
        with contextlib.closing(self.client()) as client:
            client.replicaof("NO", "ONE")
        self.replica_of = None

    def command(self) -> list[str]:
        """Redis without the machine's configuration file."""
        command = [
            _binary("redis-server"),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
        ]
        command += ["--unixsocket", str(self.folder / "redis.sock"), "--daemonize", "no", "--save", ""]
        command += ["--maxmemory-policy", "noeviction", "--appendonly", "yes" if self.appendonly else "no"]
        command += ["--appendfsync", "always" if self.appendonly else "no"]
        if self.replica_of is not None:
            command += ["--replicaof", f"127.0.0.1 {self.replica_of.port}", "--repl-diskless-sync-delay", "0"]
        return command

    def answers(self) -> bool:
        """Loaded, and in step with its master if it has one."""
        with contextlib.closing(self.client()) as client:
            try:
                client.ping()
                return self.replica_of is None or client.info("replication")["master_link_status"] == "up"
            except redis.RedisError:
                return False


class PostgresServer(Server):
    """PostgreSQL with the three roles a deployment has. `durable`: with fsync, for tests that kill it."""

    name = "postgres"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.durable = durable
        self._databases = 0
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def start(self) -> Self:
        """Start; the first time, make the cluster and the roles."""
        if (self.folder / "data").exists():
            return super().start()
        command = [_binary("initdb"), "-D", str(self.folder / "data"), "-U", SUPERUSER, "-A", "trust"]
        command += ["--no-sync", "-E", "UTF8", "--locale", "C"]
        done = subprocess.run(command, capture_output=True, cwd=self.folder, **self.identity(), check=False)
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.decode()}")
        super().start()
        with self.connect() as connection:
            connection.execute(f"CREATE ROLE {SYSTEM_ROLE} NOLOGIN")
            connection.execute(f"CREATE ROLE {OWNER_ROLE} LOGIN")
            connection.execute(f"CREATE ROLE {APPLICATION_ROLE} LOGIN NOINHERIT IN ROLE {SYSTEM_ROLE}")
        return self

    def connect(self, database: str = "postgres", user: str = SUPERUSER) -> "psycopg.Connection[Any]":
        """A connection in autocommit mode; as the superuser unless told."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user=user, dbname=database, autocommit=True)

    def create_database(self, name: str | None = None, *, template: str | None = None) -> str:
        """An empty database of the owner role's (or a copy of `template`, which nobody may be using)."""
        self._databases += 1
        name = name or f"watchword_{self._databases}"
        with self.connect() as connection:
            connection.execute(
                f"CREATE DATABASE {name} OWNER {OWNER_ROLE} TEMPLATE {template or 'template0'}"
            )
            connection.execute(f"REVOKE CREATE ON DATABASE {name} FROM PUBLIC")
        return name

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextlib.contextmanager
    def database(self, *, template: str | None = None) -> Iterator[str]:
        """A database for the length of a block."""
        name = self.create_database(template=template)
        try:
            yield name
        finally:
            self.drop_database(name)

    def url(self, database: str, role: str = APPLICATION_ROLE) -> str:
        """For `WATCHWORD_DATABASE_URL`, or `_MIGRATION_DATABASE_URL` with `role=OWNER_ROLE`."""
        return f"postgresql+psycopg://{role}@127.0.0.1:{self.port}/{database}"

    def command(self) -> list[str]:
        """PostgreSQL on loopback and a socket in its folder."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "32MB",
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "log_min_messages": "warning",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [_binary("postgres"), "-D", str(self.folder / "data"), *settings]

    def identity(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        user = _unprivileged()
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def stop(self) -> None:
        """A fast shutdown: it does not wait for clients to leave."""
        self._end(signal.SIGINT)

    def answers(self) -> bool:
        """Accepting connections."""
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("no unprivileged user to run PostgreSQL as")


def _binary(name: str) -> str:
    packaged = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3]), reverse=True
    )
    found = str(packaged[0]) if packaged else shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed (Debian: redis-server, postgresql)")
    return found


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
