"""Tenants: how one is made, what it is called, and how a request sees it."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.access.rbac import ensure_builtin_roles
from app.domain.branding import KEPT
from app.domain.models import Tenant
from app.domain.tenant_settings import LanguageSettings, TenantSettings
from app.kernel import ids, languages
from app.kernel.errors import Problem

DEFAULT_SLUG = "default"
HOST_PATTERN = r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?$"
SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"


@dataclass(frozen=True, slots=True)
class TenantContext:
    """A tenant as a request sees it: immutable, cached until its configuration changes."""

    id: str
    slug: str
    name: str
    issuer: str
    """The issuer identifier, compared as a plain string, never normalised."""
    path: str
    """What precedes every path of this tenant on the shared host: empty, or `/t/{slug}`."""
    host: str | None
    settings: TenantSettings
    version: int
    """Of the configuration this is part of (`infra.versions`)."""


def issuer_of(tenant: Tenant, base_url: str) -> tuple[str, str]:
    """A tenant's issuer and path prefix under this deployment's base URL."""
    if tenant.host:
        return f"{base_url.partition('://')[0]}://{tenant.host}", ""
    if tenant.slug == DEFAULT_SLUG:
        return base_url, ""
    return f"{base_url}/t/{tenant.slug}", f"/t/{tenant.slug}"


def compile_tenant(tenant: Tenant, base_url: str) -> TenantContext:
    """The immutable view of a row."""
    issuer, path = issuer_of(tenant, base_url)
    settings = TenantSettings.model_validate(tenant.settings, context=KEPT)
    return TenantContext(
        tenant.id, tenant.slug, tenant.name, issuer, path, tenant.host, settings, tenant.config_version
    )


def create(
    session: Session, *, slug: str, name: str, host: str | None = None, settings: dict[str, Any] | None = None
) -> Tenant:
    """Add a tenant with its built-in roles, in a system session. Its signing keys are the keyring's to make.

    Raises `Problem` for a bad slug or host (`tenant.invalid`) or a taken one (`tenant.exists`).
    """
    if not re.fullmatch(SLUG_PATTERN, slug):
        raise Problem(
            "tenant.invalid", "A tenant's slug has 1 to 63 characters of a-z, 0-9 and inner hyphens."
        )
    if host is not None and not re.fullmatch(HOST_PATTERN, host):
        raise Problem("tenant.invalid", "A tenant's host is a host name in lower case, perhaps with a port.")
    same = Tenant.slug == slug if host is None else (Tenant.slug == slug) | (Tenant.host == host)
    if session.scalar(select(Tenant.id).where(same)):
        raise Problem("tenant.exists", f"There is a tenant {slug} already.", status=409)
    tenant = Tenant(id=ids.new_id(), slug=slug, name=name, host=host, settings={})
    update_settings(tenant, settings or {})
    session.add(tenant)
    session.flush()
    ensure_builtin_roles(session, tenant.id)
    return tenant


def find(session: Session, slug: str) -> Tenant | None:
    """The tenant's row; the session has to be allowed to see it."""
    return session.scalar(select(Tenant).where(Tenant.slug == slug))


def update_settings(tenant: Tenant, changes: dict[str, Any]) -> None:
    """Merge `changes` into the stored settings, block by block; absent keys stay, null returns to the default.

    Raises `Problem` (`settings.invalid`) naming every bad key.
    """
    merged = _merge(dict(tenant.settings), changes)
    try:
        settings = TenantSettings.model_validate(merged)
    except ValidationError as fault:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise Problem("settings.invalid", f"These settings are not valid: {said}") from None
    _check_languages(settings.languages)
    if settings.branding.is_custom and not tenant.host:
        raise Problem(
            "settings.invalid",
            "branding: HTML and CSS are for tenants with a host of their own; colours are not.",
        )
    is_below = not tenant.host and tenant.slug != DEFAULT_SLUG
    if is_below and any(o.startswith("https:") for o in settings.authentication.passkeys.related_origins):
        # Browsers ask the root of the host for them, where other tenants' passkeys are kept as well.
        raise Problem(
            "settings.invalid",
            "authentication.passkeys.related_origins: other origins are for tenants with a host of their own.",
        )
    tenant.settings = merged


def _check_languages(said: LanguageSettings) -> None:
    """Here rather than in the model: a language whose translations are gone must not take its tenant with it."""
    unknown = {said.default, *said.offered} - set(languages.available())
    if unknown:
        there_are = ", ".join(languages.available())
        raise Problem(
            "settings.invalid",
            f"There are no translations into {', '.join(sorted(unknown))}; there are {there_are}.",
        )


def _merge(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key, {}), dict):
            result[key] = _merge(result.get(key, {}), value)
        else:
            result[key] = value
    return result
