"""Second factors: what somebody has, how to add and remove it, and the browsers that go without.

Adding happens in the sign-in family's pages (`web.enrol_page`). Whoever has a second factor shows it for every change
here, in a trusted browser too, and recently (`sessions.reauthenticate_for.security`).
"""

from collections.abc import Iterable

from flask import Flask, Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound

from app.domain import authenticators, passkey_models, users
from app.domain.access.rbac import Access
from app.domain.authenticators import FEW_LEFT
from app.domain.models import Authenticator, User
from app.domain.tenants import TenantContext
from app.domain.user_agents import describe
from app.infra import audit
from app.kernel.errors import Problem
from app.protocols.login.devices import Devices
from app.web import errors, login, pages, turns
from app.web.account import shell
from app.web.account.forms import ID
from app.web.account.shell import Visitor
from app.web.factor_forms import KeptFactorsForm
from app.web.factors import ADDED, RECOVERY, keeping, totp
from app.web.page_forms import checked

PAGE = "account_factors"
DEVICES = "account_trusted_devices"
AREA = "security"
_HOME = {"passkey": "account_passkeys"}
"""Where somebody is afterwards, where that is not the page of second factors."""


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/account/factors", PAGE, _show, methods=["GET"])
    app.add_url_rule("/account/factors", PAGE + "_step", _remove, methods=["POST"])
    for way in ADDED:
        app.add_url_rule(
            f"/account/factors/{way}",
            f"{PAGE}_{way.replace('-', '_')}",
            _add,
            methods=["GET"],
            defaults={"way": way},
        )
    app.add_url_rule("/account/factors/trusted-devices", DEVICES, _devices, methods=["GET"])
    app.add_url_rule("/account/factors/trusted-devices", DEVICES + "_step", _forget, methods=["POST"])


def _add(way: str) -> Response:
    """To the page that adds one; who has to sign in first is asked there."""
    where = pages.tenant()
    if not ADDED[way].is_offered(where):
        raise NotFound
    return login.go_on(
        turns.begin(where, _HOME.get(way, PAGE), visit=shell.demands(AREA, wants=way)), after_post=False
    )


def _show() -> Response:
    found = shell.entered(PAGE)
    if isinstance(found, Response):
        return found
    notices = {"removed": _("It was removed.")}
    return _listed(found, notice=notices.get(request.args.get("done", ""), ""))


def _listed(found: Visitor, *, notice: str = "", fault: str = "", status: int = 200) -> Response:
    where = found.where
    with pages.services().tenancy.session(where.id) as db:
        rows = [
            row for row in authenticators.of_user(db, found.user.id) if row.kind != authenticators.PASSKEY
        ]
        held = authenticators.holdings(db, found.user)
        trusted = len(authenticators.trusted_devices(db, found.user.id))
        db.expunge_all()
    ways = [
        (_(view.label), _(view.says), pages.url(f"{PAGE}_{way.replace('-', '_')}"), way)
        for way, view in ADDED.items()
        if way not in (RECOVERY, authenticators.PASSKEY) and view.is_offered(where)
    ]
    return shell.render(
        "account/factors.html",
        found,
        "/account/factors",
        status,
        action=pages.url(PAGE + "_step"),
        rows=[(row.id, _name(row), row.created_at, row.last_used_at) for row in rows],
        ways=ways,
        has_one=held.second_factors > 0,
        codes_left=held.recovery_codes,
        few=held.recovery_codes < FEW_LEFT,
        new_codes=pages.url(f"{PAGE}_recovery_codes"),
        trusted=trusted,
        devices=pages.url(DEVICES),
        notice=notice,
        fault=fault,
    )


def _name(row: Authenticator) -> str:
    """What somebody called it; what has no name of its own, in the reader's language."""
    return _(row.name) if row.name == totp.UNNAMED else row.name


def _remove() -> Response:
    form = checked(KeptFactorsForm, shell.bound_here())
    found = shell.acting(PAGE)
    if isinstance(found, Response):
        return found
    target = form.target.data or ""
    if form.step.data != "remove":
        return errors.error_page(400)
    if not ID.fullmatch(target):
        raise NotFound
    where = found.where
    if not shell.has_proved(found, AREA):
        return _proof_first()
    try:
        with pages.services().tenancy.session(where.id, write=True) as db:
            remove(db, found, target)
    except Problem as problem:
        return _listed(found, fault=why_it_stays(problem), status=409)
    return pages.see_other(pages.url(PAGE, done="removed"))


