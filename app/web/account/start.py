"""The start page: the applications somebody uses."""

from typing import Any

from flask import Flask, Response

from app.domain import consents
from app.web import i18n, pages
from app.web.account import shell


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/", "start", _start, methods=["GET"])


def _start() -> Response:
    found = shell.entered("start")
    if isinstance(found, Response):
        return found
    where, user = found.where, found.user
    with pages.services().tenancy.session(where.id) as db:
        standing = consents.of_user(db, user.id)
    apps: dict[str, dict[str, Any]] = {}
    for consent in standing:
        client = pages.services().clients.get(where.id, consent.client_id)
        if client is not None and consent.client_id not in apps:
            link = client.metadata.get("initiate_login_uri") or client.metadata.get("client_uri")
            apps[consent.client_id] = {
                "name": i18n.client_name(client),
                "link": link,
                "since": consent.updated_at,
            }
    return shell.render(
        "account/start.html",
        found,
        "/",
        apps=list(apps.values()),
        is_admin=found.access.allows("clients:write"),
        issuer=where.issuer,
    )
