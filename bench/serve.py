"""Serve the yardstick, the bare application or the real one, with the options of `watchword serve`.

`python -m bench.serve granian|gunicorn yardstick|bare|real`, settings from the environment. Bench only.
"""

import os
import sys
from typing import Any

import app
from app.infra import yaml
from app.kernel import settings as deployment
from app.serving import on_granian, on_gunicorn, prepare_to_fork
from app.serving.metrics import remove_shared_metrics, share_metrics

WORKERS = 2


def yardstick(settings: deployment.Settings) -> Any:
    """The empty Flask route."""
    from bench.empty import application

    return application


def bare(settings: deployment.Settings) -> Any:
    """The whole application on SQLite, without a state store: no trip to one."""
    from app import wiring
    from bench.no_state import NoState

    return _real_app(settings, services=wiring.build(settings, state=NoState()))


_real_app = app.create_app


def main() -> None:
    """Serve until told to stop."""
    share_metrics()
    server, kind = sys.argv[1:]
    settings = deployment.load(os.environ, parse_yaml=yaml.load)
    if kind != "real":
        setattr(app, "create_app", {"yardstick": yardstick, "bare": bare}[kind])  # noqa: B010
    run = {"granian": on_granian.run, "gunicorn": on_gunicorn.run}[server]
    prepare_to_fork()
    try:
        run(settings, WORKERS)
    finally:
        remove_shared_metrics()


if __name__ == "__main__":
    main()
