"""Pages in a brand that is only proposed: behind a link nobody can guess, for an hour. What they show is what is
applied (`kept`), whatever became of the site it was drawn from.
"""

import json
from typing import Any

from flask import Flask, Response, make_response
from werkzeug.exceptions import NotFound

from app.domain import branding, pictures
from app.domain.branding import PICTURES, BrandingSettings
from app.domain.tenants import TenantContext
from app.infra.state import Get, Key, Put
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash, new_secret
from app.web import branding as looks
from app.web import pages
from app.web.services import Services

KIND = "brand-preview"
LIFETIME_SECONDS = 3600
CONSENT = "consent"
"""The page that is shown besides the one to sign in."""


def make_link(parts: Services, where: TenantContext, proposed: dict[str, Any]) -> str:
    """The address of a preview of these settings (`branding`, pictures included), below the tenant's issuer."""
    handle = new_secret()
    key = Key(where.id, KIND, lookup_hash(handle))
    parts.state.execute(Put(key, json.dumps(proposed).encode(), LIFETIME_SECONDS))
    return f"{where.issuer}/brand-preview/{handle}"


def kept(parts: Services, where: TenantContext, link: str) -> dict[str, Any]:
    """The settings a preview shows, by its link or the last part of it.

    Raises `Problem` (`brand.preview_gone`): there is none of this tenant, or its hour is over.
    """
    found = _read(parts, where, link.rstrip("/").removesuffix(f"/{CONSENT}").rpartition("/")[2])
    if found is None:
        raise Problem(
            "brand.preview_gone", "There is no such preview of this tenant, or its hour is over.", status=404
        )
    return found


def _read(parts: Services, where: TenantContext, handle: str) -> dict[str, Any] | None:
    raw = parts.state.execute(Get(Key(where.id, KIND, lookup_hash(handle[:64])))).results[0]
    found: dict[str, Any] | None = None if raw is None else json.loads(raw)
    return found


def register(app: Flask) -> None:
    """Add the page and what it refers to."""
    app.add_url_rule("/brand-preview/<handle>", "brand_preview", _show, methods=["GET"])
    app.add_url_rule("/brand-preview/<handle>/<part>", "brand_preview_part", _part, methods=["GET"])


def _show(handle: str) -> Response:
    return _shown(handle, "sign-in")


def _shown(handle: str, name: str) -> Response:
    look = looks.compose(
        pages.tenant(),
        _proposed(handle),
        css=pages.url("brand_preview_part", handle=handle, part="brand.css"),
        address=lambda picture, _: pages.url("brand_preview_part", handle=handle, part=picture),
    )
    others = (
        ("sign-in", pages.url("brand_preview", handle=handle)),
        (CONSENT, pages.url("brand_preview_part", handle=handle, part=CONSENT)),
    )
    return pages.page("login/brand_preview.html", look=look, shown=name, pages=dict(others))


def _part(handle: str, part: str) -> Response:
    where, proposed = pages.tenant(), _proposed(handle)
    if part == CONSENT:
        return _shown(handle, CONSENT)
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
    found = _read(pages.services(), pages.tenant(), handle)
    if found is None:
        raise NotFound
    return BrandingSettings.model_validate(found)
