"""gunicorn as Watchword runs it: threads in a worker per core, and nothing believed that a proxy says.

`X-Forwarded-*` is read by the application alone, from `WATCHWORD_TRUSTED_PROXIES`.
"""

import ssl
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from app.kernel.settings import Settings
from app.serving.metrics import forget_dead_processes
from app.serving.processes import die_with_parent
from app.serving.sizing import (
    BACKLOG,
    GRACEFUL_SECONDS,
    KEEP_ALIVE_SECONDS,
    REQUEST_LINE_BYTES,
    THREADS,
    tune_interpreter,
)

TLS_1_2_CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384")
    for key in ("ECDSA", "RSA")
)
"""What BCP 195 recommends (RFC 9325 section 4.2), as `deploy/nginx.conf` has it; granian's library knows no weaker."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


def run(settings: Settings, workers: int) -> None:
    """Serve in this process and its children until SIGTERM; SIGHUP replaces the workers one by one."""
    _Server(settings, workers).run()


def options(settings: Settings, workers: int) -> dict[str, Any]:
    """gunicorn's settings, for `watchword serve --server gunicorn` and `deploy/gunicorn.conf.py` alike."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    chosen: dict[str, Any] = {
        "bind": f"{host}:{settings.port}",
        "backlog": BACKLOG,
        "workers": workers,
        "worker_class": "gthread",
        "threads": THREADS,
        "timeout": 60,
        "graceful_timeout": GRACEFUL_SECONDS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "limit_request_line": REQUEST_LINE_BYTES,
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "control_socket_disable": True,
        "loglevel": "warning",
        "logger_class": _Log,
        "post_fork": _post_fork,
    }
    if _SHARED_MEMORY.is_dir():
        # Workers show by touching a file that they are alive; on a slow disk that alone can get one killed.
        chosen["worker_tmp_dir"] = str(_SHARED_MEMORY)
    if settings.tls_cert and settings.tls_key:
        chosen |= {"certfile": str(settings.tls_cert), "keyfile": str(settings.tls_key), "ssl_context": _tls}
    if settings.tls_client_ca:
        chosen |= {"cert_reqs": ssl.CERT_OPTIONAL, "ca_certs": str(settings.tls_client_ca)}
    return chosen


def _post_fork(_server: Any, worker: Any) -> None:
    die_with_parent(worker.ppid)
    tune_interpreter()
    forget_dead_processes()


def _tls(_config: Any, make_default: Any) -> ssl.SSLContext:
    context: ssl.SSLContext = make_default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_CIPHERS)
    return context


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's messages in the form of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers[:]:
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings, self._workers = settings, workers
        super().__init__()

    def load_config(self) -> None:
        for name, value in options(self._settings, self._workers).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from app import create_app

        return create_app(self._settings)
