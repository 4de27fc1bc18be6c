"""People."""

import unicodedata
from typing import Any

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from app.domain.models import User
from app.kernel import clock
from app.kernel.errors import Problem

_BY_ID = select(User).where(User.id == bindparam("user_id"))
_HELD = _BY_ID.with_for_update(key_share=True).execution_options(populate_existing=True)
_BY_LOGIN = select(User).where(or_(User.username_key == bindparam("key"), User.email_key == bindparam("key")))


def normalize(name: str) -> str:
    """A user name or e-mail address as it is compared: NFKC, case-folded, trimmed."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def find_by_login(session: Session, login: str) -> User | None:
    """The enabled or disabled person whose user name or e-mail address this is; the user name goes first."""
    key = normalize(login)
    found = session.scalars(_BY_LOGIN, {"key": key}).all()
    return min(found, key=lambda user: user.username_key != key, default=None)


def get(session: Session, user_id: str) -> User | None:
    """The person of an id."""
    return session.scalar(_BY_ID, {"user_id": user_id})


def dearest_password_ms(session: Session) -> int:
    """What checking the dearest stored password of the tenant takes, in milliseconds: 0 when all were hashed here."""
    return session.scalar(select(func.max(User.password_cost_ms))) or 0


def hold(session: Session, user_id: str) -> User | None:
    """The person of an id, held until the transaction ends: another that holds them as well waits."""
    return session.scalar(_HELD, {"user_id": user_id})


def create(
    session: Session,
    *,
    username: str,
    email: str | None = None,
    email_verified: bool = False,
    password_hash: str | None = None,
    claims: dict[str, Any] | None = None,
) -> User:
    """Add a person. Raises `Problem` for a bad or taken user name or address (`user.invalid`, `user.exists`)."""
    user = User(
        username=check_username(username),
        username_key=normalize(username),
        password_hash=password_hash,
        password_changed_at=clock.now() if password_hash else None,
        claims=claims or {},
        email_verified=email_verified,
    )
    set_email(user, email, verified=email_verified)
    check_free(session, user)
    session.add(user)
    session.flush()
    return user


def check_username(username: str) -> str:
    """The user name, trimmed. Raises `Problem` (`user.invalid`)."""
    name = username.strip()
    if not 1 <= len(name) <= 200 or any(unicodedata.category(c)[0] == "C" for c in name):
        raise Problem("user.invalid", "A user name has 1 to 200 characters, none of them invisible.")
    return name


def set_email(user: User, email: str | None, *, verified: bool = False) -> None:
    """Set or clear the e-mail address. Raises `Problem` (`user.invalid`)."""
    if email is None:
        user.email, user.email_key, user.email_verified = None, None, False
        return
    try:
        # Test and special-use domains are fine here: nothing is looked up, and mail has its own checks.
        checked = validate_email(email, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise Problem("user.invalid", "This is not an e-mail address.") from None
    user.email, user.email_key, user.email_verified = (
        checked.normalized,
        normalize(checked.normalized),
        verified,
    )


def check_free(session: Session, user: User) -> None:
    """Raise `Problem` (`user.exists`) when another person has this user name or address, as either of the two.

    A user name may not be somebody else's address: both sign in.
    """
    keys = [key for key in (user.username_key, user.email_key) if key]
    with session.no_autoflush:
        taken = session.scalar(
            select(User.id).where(
                or_(User.username_key.in_(keys), User.email_key.in_(keys)), User.id != (user.id or "")
            )
        )
    if taken:
        raise Problem("user.exists", "This user name or e-mail address is taken.", status=409)
