"""A tenant's looks on its pages: its stylesheet and pictures, served from our own origin, and its words.

Nothing here is inline and nothing foreign, so pages keep their policy. What changes with the settings is addressed by
its digest and may be kept for ever.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from flask import Flask, Response, make_response, request
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound

from app.domain import branding, custom_markup, pictures
from app.domain.branding import PICTURES, STORED, BrandingSettings, TextSettings
from app.domain.client_metadata import CLIENT_ID_PATTERN
from app.domain.clients import ClientRecord
from app.domain.models import Client, TenantAsset
from app.domain.tenants import TenantContext
from app.infra import limits
from app.infra.state import Delete, Increment, Key, PutIfAbsent
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash
from app.web import i18n, pages
from app.web.i18n import later

DIGEST_CHARACTERS = 16
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""An SVG that is opened by itself does nothing either."""
ICON = ("icon.svg", "image/svg+xml")

LOGO_FRESH = timedelta(days=1)
LOGO_RETRY_SECONDS = 600
LOGO_TIMEOUT_SECONDS = 3.0

SIGN_IN = "sign_in"
TEXTS = ("registration", "recover", "factor", "consent", "signed_out", "error")
"""Pages whose own words are a block of `branding.texts`; those of `SIGN_IN` are its first members."""
_LEGAL = (("imprint", later("Legal notice")), ("privacy", later("Privacy")), ("terms", later("Terms")))
_CLIENT_ID = re.compile(CLIENT_ID_PATTERN)
_TYPES = {extension: kind for kind, extension in pictures.EXTENSIONS.items()}


@dataclass(frozen=True, slots=True)
class Words:
    """A tenant's own words on a page. Empty where it has none."""

    title: str = ""
    intro: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a page needs of a brand. URLs are empty where there is nothing."""

    name: str
    show_name: bool = True
    css: str = ""
    logo: str = ""
    logo_dark: str = ""
    icon: str = ""
    icon_type: str = ""
    texts: Mapping[str, Words] = field(default_factory=dict)
    """The tenant's own words, by page."""
    links: tuple[tuple[str, str], ...] = ()
    header: str = ""
    """Sanitised, as `Markup`."""
    footer: str = ""

    def words(self, page: str) -> Words:
        """The tenant's own words on a page."""
        return self.texts.get(page, _NO_WORDS)


_NO_WORDS = Words()


def register(app: Flask) -> None:
    """Add what pages refer to."""
    app.add_url_rule("/brand.css", "brand_css", _css, methods=["GET"])
    app.add_url_rule("/brand/<name>", "brand_picture", _picture, methods=["GET"])
    app.add_url_rule("/client-logo", "client_logo", _client_logo, methods=["GET"])


def look_of(where: TenantContext) -> Look:
    """A tenant's looks, in the language of whoever reads."""
    said = where.settings.branding
    text, digest = _stylesheet(where)
    return compose(
        where,
        said,
        css=pages.url("brand_css", v=digest) if text else "",
        address=lambda name, stored: pages.url("brand_picture", name=name, v=version_of(stored)),
    )


def version_of(stored: str) -> str:
    """What the address of a stored picture carries, so that it changes with it."""
    return stored.removeprefix(STORED)[:DIGEST_CHARACTERS]


def compose(
    where: TenantContext, said: BrandingSettings, *, css: str, address: Callable[[str, str], str]
) -> Look:
    """The looks of these settings. `address` gives the URL of a picture by its name and setting."""
    found = {
        member: address(name, stored)
        for member, name in PICTURES.items()
        if (stored := getattr(said, member))
    }
    legal = [(_(label), uri) for name, label in _LEGAL if (uri := getattr(said.legal, name))]
    own = [(i18n.in_language(link.text, where), link.uri) for link in said.links]
    return Look(
        name=said.name or where.name,
        show_name=said.show_name or not said.logo,
        css=css,
        logo=found.get("logo", ""),
        logo_dark=found.get("logo_dark", ""),
        icon=found.get("icon", ""),
        icon_type=_kind_of(said.icon or ""),
        texts=_texts(where, said.texts),
        links=tuple((label, uri) for label, uri in (*own, *legal) if label),
        header=_markup(where, said.header_html),
        footer=_markup(where, said.footer_html),
    )


def _texts(where: TenantContext, said: TextSettings) -> dict[str, Words]:
    found = {SIGN_IN: said, **{name: getattr(said, name) for name in TEXTS}}
    return {
        name: Words(
            i18n.in_language(getattr(block, "title", {}), where), i18n.in_language(block.intro, where)
        )
        for name, block in found.items()
        if block.model_fields_set
    }


def client_logo(client: ClientRecord | None) -> str:
    """Where a client's logo is shown from: never from the client (contracts 14). Empty when it has none."""
    uri = i18n.of_client(client, "logo_uri") if client else ""
    if client is None or not uri:
        return ""
    return pages.url("client_logo", client_id=client.client_id, v=lookup_hash(uri)[:DIGEST_CHARACTERS])


def _kind_of(picture: str) -> str:
    """The media type of a picture's setting, stored or given."""
    if picture.startswith("data:"):
        return picture[5:].partition(";")[0]
    return _TYPES.get(picture.rpartition(".")[2], pictures.SVG)


