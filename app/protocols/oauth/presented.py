"""Tokens presented for exchange (RFC 8693 section 2.1): what each of them says, whatever kind it is of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import refresh, trusted_issuers, users
from app.domain.models import Grant, User
from app.domain.revocation import TokenFacts
from app.domain.trusted_issuers import IssuerRule
from app.infra import jose
from app.kernel import clock
from app.protocols.oauth import errors, foreign, hints, lineage, tokens
from app.protocols.oauth.errors import Case, OAuthError
from app.protocols.oauth.exchange import Exchange
from app.protocols.oauth.foreign import ForeignRefused, ForeignToken
from app.protocols.oauth.lineage import Lineage
from app.protocols.oauth.tokens import AccessToken

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
REFRESH_TOKEN = "urn:ietf:params:oauth:token-type:refresh_token"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
TYPES = frozenset({ACCESS_TOKEN, REFRESH_TOKEN, ID_TOKEN, JWT})


@dataclass(frozen=True, slots=True)
class Presented:
    """What a token says. Nothing of whether its presenter may use it."""

    token_type: str
    sub: str
    """Whom it speaks of, as it says it."""
    issued_to: str
    """The client it was issued to; empty for a token of another issuer."""
    expires_at: int
    scopes: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    details: Sequence[Any] = ()
    user_id: str | None = None
    """The person it speaks of."""
    client_id: str | None = None
    """The client it speaks of, where it is no person."""
    grant_id: str | None = None
    session_id: str | None = None
    act: Mapping[str, Any] | None = None
    may_act: Mapping[str, Any] | None = None
    cnf: Mapping[str, Any] | None = None
    facts: TokenFacts | None = None
    """What may take it back."""
    hops: Lineage = ()
    token_id: str | None = None
    foreign: ForeignToken | None = None
    rule: IssuerRule | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_of_a_person(self) -> bool:
        """Whether a person is its subject rather than a client."""
        return self.client_id is None


@dataclass(frozen=True, slots=True)
class Role:
    """Which of the two tokens of an exchange it is: how it is refused."""

    invalid: Case
    reused: Case


SUBJECT = Role(errors.SUBJECT_TOKEN, errors.SUBJECT_TOKEN_REUSED)
ACTOR = Role(errors.ACTOR_TOKEN, errors.ACTOR_TOKEN_REUSED)


def read_all(exchange: Exchange, presented: Sequence[tuple[str, str, Role]]) -> list[Presented]:
    """The tokens of an exchange, each given with its type: verified, in their times, and not taken back.

    One trip for JWTs, one more where an opaque token is among them. Raises `OAuthError`.
    """
    opened = _open(exchange, presented)
    places: list[tuple[int, int]] = []
    for one, (_, _, role) in zip(opened, presented, strict=True):
        operations = exchange.parts.revocations.check_ops(one.facts) if one.facts else ()
        added = [exchange.trip.add(operation) for operation in operations]
        places.append((added[0], added[-1] + 1) if added else (0, 0))
        if one.foreign is not None and one.foreign.used is not None:
            exchange.trip.add(one.foreign.used, role.reused)
    results = exchange.trip.go()
    for one, (start, end), (_, _, role) in zip(opened, places, presented, strict=True):
        if one.facts is None:
            continue
        by = exchange.parts.revocations.revoked_by(results[start:end], one.facts)
        if by is not None:
            raise errors.because(role.invalid, "token.revoked")(f"by its {by}")
        if exchange.parts.clients.get(one.facts.tenant_id, one.facts.client_id) is None:
            raise errors.because(role.invalid, "token.revoked")("its client was removed or disabled")
    return opened


def grant_of(session: Session, presented: Presented) -> tuple[Grant, User] | None:
    """The grant that stands behind a token about a person, and the person; None when either is gone."""
    statement = select(Grant, User).join(
        User, (User.tenant_id == Grant.tenant_id) & (User.id == Grant.user_id)
    )
    if presented.grant_id is not None:
        statement = statement.where(Grant.id == presented.grant_id)
    else:
        statement = (
            statement.where(
                Grant.user_id == presented.user_id,
                Grant.client_id == presented.issued_to,
                Grant.session_id == presented.session_id,
                Grant.revoked_at.is_(None),
            )
            .order_by(Grant.created_at.desc())
            .limit(1)
        )
    found = session.execute(statement).one_or_none()
    if found is None or found.Grant.revoked_at is not None:
        return None
    return found.Grant, found.User


def _open(exchange: Exchange, presented: Sequence[tuple[str, str, Role]]) -> list[Presented]:
    """Verify everything but revocation. Opaque tokens are looked up together."""
    tenant = exchange.request.tenant
    looked_up: dict[int, int] = {}
    for at, (token, token_type, _) in enumerate(presented):
        if token_type == ACCESS_TOKEN and not tokens.is_jwt(token):
            looked_up[at] = exchange.trip.add(tokens.look_up(token, tenant))
    results = exchange.trip.go() if looked_up else ()
    opened = []
    for at, (token, token_type, role) in enumerate(presented):
        try:
            if at in looked_up:
                stored = tokens.from_stored(results[looked_up[at]], exchange.parts.keyring)
                if stored is None:
                    raise errors.TOKEN_MALFORMED("no such opaque token")
                opened.append(_access_token(stored, token_type))
            else:
                opened.append(_one(exchange, token, token_type))
        except OAuthError as error:
            raise errors.because(role.invalid, error.code)(error.detail) from None
        except ForeignRefused as refusal:
            raise errors.because(role.invalid, refusal.code)(refusal.detail) from None
    return opened


def _one(exchange: Exchange, token: str, token_type: str) -> Presented:
    tenant, keyring = exchange.request.tenant, exchange.parts.keyring
    if token_type == REFRESH_TOKEN:
        return _refresh_token(exchange, token)
    issuer = tenant.issuer if tokens.is_known(token, tenant, keyring) else foreign.issuer_of(token)
    if issuer is None:
        raise errors.SUBJECT_TOKEN("neither a JWT nor a token of this type")
    if issuer != tenant.issuer:
        return _foreign(exchange, token, token_type)
    if token_type == ID_TOKEN:
        return _id_token(exchange, token)
    return _access_token(tokens.read_jwt(token, tenant, keyring), token_type)


def _access_token(token: AccessToken, token_type: str) -> Presented:
    claims, facts = token.claims, token.facts
    return Presented(
        token_type=token_type,
        sub=str(claims["sub"]),
        issued_to=token.client_id,
        expires_at=int(claims["exp"]),
        scopes=token.scopes,
        audience=token.audience,
        details=claims.get("authorization_details") or (),
        user_id=token.user_id,
        client_id=None if token.grant_id else str(claims["sub"]),
        grant_id=token.grant_id,
        session_id=claims.get("sid"),
        act=claims.get("act"),
        may_act=claims.get("may_act"),
        cnf=claims.get("cnf"),
        facts=facts,
        hops=lineage.read_hops(facts.tenant_id, claims.get(lineage.CLAIM)),
        token_id=facts.token_id,
        claims=claims,
    )


def _id_token(exchange: Exchange, token: str) -> Presented:
    """An ID token of ours in its time. It stands for the grant its client has under its session, and for no more than
    a refresh token of that: where those are bound to a key, so is it."""
    tenant = exchange.request.tenant
    hint = hints.read(token, tenant, exchange.parts.keyring)
    claims = jose.unverified(token).claims
    if hint is None or not isinstance(claims.get("exp"), int | float):
        raise errors.TOKEN_MALFORMED("no ID token of this issuer")
    if claims["exp"] <= clock.now().timestamp():
        raise errors.TOKEN_EXPIRED()
    if hint.session_id is None:
        raise errors.TOKEN_MALFORMED("the ID token is of no session")
    facts = TokenFacts(tenant.id, "", hint.client_id, _FOREVER, session_id=hint.session_id)
    found = Presented(
        token_type=ID_TOKEN,
        sub=str(claims["sub"]),
        issued_to=hint.client_id,
        expires_at=int(claims["exp"]),
        user_id=hint.user_id,
        session_id=hint.session_id,
        act=claims.get("act"),
        facts=facts,
        claims=claims,
    )
    with exchange.parts.tenancy.session(tenant.id) as session:
        behind = grant_of(session, found)
        bindings = refresh.bindings_of(session, behind[0].id) if behind is not None else []
    return replace(found, cnf=_bound(" ".join(bindings)))


def _refresh_token(exchange: Exchange, token: str) -> Presented:
    """A refresh token that could be used now. It is not: presenting it here takes nothing from its owner."""
    tenant, parsed = exchange.request.tenant, refresh.parse(token)
    with exchange.parts.tenancy.session(tenant.id) as session:
        found = exchange.parts.refresh_tokens.owner(session, tenant.id, token)
        if found is None or parsed is None:
            raise errors.REFRESH_UNKNOWN()
        family, grant = found
        person = users.get(session, grant.user_id)
        if family.revoked_at is not None or grant.revoked_at is not None or person is None:
            raise errors.REFRESH_REVOKED(f"grant {grant.id}")
        if family.expires_at <= clock.now():
            raise errors.REFRESH_EXPIRED(f"grant {grant.id}")
        if parsed.generation != family.generation:
            raise errors.REFRESH_REPLAYED(f"grant {grant.id}")
        sector = _sector(exchange, grant.client_id)
        return Presented(
            token_type=REFRESH_TOKEN,
            sub=exchange.parts.keyring.subjects.of(tenant.id, sector, grant.user_id),
            issued_to=grant.client_id,
            expires_at=clock.timestamp(family.expires_at),
            scopes=tuple(grant.scopes),
            audience=tuple(grant.resources),
            details=tuple(grant.authorization_details),
            user_id=grant.user_id,
            grant_id=grant.id,
            session_id=None if grant.offline else grant.session_id,
            cnf=_bound(family.bound_to),
            facts=TokenFacts(
                tenant.id,
                family.id,
                grant.client_id,
                _FOREVER,
                user_id=grant.user_id,
                user_epoch=person.epoch,
                grant_id=grant.id,
                session_id=None if grant.offline else grant.session_id,
            ),
            token_id=family.id,
        )


def _foreign(exchange: Exchange, token: str, token_type: str) -> Presented:
    """A token of a trusted issuer, and whom its rules say it stands for."""
    tenant = exchange.request.tenant
    found = exchange.parts.foreign.verify(token, tenant)
    rule = found.issuer.rule_for(found.claims)
    if rule is None:
        raise ForeignRefused("assertion.unmatched", f"{found.subject[:300]!r} of {found.issuer.issuer}")
    user_id = None
    if rule.client is None:
        with exchange.parts.tenancy.session(tenant.id) as session:
            person = trusted_issuers.user_of(session, rule, found.claims)
            if person is None or person.disabled_at is not None:
                raise ForeignRefused("assertion.subject", f"rule {rule.name}")
            user_id = person.id
    elif exchange.parts.clients.get(tenant.id, rule.client) is None:
        raise ForeignRefused("assertion.client", f"client {rule.client} is gone")
    return Presented(
        token_type=token_type,
        sub=user_id or rule.client or "",
        issued_to="",
        expires_at=found.expires_at,
        user_id=user_id,
        client_id=rule.client,
        act=_members(found.claims.get("act")),
        may_act=_members(found.claims.get("may_act")),
        cnf=_members(found.claims.get("cnf")),
        token_id=found.token_id,
        foreign=found,
        rule=rule,
        claims=found.claims,
    )


_FOREVER = 1 << 40
"""An epoch no client reaches: such tokens fall with their grant or session."""


def _members(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) and value else None


def _bound(bound_to: str | None) -> Mapping[str, Any] | None:
    """What a refresh token is bound to, as a `cnf`; where only the kind is known, nothing a proof could equal."""
    parts = (one.partition(":") for one in (bound_to or "").split())
    return {kind: thumbprint for kind, _, thumbprint in parts} or None


def _sector(exchange: Exchange, client_id: str) -> str | None:
    client = exchange.parts.clients.get(exchange.request.tenant.id, client_id)
    return client.sector if client else None
