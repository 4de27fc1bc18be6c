"""The overview: who somebody is here, this sign-in, and where everything else is."""

from flask import Flask, Response
from flask_babel import gettext as _

from app.web.account import sections, shell
from app.web.account.shell import Visitor


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/account", "account", _overview, methods=["GET"])


def _overview() -> Response:
    found = shell.entered("account")
    if isinstance(found, Response):
        return found
    rows = [row for row in sections.present(sections.RAIL) if row[0].says]
    return shell.render(
        "account/overview.html",
        found,
        "/account",
        facts=_facts(found),
        signed_in=found.session.auth_time,
        signed_in_with=methods(found.session.amr),
        sections=rows,
    )


def methods(amr: tuple[str, ...]) -> list[str]:
    """How somebody signed in, in words; what only says how sure that was is left out."""
    names = {
        "pwd": _("Password"),
        "otp": _("One-time code"),
        "sms": _("Text message"),
        "hwk": _("Passkey on a security key"),
        "swk": _("Passkey"),
        "fed": _("Another organization"),
    }
    return [names[method] for method in amr if method in names]


def _facts(found: Visitor) -> list[tuple[str, str]]:
    user = found.user
    facts = [(_("Name"), str(user.claims.get("name") or "")), (_("User name"), user.username)]
    if user.email:
        unconfirmed = "" if user.email_verified else " " + _("(not confirmed)")
        facts.append((_("E-mail"), user.email + unconfirmed))
    facts.append((_("Roles"), ", ".join(sorted(found.access.roles))))
    facts.append((_("Groups"), ", ".join(sorted(found.access.groups))))
    return [(label, value) for label, value in facts if value]