def _markup(where: TenantContext, text: str | None) -> str:
    """Own HTML, where the tenant has an origin of its own (contracts 13)."""
    if not text or where.host is None:
        return ""
    now = i18n.language()
    values = {
        "tenant": where.settings.branding.name or where.name,
        "language": now,
        "direction": i18n.direction(now),
    }
    # Sanitised: written anew from an allow-list, whatever the template made of it.
    return Markup(custom_markup.render(text, values))  # noqa: S704


def _stylesheet(where: TenantContext) -> tuple[str, str]:
    """The tenant's stylesheet and its digest."""

    def make() -> tuple[str, str]:
        text = branding.stylesheet(where.settings.branding, with_custom=where.host is not None)
        return text, hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]

    return pages.services().cache.get(where.id, "brand", "css", make)


def _css() -> Response:
    text, digest = _stylesheet(pages.tenant())
    response = make_response(text)
    response.headers["Content-Type"] = "text/css; charset=utf-8"
    return _kept(response, is_current=request.args.get("v") == digest)


def _picture(name: str) -> Response:
    if name not in PICTURES.values():
        raise NotFound
    with pages.services().tenancy.session(pages.tenant().id) as db:
        row = _asset(db, name)
        if row is None:
            raise NotFound
        response = picture_response(row.content_type, row.content)
        is_current = row.digest.startswith(request.args.get("v") or "-")
    # Mails show it as well, in web mail that is of another origin.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return _kept(response, is_current=is_current)


def _client_logo() -> Response:
    """A client's logo, fetched when it is first asked for and once a day after that."""
    where = pages.tenant()
    client_id = request.args.get("client_id", "")
    client = pages.services().clients.get(where.id, client_id) if _CLIENT_ID.fullmatch(client_id) else None
    uri = i18n.of_client(client, "logo_uri") if client else ""
    if client is None or not uri:
        raise NotFound
    name = branding.client_logo_asset(client.client_id, uri)
    with pages.services().tenancy.session(where.id) as db:
        row = _asset(db, name)
        found = pictures.Picture(row.content_type, row.content) if row else None
        is_fresh = row is not None and clock.now() - row.updated_at < LOGO_FRESH
    if not is_fresh and _may_fetch(where, client.client_id, uri):
        found = _fetched(where, client.client_id, uri) or found
    if found is None:
        raise NotFound
    response = picture_response(found.content_type, found.content)
    response.headers["Cache-Control"] = f"private, max-age={int(LOGO_FRESH.total_seconds())}"
    return response


def _may_fetch(where: TenantContext, client_id: str, uri: str) -> bool:
    """Whether nobody tried within the last minutes: whoever loads pages fast must not make us hammer others. Nor must
    whoever names another address each time (RFC 7592)."""
    mark = PutIfAbsent(_tried(where, uri), b"1", LOGO_RETRY_SECONDS, required=True)
    return pages.services().state.execute(mark, *_counted(where, client_id)).ok


def _tried(where: TenantContext, uri: str) -> Key:
    return Key(where.id, "client-logo", lookup_hash(uri))


def _counted(where: TenantContext, client_id: str) -> tuple[Increment, Increment]:
    return limits.CLIENT_LOGOS.count(where.id, client_id), limits.CLIENT_LOGOS_ALL.count(where.id)


def _fetched(where: TenantContext, client_id: str, uri: str) -> pictures.Picture | None:
    """The logo at this address, kept. None where there is none, and at once where there is no place to wait for it."""
    from app.web import errors

    try:
        answer = pages.services().fetcher.for_logos.get(
            uri, max_bytes=pictures.MAX_BYTES, timeout_seconds=LOGO_TIMEOUT_SECONDS, accept="image/*"
        )
        if answer.status != 200:
            raise pictures.refused(f"the answer has status {answer.status}")
        picture = pictures.check(answer.body)
    except Problem as refusal:
        errors.note(refusal.code, f"no logo from {uri[:200]}: {refusal}")
        if refusal.code == "fetch.busy":
            # Nobody was asked, so that the next who looks may ask.
            counted = map(limits.taken_back, _counted(where, client_id))
            pages.services().state.execute(Delete(_tried(where, uri)), *counted)
        return None
    with pages.services().tenancy.session(where.id, write=True) as db:
        # Held while the picture is put: whoever deletes or changes the client takes its pictures along afterwards.
        held = select(Client.metadata_).where(Client.client_id == client_id)
        metadata = db.scalar(held.with_for_update(read=True, key_share=True))
        if uri not in branding.logos_of(metadata or {}):
            return None
        name = branding.client_logo_asset(client_id, uri)
        branding.put(db, where.id, name, picture, row=_asset(db, name), source=uri)
    return picture


def _asset(db: Session, name: str) -> TenantAsset | None:
    return db.scalar(select(TenantAsset).where(TenantAsset.name == name))


def picture_response(content_type: str, content: bytes) -> Response:
    """A picture, as what it was checked to be and nothing else."""
    response = make_response(content)
    response.headers["Content-Type"] = content_type
    response.headers["Content-Security-Policy"] = PICTURE_POLICY
    return response


def _kept(response: Response, *, is_current: bool) -> Response:
    seconds = pages.ASSET_SECONDS if is_current else 60
    response.headers["Cache-Control"] = f"public, max-age={seconds}" + (", immutable" if is_current else "")
    return response
