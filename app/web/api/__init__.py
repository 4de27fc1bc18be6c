"""The JSON API under `/api/v1`: for programs that hold an access token meant for the issuer itself.

Each endpoint is one row of `catalogue.ENDPOINTS`, from which its route, its check and its description come.
"""

from flask import Flask

from app.web.api import routes

__all__ = ["register"]


def register(app: Flask) -> None:
    """Add the API to the application."""
    app.register_blueprint(routes.blueprint())
