"""Refresh tokens `family.generation.MAC`: nothing readable is stored, the same successor can be made again.

A token says which family it is of and which generation; the MAC, under the family's own sealed secret, shows that we
made it. The family's row knows the newest generation. Presenting the newest one rotates; presenting the one before
within the grace gives the newest again (a lost answer, a double click, sixteen tabs); anything older is a stolen copy
and ends the grant (RFC 9700 section 4.14, contracts 5).
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from app.domain import grants
from app.domain.grants import RevocationLog
from app.domain.models import Grant, RefreshFamily, User
from app.infra.vault import Vault
from app.kernel import clock, ids
from app.kernel.secrets import b64url, equal

PURPOSE = "refresh-family"


_FIND = (
    select(RefreshFamily, Grant, User)
    .join(Grant, (Grant.tenant_id == RefreshFamily.tenant_id) & (Grant.id == RefreshFamily.grant_id))
    .join(User, (User.tenant_id == Grant.tenant_id) & (User.id == Grant.user_id))
    .where(RefreshFamily.id == bindparam("family_id"))
)
_ROTATE = (
    update(RefreshFamily)
    .where(RefreshFamily.id == bindparam("family_id"), RefreshFamily.generation == bindparam("presented"))
    .values(generation=bindparam("next"), rotated_at=bindparam("now"))
    .execution_options(synchronize_session=False)
)


class Presented(Enum):
    """What a presented refresh token turned out to be."""

    ROTATED = "rotated"
    REPEATED = "repeated"
    """The one before the newest, within the grace: the newest is handed out again."""
    KEPT = "kept"
    """This client's tokens do not rotate."""
    UNKNOWN = "unknown"
    WRONG_CLIENT = "wrong_client"
    WRONG_KEY = "wrong_key"
    """What it is bound to was not proven."""
    EXPIRED = "expired"
    REVOKED = "revoked"
    REPLAYED = "replayed"
    """A stolen copy, or the thief's victim: the grant was revoked."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The outcome of presenting a refresh token; `token` only where it was good, `grant` and `user` also where it was
    replayed."""

    presented: Presented
    token: str | None = None
    grant: Grant | None = None
    user: User | None = None
    grant_id: str | None = None
    expires_at: datetime | None = None

    @property
    def good(self) -> bool:
        """Whether tokens may be issued."""
        return self.presented in (Presented.ROTATED, Presented.REPEATED, Presented.KEPT)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The parts of a refresh token, none of them verified yet."""

    family_id: str
    generation: int
    mac: str


def parse(token: str) -> RefreshToken | None:
    """The parts of a refresh token, or None when it cannot be one of ours."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > 200 or not token.isascii():
        return None
    family_id, generation, mac = parts
    if not generation.isdecimal() or len(generation) > 9 or len(family_id) != 36:
        return None
    return RefreshToken(family_id, int(generation), mac)


def binding_of(cnf: Mapping[str, str] | None, *, is_public: bool) -> str | None:
    """What a family is bound to whose first token comes with access tokens of this `cnf`.

    A client that authenticates may bring another key later (RFC 9449 section 5), but not none.
    """
    if not cnf:
        return None
    return " ".join(f"{kind}:{value}" if is_public else kind for kind, value in sorted(cnf.items()))


def bindings_of(session: Session, grant_id: str) -> list[str]:
    """What the refresh tokens of a grant are bound to, ended ones too, in the words of `binding_of`."""
    asked = select(RefreshFamily.bound_to).where(RefreshFamily.grant_id == grant_id)
    return [bound_to for bound_to in session.scalars(asked) if bound_to is not None]


def _is_proven(bound_to: str | None, cnf: Mapping[str, str] | None) -> bool:
    for wanted in (bound_to or "").split():
        kind, _, value = wanted.partition(":")
        proven = (cnf or {}).get(kind)
        if proven is None or (value and proven != value):
            return False
    return True


