"""granian as Watchword runs it. Out of the box a killed worker ends the whole server; here it is replaced."""

import os
import signal
from functools import partial
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from app.kernel.settings import Settings
from app.serving.metrics import forget_dead_processes
from app.serving.processes import die_with_parent
from app.serving.sizing import (
    BACKLOG,
    GRACEFUL_SECONDS,
    HEADER_SECONDS,
    THREADS,
    WAITING_PER_THREAD,
    tune_interpreter,
)

_LOGGING = {
    "formatters": {},
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}
"""Its messages go where all others go, in the same form."""


def run(settings: Settings, workers: int) -> None:
    """Serve in this process and its children until SIGTERM; SIGHUP replaces the workers one by one."""
    server = Server(
        "wsgi:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.auto if settings.tls_cert else HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        websockets=False,
        workers=workers,
        blocking_threads=THREADS,
        backpressure=THREADS * WAITING_PER_THREAD,
        backlog=BACKLOG,
        respawn_failed_workers=True,
        workers_kill_timeout=GRACEFUL_SECONDS,
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
        log_access=False,
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
    )
    server.serve(target_loader=partial(_load, settings, os.getpid()), wrap_loader=False)


def _load(settings: Settings, parent: int) -> Any:
    """Runs in each worker, after the fork."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(parent)
    tune_interpreter()
    forget_dead_processes()
    from app import create_app

    return create_app(settings)
