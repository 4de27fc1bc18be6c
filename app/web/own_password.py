"""Somebody's own password: what is asked of a new one, what changes with it, and going without.

Three pages set one: `web.new_password` and `web.factors.password` on the way in, `web.account.password` in the account
console, which takes it away as well.
"""

from sqlalchemy.orm import Session

from app.domain import authenticators, lasting_grants, new_passwords, passkey_models, password_policy, users
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
        second_factor = new_passwords.has_second_factor(db, user.id, where.settings.authentication.mfa)
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
    """Make it the person's password, and end every other session than `keep`, every application that stays signed in,
    and every trusted device.

    They are told by mail. Raises `Problem` (one of `FAULTS`) and `Unavailable`.
    """
    parts, settings = pages.services(), where.settings.authentication.password
    with parts.tenancy.session(where.id) as db:
        former = new_passwords.former_of(db, user, settings)
        second_factor = new_passwords.has_second_factor(db, user.id, where.settings.authentication.mfa)
    stored = parts.new_passwords.hash(
        where, password, own=new_passwords.own_of(user), former=former, second_factor=second_factor
    )
    with parts.tenancy.session(where.id, write=True) as db:
        found = users.get(db, user.id)
        if found is None or found.password_changed_at != user.password_changed_at:
            raise Problem("password.changed", "The password was changed meanwhile.", status=409)
        new_passwords.store(db, found, stored, settings)
        _end_the_rest(db, where, found, "password.changed", keep=keep)
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


def can_go(db: Session, where: TenantContext, user: User) -> bool:
    """Whether somebody signs in without their password: with a passkey that is accepted here and verifies its user, as
    it is all they show then, or by mail to an address that is confirmed."""
    authentication, parts = where.settings.authentication, pages.services()
    by_mail = "email" in authentication.methods and parts.mailer.can_send
    if by_mail and user.email is not None and user.email_verified:
        return True
    if "passkey" not in authentication.methods:
        return False
    rows = authenticators.of_user(db, user.id, authenticators.PASSKEY)
    counting = passkey_models.accepted(authentication.passkeys, rows, parts.attestation_trust.report_on)
    return any(row.data.get("verifies") for row in counting)


def remove(where: TenantContext, user: User, *, keep: str | None) -> None:
    """Take the person's password away, and end every other session than `keep` and every trusted device.

    They are told by mail. Raises `Problem`: `password.changed`; `password.only_way` where nothing else signs them in.
    """
    parts = pages.services()
    with parts.tenancy.session(where.id, write=True) as db:
        # Held, so that a passkey that is taken away meanwhile is not counted on.
        found = users.hold(db, user.id)
        if found is None or found.password_changed_at != user.password_changed_at:
            raise Problem("password.changed", "The password was changed meanwhile.", status=409)
        if not can_go(db, where, found):
            raise Problem("password.only_way", "This is the only way to sign in.", status=409)
        new_passwords.drop(db, found, where.settings.authentication.password)
        _end_the_rest(db, where, found, "password.removed", keep=keep)
        if found.email is not None and parts.mailer.can_send:
            mails.send(
                db,
                where,
                "factor_changed",
                found.email,
                mails.language_of(found),
                added=False,
                name="Password",
                when=clock.now(),
                link=mails.link(where, "account_security"),
            )


def _end_the_rest(db: Session, where: TenantContext, user: User, event: str, *, keep: str | None) -> None:
    """What was begun with the former password ends, but the session `keep`; on record as `event`."""
    parts = pages.services()
    ended = parts.sessions.end_all(db, where, user.id, but=keep)
    signed_out = lasting_grants.revoke_all(db, user_id=user.id, log=parts.revocations)
    authenticators.forget_devices(db, user.id)
    links.record_own(db, event, user, sessions=len(ended), grants=len(signed_out))