class RefreshTokens:
    """Makes and takes refresh tokens."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def start(
        self,
        session: Session,
        tenant_id: str,
        grant_id: str,
        *,
        expires_at: datetime,
        bound_to: str | None = None,
    ) -> str:
        """Begin a family under a grant and give its first token. `bound_to` is what `binding_of` gives."""
        family_id, secret = ids.new_id(), secrets.token_bytes(32)
        sealed = self._vault.seal(
            PURPOSE, secret, tenant=tenant_id, table="refresh_families", column="secret_sealed", row=family_id
        )
        session.add(
            RefreshFamily(
                id=family_id,
                grant_id=grant_id,
                secret_sealed=sealed,
                expires_at=expires_at,
                bound_to=bound_to,
            )
        )
        return _token(secret, family_id, 0)

    def present(
        self,
        session: Session,
        tenant_id: str,
        token: str,
        *,
        client_id: str,
        grace_seconds: int,
        rotate: bool,
        log: RevocationLog,
        cnf: Mapping[str, str] | None = None,
    ) -> Refreshed:
        """Take a refresh token in the session's transaction, which has to be a writing one.

        Of any number of parallel presentations of one token one rotates it and the others, within the grace, get the
        very same successor. A wrong client, and a request that does not prove (`cnf`) what the family is bound to,
        change nothing.
        """
        parts = parse(token)
        found = self._load(session, parts) if parts else None
        if parts is None or found is None:
            return Refreshed(Presented.UNKNOWN)
        family, grant, user = found
        secret = self._open(tenant_id, family)
        if (
            not equal(parts.mac, _mac(secret, family.id, parts.generation))
            or parts.generation > family.generation
        ):
            return Refreshed(Presented.UNKNOWN)
        if grant.client_id != client_id:
            return Refreshed(Presented.WRONG_CLIENT, grant_id=grant.id)
        if not _is_proven(family.bound_to, cnf):
            return Refreshed(Presented.WRONG_KEY, grant_id=grant.id)
        if family.revoked_at or grant.revoked_at:
            return Refreshed(Presented.REVOKED, grant_id=grant.id)
        if family.expires_at <= clock.now():
            return Refreshed(Presented.EXPIRED, grant_id=grant.id)
        presented, newest = self._take(session, family, parts.generation, grace_seconds, rotate=rotate)
        if presented is Presented.REPLAYED:
            grants.revoke(session, tenant_id, grant.id, "refresh_token_replayed", log=log)
            return Refreshed(presented, grant=grant, user=user, grant_id=grant.id)
        successor = _token(secret, family.id, newest)
        return Refreshed(presented, successor, grant, user, grant.id, family.expires_at)

    def owner(self, session: Session, tenant_id: str, token: str) -> tuple[RefreshFamily, Grant] | None:
        """The family and grant of a genuine refresh token, however old, or None. For revocation and introspection."""
        parts = parse(token)
        found = self._load(session, parts) if parts else None
        if parts is None or found is None:
            return None
        family, grant, _ = found
        genuine = equal(parts.mac, _mac(self._open(tenant_id, family), family.id, parts.generation))
        return (family, grant) if genuine else None

    def _take(
        self, session: Session, family: RefreshFamily, generation: int, grace_seconds: int, *, rotate: bool
    ) -> tuple[Presented, int]:
        """What the presented generation turns out to be, and the newest one then."""
        if not rotate:
            kept = generation == family.generation
            return (Presented.KEPT if kept else Presented.REPLAYED), family.generation
        if generation == family.generation:
            rotated = session.execute(
                _ROTATE,
                {"family_id": family.id, "presented": generation, "next": generation + 1, "now": clock.now()},
            )
            if rotated.rowcount == 1:  # type: ignore[attr-defined]
                return Presented.ROTATED, generation + 1
            session.refresh(family)  # Another request was faster.
        recent = clock.now().timestamp() - family.rotated_at.timestamp() <= grace_seconds
        repeated = generation == family.generation - 1 and recent
        return (Presented.REPEATED if repeated else Presented.REPLAYED), family.generation

    def _load(self, session: Session, parts: RefreshToken) -> tuple[RefreshFamily, Grant, User] | None:
        return session.execute(_FIND, {"family_id": parts.family_id}).one_or_none()

    def _open(self, tenant_id: str, family: RefreshFamily) -> bytes:
        return self._vault.open(
            PURPOSE,
            family.secret_sealed,
            tenant=tenant_id,
            table="refresh_families",
            column="secret_sealed",
            row=family.id,
        )


def _mac(secret: bytes, family_id: str, generation: int) -> str:
    return b64url(hmac.digest(secret, f"{family_id}.{generation}".encode(), "sha256"))


def _token(secret: bytes, family_id: str, generation: int) -> str:
    return f"{family_id}.{generation}.{_mac(secret, family_id, generation)}"
