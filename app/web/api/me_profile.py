"""`/api/v1/me/profile`: what the tenant knows of the caller."""

from typing import Any

from app.domain import profile, users
from app.domain.models import User
from app.infra import audit
from app.protocols.oauth import errors
from app.web import pages
from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery
from app.web.api.me_bodies import ProfileChange, ProfileView


def show(caller: Caller, _query: NoQuery) -> ProfileView:
    """The profile."""
    return _view(caller, caller.user.claims)


def change(caller: Caller, _query: NoQuery, body: ProfileChange) -> ProfileView:
    """Change what the person may change, all of it or none. Raises `ProfileFaults`."""
    attributes = caller.tenant.settings.people.attributes
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        user = _myself(users.get(session, caller.user.id))
        claims = profile.changed(attributes, user.claims, body.attributes, by=profile.PERSON)
        changes = sorted(n for n in {*claims, *user.claims} if claims.get(n) != user.claims.get(n))
        if changes:
            user.claims = claims
            audit.record(
                session, caller.event("user.updated", target=user.id, name=user.username, changes=changes)
            )
    return _view(caller, claims)


def _view(caller: Caller, claims: dict[str, Any]) -> ProfileView:
    attributes = caller.tenant.settings.people.attributes
    return ProfileView(
        attributes={
            name: claims.get(profile.claim_of(name, attribute))
            for name, attribute in attributes.items()
            if attribute.visible
        },
        editable=sorted(profile.editable(attributes, profile.PERSON)),
    )


def _myself(user: User | None) -> User:
    if user is None:
        raise errors.TOKEN_REVOKED("its person is gone")
    return user
