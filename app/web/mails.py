"""E-mails to people: text and HTML, in the person's language, in the tenant's looks.

What a mail says is one template, `templates/mail/{name}.txt`. It sets `subject` and `parts`; the two layouts make text
and HTML of the same parts, so that they never differ. A part is made with `say`, `small`, `button` or `code`:

    {% set subject = _("Set a new password") %}
    {% set parts = [say(_("Somebody asked for a new password.")), button(_("Set a new password"), link)] %}

Every link is made by `link`, from the tenant's issuer and never from the request: whoever sends a Host header of their
own must not choose where a secret is sent.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import current_app, g, has_request_context
from flask_babel import force_locale
from jinja2 import Environment
from sqlalchemy.orm import Session

from app.domain.models import User
from app.domain.tenants import TenantContext
from app.web import branding as looks
from app.web import i18n, pages
from app.web.services import Services


@dataclass(frozen=True, slots=True)
class Part:
    """A paragraph of a mail: `say`, `small`, a `button` with its `link`, or a `code` to read or copy."""

    kind: str
    text: str
    link: str = ""


@dataclass(frozen=True)
class Brand:
    """What a mail looks like: colours for one light background, as mail programs know no other for certain."""

    colour: str = "#0b5c62"
    on_colour: str = "#ffffff"
    logo_url: str | None = None
    """Absolute, below the tenant's issuer."""


def send(
    db: Session, where: TenantContext, template: str, to: str, language: str | None = None, **values: Any
) -> str:
    """Have the mail of `templates/mail/{template}.txt` sent to an address once the transaction commits. Gives its id.

    `values` are the template's; instants are written in words by its filter `in_words`. Raises `Problem`:
    `mail.not_configured` (503), `mail.address_invalid`.
    """
    subject, text, html = render(where, template, language, **values)
    said = where.settings.branding
    return pages.services().mailer.send(
        db,
        tenant=where.id,
        to=to,
        subject=subject,
        text=text,
        html=html,
        from_name=said.mail.from_name or said.name or where.name,
        reply_to=said.mail.reply_to,
    )


def render(
    where: TenantContext, template: str, language: str | None = None, **values: Any
) -> tuple[str, str, str]:
    """Subject, text and HTML. Needs the application's context, but no request."""
    chosen = i18n.best_for(where, (language,) if language else ())
    own = where.settings.branding.texts.mail
    with force_locale(i18n.locale_of(chosen)):
        written = (
            _plain()
            .get_template(f"mail/{template}.txt")
            .make_module(
                {
                    "tenant_name": where.settings.branding.name or where.name,
                    "say": lambda text: Part("say", text),
                    "small": lambda text: Part("small", text),
                    "code": lambda text: Part("code", text),
                    "button": lambda text, link: Part("button", text, link),
                    **values,
                }
            )
        )
        subject: str = getattr(written, "subject")  # noqa: B009
        parts: Sequence[Part] = getattr(written, "parts")  # noqa: B009
        shown: dict[str, Any] = {
            "subject": subject,
            "parts": parts,
            "tenant_name": where.settings.branding.name or where.name,
            "issuer": where.issuer,
            "brand": brand_of(where),
            "greeting": i18n.in_language(own.greeting, where, reader=chosen),
            "footer": i18n.in_language(own.footer, where, reader=chosen),
            "language": chosen,
            "direction": i18n.direction(chosen),
        }
        text = _plain().get_template("mail/layout.txt").render(shown)
        html = current_app.jinja_env.get_template("mail/layout.html").render(shown)
    return subject, text, html


@contextmanager
def outside_requests(services: Services) -> Iterator[None]:
    """What `send`, `render` and `link` need where no request is: in commands and in the worker."""
    from app.web import application

    with application.build(services).app_context():
        yield


def link(where: TenantContext, endpoint: str, **values: Any) -> str:
    """The address of a page, below the tenant's issuer whatever host the request named."""
    path = current_app.url_map.bind("", script_name="/").build(endpoint, values, force_external=False)
    return where.issuer + path


def language_of(user: User) -> str:
    """The language a person reads: as their profile says, else that of the page in front of whoever causes the mail."""
    said = str(user.claims.get("locale") or "")
    return said or (i18n.language() if has_request_context() else g.get("language", i18n.DEFAULT))


def brand_of(where: TenantContext) -> Brand:
    """The tenant's looks. A logo that is an SVG stays out: hardly a mail program shows one."""
    said = where.settings.branding
    shown = said.logo if said.logo and said.logo.endswith((".png", ".webp", ".jpg")) else None
    return Brand(
        colour=said.colours.brand or Brand.colour,
        logo_url=f"{where.issuer}/brand/logo?v={looks.version_of(shown)}" if shown else None,
    )


def _plain() -> Environment:
    """Jinja that escapes nothing: it writes text. The HTML layout escapes what it is given."""
    found: Environment | None = current_app.extensions.get("watchword.mail")
    if found is None:
        found = current_app.jinja_env.overlay(autoescape=False)
        found.filters["in_words"] = i18n.in_words
        current_app.extensions["watchword.mail"] = found
    return found
