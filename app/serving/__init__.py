"""`watchword serve`: a web server, the background worker, and one small parent that keeps both alive.

The parent holds no thread, no connection and no socket. It forks the web server's own parent (granian's or gunicorn's)
and the worker, starts again what ends unasked, and takes all of them along when it goes.
"""

import errno
import gc
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Literal

from app.infra import logs
from app.kernel.errors import ConfigurationError
from app.kernel.settings import Settings
from app.serving import processes
from app.serving.metrics import forget_dead_processes, remove_shared_metrics, share_metrics

ServerName = Literal["granian", "gunicorn"]
SERVERS: tuple[ServerName, ...] = ("granian", "gunicorn")


def serve(
    settings: Settings,
    *,
    server: ServerName = "granian",
    workers: int | None = None,
    with_worker: bool = True,
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    `workers` defaults to the setting, and that to one per core. SIGHUP replaces the web workers one by one, which
    reads a renewed certificate. Raises `ConfigurationError` when the port is taken. The database is migrated already.
    """
    if settings.tls_client_ca and server == "granian":
        raise ConfigurationError(
            [
                "WATCHWORD_TLS_CLIENT_CA: granian does not hand on client certificates; serve with --server gunicorn"
            ]
        )
    refuse_taken_port(settings)
    count = workers or settings.workers or len(os.sched_getaffinity(0))
    share_metrics()
    logs.setup(settings.log_level)
    prepare_to_fork()
    parts = [processes.Part("web", partial(_runner(server), settings, count))]
    if with_worker:
        parts.append(processes.Part("worker", partial(_work, settings)))
    try:
        return processes.Supervisor(parts).run()
    finally:
        remove_shared_metrics()


def _runner(server: ServerName) -> Callable[[Settings, int], None]:
    if server == "gunicorn":
        from app.serving import on_gunicorn

        return on_gunicorn.run
    from app.serving import on_granian

    return on_granian.run


def refuse_taken_port(settings: Settings) -> None:
    """Raise `ConfigurationError` where nobody can listen, or somebody does.

    granian listens with SO_REUSEPORT, so a second server would silently share the port with the first.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as fault:
            place = f"{settings.host}:{settings.port}"
            sentence = f"WATCHWORD_HOST, WATCHWORD_PORT: cannot listen on {place}: {fault.strerror}"
            if fault.errno == errno.EADDRINUSE:
                elsewhere = f"try WATCHWORD_PORT={settings.port + 1} make run"
                sentence += f". End what listens there, or choose another port: {elsewhere}"
            raise ConfigurationError([sentence]) from fault


def prepare_to_fork() -> None:
    """Load the code once: the processes then share its memory, and never look for garbage in it."""
    import app.wiring
    import app.worker  # noqa: F401

    gc.collect()
    gc.freeze()


def _work(settings: Settings) -> None:
    from app.worker import run

    forget_dead_processes()
    run(settings)