def remove(db: Session, found: Visitor, target: str) -> None:
    """Take an authenticator away, on record and told by mail.

    Raises `Problem`: `factor.unknown` (404); and where it has to stay (409) `factor.last`, as the tenant demands one of
    the person, or `factor.only_way`, as nothing else signs them in.
    """
    row = removed(db, found.where, found.user, found.access, target)
    audit.record(db, found.event("factor.removed", method=row.kind, name=row.name, target=row.id))


def removed(db: Session, where: TenantContext, user: User, access: Access, target: str) -> Authenticator:
    """The same, which is yet to be put on record."""
    # As they are now: they may have given up their password a moment ago.
    user = users.hold(db, user.id) or user
    row = authenticators.remove(db, user.id, target)
    mfa = where.settings.authentication.mfa
    left = that_count(where, authenticators.of_user(db, user.id))
    is_required = mfa.required == "all" or (
        mfa.required == "roles" and not access.roles.isdisjoint(mfa.roles)
    )
    if is_required and not left:
        raise Problem("factor.last", "This is the only second factor, and one is required.", status=409)
    # A passkey that is not accepted is no way in: to take it away takes none.
    if row.kind == authenticators.PASSKEY and that_count(where, [row]):
        report = pages.services().attestation_trust.report_on
        held = passkey_models.holdings(db, where.settings.authentication.passkeys, user, report)
        if not authenticators.can_sign_in(held, where.settings.authentication.methods):
            raise Problem("factor.only_way", "This is the only way to sign in.", status=409)
    keeping.tell(db, where, user, row.name or row.kind, added=False)
    return row


def that_count(where: TenantContext, rows: Iterable[Authenticator]) -> list[Authenticator]:
    """Those of some authenticators that are accepted here."""
    passkeys = where.settings.authentication.passkeys
    return passkey_models.accepted(passkeys, rows, pages.services().attestation_trust.report_on)


def why_it_stays(problem: Problem) -> str:
    """Why an authenticator was not taken away, in the reader's language. Raises what is about something else."""
    if problem.code == "factor.last":
        return _("You need a second step here. Add another one before you remove this.")
    if problem.code == "factor.only_way":
        return _("It is your only way to sign in. Add another one before you remove this.")
    raise problem


def _proof_first() -> Response:
    """A form came too late: show what is missing, then the page again, where it can be sent once more."""
    turn = turns.begin(pages.tenant(), PAGE, visit=shell.demands(AREA))
    return turn.deliver(pages.see_other(turn.action))


def _devices() -> Response:
    found = shell.entered(DEVICES)
    if isinstance(found, Response):
        return found
    parts, where = pages.services(), found.where
    here = Devices(parts.vault).open(where.id, pages.cookies().read(where, "device"))
    with parts.tenancy.session(where.id) as db:
        rows = authenticators.trusted_devices(db, found.user.id)
        db.expunge_all()
    return shell.render(
        "account/trusted_devices.html",
        found,
        "/account/factors/trusted-devices",
        action=pages.url(DEVICES + "_step"),
        rows=[(r.id, _words(r.user_agent), r.created_at, r.expires_at, r.device_id == here.id) for r in rows],
        notice=_("That browser is not trusted any more.") if request.args.get("done") else "",
    )


def _words(user_agent: str) -> str:
    agent = describe(user_agent)
    if agent.browser and agent.system:
        return _("%(browser)s on %(system)s", browser=agent.browser, system=agent.system)
    return agent.browser or agent.system or _("Unknown browser")


def _forget() -> Response:
    form = checked(KeptFactorsForm, shell.bound_here())
    found = shell.acting(DEVICES)
    if isinstance(found, Response):
        return found
    step, target = form.step.data, form.target.data or ""
    if step not in ("forget", "forget-all"):
        return errors.error_page(400)
    if step == "forget" and not ID.fullmatch(target):
        raise NotFound
    with pages.services().tenancy.session(found.where.id, write=True) as db:
        trusted_id = target if step == "forget" else None
        count = authenticators.forget_devices(db, found.user.id, trusted_id=trusted_id)
        if not count and step == "forget":
            raise NotFound
        audit.record(db, found.event("device.forgotten", target=trusted_id, count=count))
    return pages.see_other(pages.url(DEVICES, done="forgotten"))
