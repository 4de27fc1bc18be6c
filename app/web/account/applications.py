"""Applications: what somebody allowed and which ones stay signed in, grouped by client, and how to take it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, Response, request
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from app.domain import consents, grants, lasting_grants, user_agents
from app.domain.claims import OPENID_SCOPES
from app.domain.lasting_grants import LastingGrant
from app.domain.models import Consent, Grant
from app.domain.user_agents import Agent
from app.infra import audit
from app.infra.audit import Event
from app.web import consent_page, errors, i18n, pages
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
class StaysSignedIn:
    """Where a client stays signed in that has asked for no consent."""

    grant_id: str
    agent: Agent
    ip: str
    place: str
    since: datetime
    last_used: datetime


@dataclass(frozen=True, slots=True)
class Application:
    """A client somebody allowed something, or that stays signed in."""

    client_id: str
    name: str
    last_used: datetime | None
    allowed: tuple[Allowed, ...]
    lasting: tuple[StaysSignedIn, ...]


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/account/applications", PAGE, _show, methods=["GET"])
    app.add_url_rule("/account/applications", PAGE + "_step", _withdraw, methods=["POST"])


def _show() -> Response:
    found = shell.entered(PAGE)
    if isinstance(found, Response):
        return found
    notices = {
        "withdrawn": _("The access was removed."),
        "signed-out": _("The application was signed out."),
    }
    return shell.render(
        "account/applications.html",
        found,
        "/account/applications",
        action=pages.url(PAGE + "_step"),
        applications=applications(found),
        notice=notices.get(request.args.get("done", ""), ""),
    )


def applications(found: Visitor) -> list[Application]:
    """Every client somebody allowed something or that stays signed in, the latest first."""
    parts, where = pages.services(), found.where
    with parts.tenancy.session(where.id) as db:
        standing = consents.of_user(db, found.user.id)
        lasting = lasting_grants.without_consent(db, found.user.id)
        used = grants.last_used(db, found.user.id)
    allowed = _allowed(found, standing)
    staying: dict[str, list[StaysSignedIn]] = {}
    for one in lasting:
        staying.setdefault(one.client_id, []).append(_staying(one))
    made = []
    for client_id in {**allowed, **staying}:
        client = parts.clients.get(where.id, client_id)
        made.append(
            Application(
                client_id,
                client.name if client else client_id,
                used.get(client_id),
                tuple(allowed.get(client_id, ())),
                tuple(staying.get(client_id, ())),
            )
        )
    return sorted(made, key=_latest, reverse=True)


def _latest(one: Application) -> datetime:
    return max([row.since for row in one.allowed] + [row.since for row in one.lasting])


def _allowed(found: Visitor, standing: Sequence[Consent]) -> dict[str, list[Allowed]]:
    """What was allowed, in words, by client."""
    parts, where = pages.services(), found.where
    resources = parts.resources.all(where.id)
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
    return by_client


def _staying(one: LastingGrant) -> StaysSignedIn:
    place = pages.services().places.name(one.ip, i18n.language()) if one.ip else ""
    agent = user_agents.describe(one.user_agent)
    return StaysSignedIn(one.id, agent, one.ip, place, one.since, one.last_used)


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
    consent_id, grant_id, client_id = form.consent.data or "", form.grant.data or "", form.client.data or ""
    if sum(map(bool, (consent_id, grant_id, client_id))) > 1:
        return errors.error_page(400)
    if grant_id:
        _sign_out(found, grant_id)
        return pages.see_other(pages.url(PAGE, done="signed-out"))
    if not client_id and not ID.fullmatch(consent_id):
        raise NotFound
    _take_back(found, consent_id, client_id)
    return pages.see_other(pages.url(PAGE, done="withdrawn"))


def _take_back(found: Visitor, consent_id: str, client_id: str) -> None:
    """A consent, or with an empty `consent_id` everything a client has of the person, each on record."""
    parts, user_id = pages.services(), found.user.id
    with parts.tenancy.session(found.where.id, write=True) as db:
        signed_out: list[Grant] = []
        named = [consent_id]
        if client_id:
            mine = consents.of_user(db, user_id)
            named = [consent.id for consent in mine if consent.client_id == client_id]
            signed_out = lasting_grants.revoke_of_client(
                db, client_id, user_id=user_id, log=parts.revocations
            )
            if not named and not signed_out:
                raise NotFound
        for one in named:
            withdrawn = consents.withdraw(db, one, user_id=user_id, log=parts.revocations)
            audit.record(db, _event(found, withdrawn))
        for grant in signed_out:
            audit.record(db, found.event("grant.revoked", **lasting_grants.on_record(grant)))


def _sign_out(found: Visitor, grant_id: str) -> None:
    """One place an application stays signed in at, on record."""
    parts = pages.services()
    with parts.tenancy.session(found.where.id, write=True) as db:
        grant = lasting_grants.revoke(db, grant_id, user_id=found.user.id, log=parts.revocations)
        if grant is None:
            raise NotFound
        audit.record(db, found.event("grant.revoked", **lasting_grants.on_record(grant)))


def _event(found: Visitor, consent: Consent) -> Event:
    return found.event(
        "consent.withdrawn",
        client_id=consent.client_id,
        resource=consent.resource or found.where.issuer,
        scopes=consent.scopes,
    )
