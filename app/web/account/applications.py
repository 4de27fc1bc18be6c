"""Applications: what somebody allowed, grouped by client, and how to take it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, Response, request
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from app.domain import consents, grants
from app.domain.claims import OPENID_SCOPES
from app.domain.models import Consent
from app.infra import audit
from app.infra.audit import Event
from app.web import consent_page, errors, pages
from app.web.account import shell
from app.web.account.forms import ID, AccessForm
from app.web.account.shell import Visitor
from app.web.page_forms import checked

PAGE = "account_applications"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What was allowed at one resource."""

    consent_id: str
    resource: str
    scopes: tuple[str, ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class Application:
    """A client somebody allowed something."""

    client_id: str
    name: str
    last_used: datetime | None
    allowed: tuple[Allowed, ...]


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/account/applications", PAGE, _show, methods=["GET"])
    app.add_url_rule("/account/applications", PAGE + "_step", _withdraw, methods=["POST"])


def _show() -> Response:
    found = shell.entered(PAGE)
    if isinstance(found, Response):
        return found
    return shell.render(
        "account/applications.html",
        found,
        "/account/applications",
        action=pages.url(PAGE + "_step"),
        applications=applications(found),
        notice=_("The access was taken back.") if request.args.get("done") == "withdrawn" else "",
    )


def applications(found: Visitor) -> list[Application]:
    """Every client somebody allowed something, the one allowed last first."""
    parts, where = pages.services(), found.where
    resources = parts.resources.all(where.id)
    with parts.tenancy.session(where.id) as db:
        standing = consents.of_user(db, found.user.id)
        used = grants.last_used(db, found.user.id)
    by_client: dict[str, list[Allowed]] = {}
    for consent in standing:
        words = tuple(
            consent_page.scope_words(consent.resource, s, resources) for s in _in_order(consent.scopes)
        )
        if consent.authorization_details:
            types = parts.details_types.all(where.id)
            words += tuple(d.sentence for d in consent_page.details(consent.authorization_details, types))
        title = consent_page.resource_title(consent.resource, resources, where)
        by_client.setdefault(consent.client_id, []).append(
            Allowed(consent.id, title, words, consent.updated_at)
        )
    made = []
    for client_id, allowed in by_client.items():
        client = parts.clients.get(where.id, client_id)
        made.append(
            Application(client_id, client.name if client else client_id, used.get(client_id), tuple(allowed))
        )
    return made


def _in_order(scopes: Sequence[str]) -> list[str]:
    """Those of OpenID first, as they are asked for; then the resource's, by name."""
    return sorted(
        scopes, key=lambda s: (OPENID_SCOPES.index(s) if s in OPENID_SCOPES else len(OPENID_SCOPES), s)
    )


def _withdraw() -> Response:
    form = checked(AccessForm, shell.bound_here())
    found = shell.acting(PAGE)
    if isinstance(found, Response):
        return found
    consent_id, client_id = form.consent.data or "", form.client.data or ""
    if consent_id and client_id:
        return errors.error_page(400)
    if not client_id and not ID.fullmatch(consent_id):
        raise NotFound
    parts = pages.services()
    with parts.tenancy.session(found.where.id, write=True) as db:
        mine = consents.of_user(db, found.user.id) if client_id else []
        named = [consent.id for consent in mine if consent.client_id == client_id] or [consent_id]
        for one in named:
            withdrawn = consents.withdraw(db, one, user_id=found.user.id, log=parts.revocations)
            audit.record(db, _event(found, withdrawn))
    return pages.see_other(pages.url(PAGE, done="withdrawn"))


def _event(found: Visitor, consent: Consent) -> Event:
    return found.event(
        "consent.withdrawn",
        client_id=consent.client_id,
        resource=consent.resource or found.where.issuer,
        scopes=consent.scopes,
    )
