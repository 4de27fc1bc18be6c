"""Watchword: an OAuth 2.0 and OpenID Connect authorization server for people, services and AI agents."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.kernel.settings import Settings
    from app.web.services import Services

__version__ = "0.1.0"


def create_app(settings: "Settings | None" = None, *, services: "Services | None" = None) -> "Flask":
    """The WSGI application of one process: the edge in front of Flask.

    Settings come from the environment unless given; `services` share the parts a caller has already wired. Raises
    `ConfigurationError`. What is imported here is imported late, so that the command line's help is quick.
    """
    import os

    from app import wiring
    from app.infra import logs, yaml
    from app.kernel.settings import load
    from app.web import application

    settings = settings or load(os.environ, parse_yaml=yaml.load)
    logs.setup(settings.log_level)
    return application.build(services or wiring.build(settings, hashing_apart=True))
