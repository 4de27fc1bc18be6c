"""New passwords: checked against everything a tenant and the operator ask, and stored so that the next one is too."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.domain import password_policy
from app.domain.models import Authenticator, FormerPassword, User
from app.domain.password_policy import Fault, PolicyProblem
from app.domain.tenant_settings import MfaSettings, PasswordSettings
from app.domain.tenants import TenantContext
from app.infra.breached import Breached
from app.infra.passwords import Passwords
from app.kernel import clock
from app.kernel.errors import Problem


class NewPasswords:
    """Accepts new passwords."""

    def __init__(self, passwords: Passwords, breached: Breached) -> None:
        self._passwords = passwords
        self._breached = breached

    def hash(
        self,
        tenant: TenantContext,
        password: str,
        *,
        own: Iterable[str | None] = (),
        former: Sequence[str] = (),
        second_factor: bool = False,
    ) -> str:
        """What to store of a password that may be used. Outside any transaction: it takes its time.

        `own` are the person's names, `former` the hashes of passwords they had. Raises `PolicyProblem`, `Problem`
        (`password.invalid`) and `Unavailable` (`passwords.busy`).
        """
        settings = tenant.settings.authentication.password
        password_policy.check(password, settings, own=own, second_factor=second_factor)
        if self._breached.knows(password):
            raise PolicyProblem([Fault("breached")])
        with self._passwords.admitted():
            if former and self._passwords.any_matches(password, tuple(former)):
                raise PolicyProblem([Fault("reused")])
            return self._passwords.hash(password)


def own_of(user: User) -> tuple[str | None, ...]:
    """What a person's password may not be made of."""
    names = (user.claims.get(name) for name in ("name", "nickname", "preferred_username"))
    return user.username, user.email, *(name if isinstance(name, str) else None for name in names)


def former_of(session: Session, user: User, settings: PasswordSettings) -> list[str]:
    """The hashes a new password is compared with: the present one, and as many more as the tenant remembers."""
    remembered = _remembered(settings) - 1
    found = [user.password_hash] if user.password_hash else []
    if remembered > 0:
        found += session.scalars(
            select(FormerPassword.password_hash)
            .where(FormerPassword.user_id == user.id)
            .order_by(FormerPassword.created_at.desc())
            .limit(remembered)
        )
    return found


def has_second_factor(session: Session, user_id: str, mfa: MfaSettings) -> bool:
    """Whether the person set up something that is shown besides a password."""
    kinds = ["phone" if method == "sms" else method for method in mfa.methods]
    counting = (
        Authenticator.user_id == user_id,
        Authenticator.confirmed_at.is_not(None),
        Authenticator.kind.in_(kinds),
    )
    return session.scalar(select(Authenticator.id).where(*counting).limit(1)) is not None


def store(session: Session, user: User, password_hash: str, settings: PasswordSettings) -> None:
    """Make it the person's password. The one it replaces is remembered where the tenant says so; older ones go."""
    drop(session, user, settings)
    user.password_hash = password_hash


def drop(session: Session, user: User, settings: PasswordSettings) -> None:
    """Take the person's password away, to be remembered as one they had: nobody signs in with one until another is
    set."""
    remembered = _remembered(settings) - 1
    if user.password_hash and remembered > 0:
        session.add(FormerPassword(user_id=user.id, password_hash=user.password_hash))
        session.flush()
    kept = (
        select(FormerPassword.id)
        .where(FormerPassword.user_id == user.id)
        .order_by(FormerPassword.created_at.desc())
        .limit(max(0, remembered))
    )
    session.execute(
        delete(FormerPassword)
        .where(FormerPassword.user_id == user.id, FormerPassword.id.not_in(kept.scalar_subquery()))
        .execution_options(synchronize_session=False)
    )
    user.password_hash = None
    user.password_changed_at = clock.now()
    user.must_change_password = False


def demand(user: User) -> None:
    """Have the person set a new password before anything else when they sign in, or an application sends them here.

    Raises `Problem` (`password.missing`, 409).
    """
    if user.password_hash is None:
        raise Problem("password.missing", "This person has no password.", status=409)
    user.must_change_password = True


def is_too_old(user: User, settings: PasswordSettings) -> bool:
    """Whether the person's password is older than the tenant lets one become."""
    days = settings.max_age_days if settings.preset == "custom" else 0
    if days == 0 or user.password_hash is None:
        return False
    changed = user.password_changed_at or user.created_at
    return clock.now() - changed > timedelta(days=days)


def _remembered(settings: PasswordSettings) -> int:
    return settings.prevent_reuse if settings.preset == "custom" else 0
