"""Initial access tokens: who has one may register so many clients until it expires (RFC 7591 section 3)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.domain.models import InitialAccessToken
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import b64url, keyed_hash, new_secret

MAX_USES = 100_000
MAX_SECONDS = 366 * 86400
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class InitialToken:
    """One token, as administrators see it."""

    id: str
    name: str
    uses: int
    max_uses: int | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    @property
    def fault(self) -> str | None:
        """Why it is of no use any more, by reason; None while it is."""
        if self.revoked_at is not None:
            return "registration.token_revoked"
        if self.expires_at <= clock.now():
            return "registration.token_expired"
        if self.max_uses is not None and self.uses >= self.max_uses:
            return "registration.token_spent"
        return None


def create(
    session: Session, pepper: bytes, *, name: str, max_uses: int | None, seconds: int, by: str | None
) -> tuple[InitialToken, str]:
    """A new token, told once; `by` is the person who makes it. Raises `Problem` (`registration.token_invalid`)."""
    if not 60 <= seconds <= MAX_SECONDS or not (max_uses is None or 1 <= max_uses <= MAX_USES):
        raise Problem(
            "registration.token_invalid",
            f"An initial access token is good for a minute to a year, and for 1 to {MAX_USES} clients.",
        )
    if len(name) > MAX_NAME or not name.isprintable():
        raise Problem(
            "registration.token_invalid", f"A name is up to {MAX_NAME} characters that can be printed."
        )
    token = new_secret()
    row = InitialAccessToken(
        token_hash=_hash(pepper, token),
        name=name,
        max_uses=max_uses,
        created_by=by,
        expires_at=clock.after(seconds),
    )
    session.add(row)
    session.flush()
    return _view(row), token


def find(session: Session, pepper: bytes, token: str) -> InitialToken | None:
    """The token, of use or not; None when the tenant has none like it."""
    row = session.scalar(
        select(InitialAccessToken).where(InitialAccessToken.token_hash == _hash(pepper, token))
    )
    return _view(row) if row else None


def take(session: Session, token_id: str) -> bool:
    """Count one use, in the caller's transaction. Of any number of callers no more succeed than it has uses left."""
    taken = session.execute(
        update(InitialAccessToken)
        .where(
            InitialAccessToken.id == token_id,
            InitialAccessToken.revoked_at.is_(None),
            InitialAccessToken.expires_at > clock.now(),
            or_(InitialAccessToken.max_uses.is_(None), InitialAccessToken.uses < InitialAccessToken.max_uses),
        )
        .values(uses=InitialAccessToken.uses + 1)
        .execution_options(synchronize_session=False)
    )
    return bool(taken.rowcount == 1)  # type: ignore[attr-defined]


def listed(session: Session, *, after: str = "", limit: int = 1000) -> list[InitialToken]:
    """The tenant's tokens, oldest first."""
    found = (
        select(InitialAccessToken)
        .where(InitialAccessToken.id > after)
        .order_by(InitialAccessToken.id)
        .limit(limit)
    )
    return [_view(row) for row in session.scalars(found)]


def revoke(session: Session, token_id: str) -> InitialToken:
    """Have a token work no more; the clients it registered stay. Raises `Problem` (`registration.token_unknown`)."""
    row = session.scalar(select(InitialAccessToken).where(InitialAccessToken.id == token_id))
    if row is None:
        raise Problem("registration.token_unknown", "There is no such initial access token.", status=404)
    if row.revoked_at is None:
        row.revoked_at = clock.now()
        session.flush()
    return _view(row)


def _hash(pepper: bytes, token: str) -> str:
    return b64url(keyed_hash(pepper, f"initial access token\0{token}"))


def _view(row: InitialAccessToken) -> InitialToken:
    return InitialToken(
        id=row.id,
        name=row.name,
        uses=row.uses,
        max_uses=row.max_uses,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
