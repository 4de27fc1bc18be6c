"""The sign-in page in a brand that is only proposed: behind a link nobody can guess, for an hour."""

import json
from typing import Any

from flask import Flask, Response, make_response
from werkzeug.exceptions import NotFound

from app.domain import branding, pictures
from app.domain.branding import PICTURES, BrandingSettings
from app.domain.tenants import TenantContext
from app.infra.state import Get, Key, Put
from app.kernel.secrets import lookup_hash, new_secret
from app.web import branding as looks
from app.web import pages
from app.web.services import Services

KIND = "brand-preview"
LIFETIME_SECONDS = 3600


def make_link(parts: Services, where: TenantContext, proposed: dict[str, Any]) -> str:
    """The address of a preview of these settings (`branding`, pictures included), below the tenant's issuer."""
    handle = new_secret()
    key = Key(where.id, KIND, lookup_hash(handle))
    parts.state.execute(Put(key, json.dumps(proposed).encode(), LIFETIME_SECONDS))
    return f"{where.issuer}/brand-preview/{handle}"


def register(app: Flask) -> None:
    """Add the page and what it refers to."""
    app.add_url_rule("/brand-preview/<handle>", "brand_preview", _show, methods=["GET"])
    app.add_url_rule("/brand-preview/<handle>/<part>", "brand_preview_part", _part, methods=["GET"])


def _show(handle: str) -> Response:
    where, proposed = pages.tenant(), _proposed(handle)
    look = looks.compose(
        where,
        proposed,
        css=pages.url("brand_preview_part", handle=handle, part="brand.css"),
        address=lambda name, _: pages.url("brand_preview_part", handle=handle, part=name),
    )
    return pages.page("login/brand_preview.html", look=look)


def _part(handle: str, part: str) -> Response:
    where, proposed = pages.tenant(), _proposed(handle)
    if part == "brand.css":
        response = make_response(branding.stylesheet(proposed, with_custom=where.host is not None))
        response.headers["Content-Type"] = "text/css; charset=utf-8"
        return response
    member = next((member for member, name in PICTURES.items() if name == part), None)
    text = getattr(proposed, member) if member else None
    if text is None or text.startswith(branding.STORED):
        raise NotFound
    picture = pictures.read(text)
    return looks.picture_response(picture.content_type, picture.content)


def _proposed(handle: str) -> BrandingSettings:
    """The settings behind a link. Raises `NotFound`."""
    key = Key(pages.tenant().id, KIND, lookup_hash(handle[:64]))
    raw = pages.services().state.execute(Get(key)).results[0]
    if raw is None:
        raise NotFound
    return BrandingSettings.model_validate(json.loads(raw))
