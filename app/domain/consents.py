"""Consent: what a person allowed a client to do at a resource, remembered until the person takes it back."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain import grants
from app.domain.authorization_details import Detail, canonical
from app.domain.grants import RevocationLog
from app.domain.models import Consent, Grant, GrantConsent
from app.kernel import clock
from app.kernel.errors import Problem

ISSUER = ""
"""The resource under which OpenID scopes are consented: the issuer itself."""

DETAILS = "urn:ietf:params:oauth:authorization-details"
"""The name under which authorization details (RFC 9396) are consented, whatever resource they are for."""

Wanted = Mapping[str, frozenset[str]]
"""What a client asks for: scopes by resource identifier."""


def covering(
    session: Session,
    user_id: str,
    client_id: str,
    wanted: Wanted,
    *,
    details: Sequence[Detail] = (),
    hold: bool = False,
) -> list[Consent] | None:
    """The standing consents that together cover everything wanted, or None when something was not allowed yet.

    Details are covered by having been allowed last, these and no others: one payment is not another.

    `hold` is for a grant that is to stand on them: withdrawing one waits until the transaction ends, and then finds
    the grant.
    """
    standing = {c.resource: c for c in _standing(session, user_id, client_id, hold=hold)}
    for resource, scopes in wanted.items():
        consent = standing.get(resource)
        if consent is None or not scopes <= set(consent.scopes):
            return None
    found = [standing[resource] for resource in wanted]
    if details:
        consent = standing.get(DETAILS)
        if consent is None or canonical(consent.authorization_details) != canonical(details):
            return None
        found.append(consent)
    return found


def allow(
    session: Session, user_id: str, client_id: str, wanted: Wanted, *, details: Sequence[Detail] = ()
) -> list[Consent]:
    """Create or widen the consents for everything wanted; details take the place of those before them."""
    found = [_allow_one(session, user_id, client_id, resource, scopes) for resource, scopes in wanted.items()]
    if details:
        consent = _allow_one(session, user_id, client_id, DETAILS, frozenset())
        consent.authorization_details = list(details)
        session.flush()
        found.append(consent)
    return found


def _allow_one(
    session: Session, user_id: str, client_id: str, resource: str, scopes: frozenset[str]
) -> Consent:
    query = select(Consent).where(
        Consent.user_id == user_id, Consent.client_id == client_id, Consent.resource == resource
    )
    consent = session.scalar(query.with_for_update())
    if consent is None:
        consent = Consent(user_id=user_id, client_id=client_id, resource=resource, scopes=sorted(scopes))
        try:
            with session.begin_nested():
                session.add(consent)
        except IntegrityError:  # The same person allowed the same in another window, just now.
            consent = session.scalars(query.with_for_update()).one()
    kept = set() if consent.withdrawn_at else set(consent.scopes)
    consent.withdrawn_at = None
    if not scopes <= kept or len(kept) != len(consent.scopes):
        consent.scopes = sorted(kept | scopes)
    session.flush()
    return consent


def withdraw(session: Session, consent_id: str, *, user_id: str, log: RevocationLog) -> Consent:
    """Take a consent back, and with it every grant that stands on it.

    Raises `Problem` (`consent.unknown`, 404) unless it is this person's.
    """
    consent = session.scalar(select(Consent).where(Consent.id == consent_id, Consent.user_id == user_id))
    if consent is None:
        raise Problem("consent.unknown", "There is no such authorization.", status=404)
    if consent.withdrawn_at is None:
        consent.withdrawn_at = clock.now()
    under = (
        select(Grant.id)
        .join(GrantConsent, (GrantConsent.tenant_id == Grant.tenant_id) & (GrantConsent.grant_id == Grant.id))
        .where(GrantConsent.consent_id == consent_id, Grant.revoked_at.is_(None))
    )
    for grant_id in session.scalars(under).all():
        grants.revoke(session, consent.tenant_id, grant_id, "consent_withdrawn", log=log)
    session.flush()
    return consent


def of_user(session: Session, user_id: str) -> list[Consent]:
    """The person's standing consents, newest first."""
    return list(
        session.scalars(
            select(Consent)
            .where(Consent.user_id == user_id, Consent.withdrawn_at.is_(None))
            .order_by(Consent.updated_at.desc())
        )
    )


def _standing(session: Session, user_id: str, client_id: str, *, hold: bool) -> list[Consent]:
    query = select(Consent).where(
        Consent.user_id == user_id, Consent.client_id == client_id, Consent.withdrawn_at.is_(None)
    )
    return list(session.scalars(query.with_for_update(read=True) if hold else query))
