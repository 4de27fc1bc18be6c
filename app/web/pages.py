"""The pages: which there are, how they are rendered, and the headers each of them carries."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import (
    Flask,
    Response,
    current_app,
    g,
    has_request_context,
    make_response,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import BadRequest, NotFound

from app.domain.tenants import TenantContext
from app.kernel import paths
from app.kernel.secrets import keyed_hash
from app.protocols.login.factors.outcome import Origin
from app.protocols.oauth import frontchannel_logout
from app.web import i18n
from app.web.cookies import Cookies
from app.web.headers import HSTS_SECONDS
from app.web.services import Services

if TYPE_CHECKING:
    from app.web import branding

MAX_BODY_BYTES = 64 * 1024
ASSET_SECONDS = 31_536_000

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def services() -> Services:
    """The parts of this process."""
    found: Services = current_app.extensions["watchword"]
    return found


def tenant() -> TenantContext:
    """Whose page this is. Raises `NotFound` where no tenant is."""
    found: TenantContext | None = request.environ.get("watchword.tenant")
    if found is None:
        raise NotFound
    return found


def cookies() -> Cookies:
    """The cookies of this request."""
    parts = services()
    return Cookies(parts.vault, https=parts.settings.is_https)


def reference() -> str:
    """The request's id: what a person quotes and the log finds."""
    found: str = (
        request.environ.get("watchword.request_id", "-") if has_request_context() else g.get("reference", "-")
    )
    return found


def origin(client_id: str | None = None) -> Origin:
    """Where the request comes from."""
    agent = request.headers.get("User-Agent", "")[:400] or None
    return Origin(request.environ.get("watchword.address") or request.remote_addr or "-", agent, client_id)


def url(endpoint: str, **values: Any) -> str:
    """The path of a page of this tenant."""
    return url_for(endpoint, **values)


def page(
    template: str,
    status: int = 200,
    *,
    form_action: str = "'self'",
    opener: bool = False,
    look: "branding.Look | None" = None,
    frames: Sequence[str] = (),
    **values: Any,
) -> Response:
    """A page of the current tenant, in its looks or in those given.

    `form_action` is the Content-Security-Policy source its forms may go to. With `opener` the window that opened it
    keeps its handle: an application signs in in a pop-up and is told by it. `frames` are pages of applications to load
    unseen (`protocols.oauth.frontchannel_logout`).
    """
    from app.web import branding

    where: TenantContext | None = request.environ.get("watchword.tenant")
    # The switch comes back to this address, and what an application asked for is not written into pages.
    switch = form_action == "'self'" and not (
        request.query_string and request.endpoint in ("authorize", "logout")
    )
    look = look or (branding.look_of(where) if where else branding.Look("Watchword"))
    body = render_template(
        template,
        **i18n.page_values(where, switch=switch),
        look=look,
        tenant_name=look.name,
        place=urlsplit(where.issuer).netloc if where else "",
        reference=reference(),
        asset=_asset,
        in_words=i18n.in_words,
        in_own_words=lambda texts: i18n.in_language(texts, where) if where else "",
        frames=frames,
        conformance=services().settings.conformance,
        **values,
    )
    response = make_response(body, status)
    response.headers["Content-Language"] = i18n.language()
    response.vary.update(("Accept-Language", "Cookie"))
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        f"form-action {form_action}; frame-ancestors 'none'" + _frame_sources(frames)
    )
    if not opener:
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


def _frame_sources(frames: Sequence[str]) -> str:
    """The directive that allows these and nothing else (contracts 14)."""
    sources = frontchannel_logout.sources(frames)
    return f"; frame-src {' '.join(sources)}" if sources else ""


def see_other(target: str) -> Response:
    """303: the browser goes on with GET, whatever brought it here (RFC 9700 section 4.12)."""
    response = make_response("", 303)
    response.headers["Location"] = target
    return response


def in_words(moment: datetime) -> str:
    """An instant as a person reads it, in their language."""
    return i18n.in_words(moment)


def register(app: Flask, parts: Services) -> None:
    """Add every page to the application."""
    from app.web import (
        account,
        brand_preview,
        branding,
        conformance,
        device,
        email_pages,
        errors,
        first_admin,
        invitation,
        login,
        logout,
        mailbox_page,
        oauth,
        recover,
        registration,
        registration_link,
        reset,
    )

    i18n.register(app)
    branding.register(app)
    brand_preview.register(app)
    errors.register(app)
    app.before_request(_prepare)
    app.after_request(_protect)
    app.jinja_env.autoescape = True
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for add in (oauth.register, login.register, logout.register, account.register, first_admin.register):
        add(app)
    for links_to in (registration, registration_link, invitation, reset, recover, email_pages, device):
        links_to.register(app)
    if parts.settings.is_loopback and not parts.settings.smtp_url:
        mailbox_page.register(app)
    if parts.settings.conformance:
        conformance.register(app)


def _prepare() -> None:
    if current_app.secret_key is None:
        # Not at start: the database is first asked for after the fork. The same in every process.
        current_app.secret_key = keyed_hash(services().deployment_secrets.pepper(), "flask secret key 1")
    if not request.query_string.isascii():
        # RFC 3986 section 3.4; Flask could not read it.
        raise BadRequest
    if not request.path.startswith("/api/"):
        request.max_content_length = MAX_BODY_BYTES


def _protect(response: Response) -> Response:
    """What every answer of Flask carries; pages bring a policy of their own."""
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
    if services().settings.is_https:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_SECONDS}")
    if request.endpoint == "static":
        if response.status_code == 200 and "v" in request.args:
            response.headers["Cache-Control"] = f"public, max-age={ASSET_SECONDS}, immutable"
    else:
        response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    return response


@lru_cache(maxsize=64)
def _digest(name: str) -> str:
    return hashlib.sha256((paths.STATIC / name).read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    """The address of a static file. It changes with the file, so that browsers may keep it for ever."""
    return url_for("static", filename=name, v=_digest(name))
