"""Somebody's own new password: what is asked of it, and what changes with it.

Two pages set one: `web.new_password` on the way in, `web.account.password` in the account console.
"""

from app.domain import authenticators, new_passwords, password_policy, users
from app.domain.models import User
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.kernel.errors import Problem
from app.protocols.login.devices import Devices
from app.protocols.login.factors.outcome import Blocked, Failed, Verified
from app.protocols.login.factors.password import PasswordFactor
from app.web import links, mails, new_account, pages

FAULTS = ("password.policy", "password.invalid")


def hint(where: TenantContext, user: User) -> str:
    """What the person's new password has to look like."""
    with pages.services().tenancy.session(where.id) as db:
        second_factor = new_passwords.has_second_factor(db, user.id)
    settings = where.settings.authentication.password
    return new_account.password_hint(password_policy.rules(settings, second_factor=second_factor))


def prove(where: TenantContext, user: User, password: str) -> Verified | Failed | Blocked:
    """Whether it is the person's present one. Counted and slowed down as at the sign-in page."""
    parts = pages.services()
    factor = PasswordFactor(
        parts.tenancy, parts.state, parts.passwords, floor_seconds=parts.sign_in_floor_seconds
    )
    device = Devices(parts.vault).open(where.id, pages.cookies().read(where, "device"))
    return factor.attempt(where, user.username, password, device=device, origin=pages.origin())


def change(where: TenantContext, user: User, password: str, *, keep: str | None) -> None:
    """Make it the person's password, and end every other session than `keep` and every trusted device.

    They are told by mail. Raises `Problem` (one of `FAULTS`) and `Unavailable`.
    """
    parts, settings = pages.services(), where.settings.authentication.password
    with parts.tenancy.session(where.id) as db:
        former = new_passwords.former_of(db, user, settings)
        second_factor = new_passwords.has_second_factor(db, user.id)
    stored = parts.new_passwords.hash(
        where, password, own=new_passwords.own_of(user), former=former, second_factor=second_factor
    )
    with parts.tenancy.session(where.id, write=True) as db:
        found = users.get(db, user.id)
        if found is None or found.password_changed_at != user.password_changed_at:
            raise Problem("password.changed", "The password was changed meanwhile.", status=409)
        new_passwords.store(db, found, stored, settings)
        ended = parts.sessions.end_all(db, where, user.id, but=keep)
        authenticators.forget_devices(db, user.id)
        links.record_own(db, "password.changed", found, sessions=len(ended))
        if found.email is not None and parts.mailer.can_send:
            mails.send(
                db,
                where,
                "password_changed",
                found.email,
                mails.language_of(found),
                when=clock.now(),
                signed_out=False,
                link=mails.link(where, "forgot"),
            )
