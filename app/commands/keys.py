"""`watchword keys`: signing keys, and the master key everything is sealed with."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from app.commands.runtime import (
    MAY_BEGIN_WITH_A_HYPHEN,
    answer,
    json_option,
    say,
    services,
    tenant_of,
    tenant_option,
)

if TYPE_CHECKING:
    from app.domain.tenants import TenantContext
    from app.web.services import Services


@click.group()
def keys() -> None:
    """Signing keys of a tenant, and the master key."""


@keys.command("list")
@tenant_option
@json_option
def list_keys(*, slug: str, as_json: bool) -> None:
    """Show a tenant's signing keys: next, current, retired, revoked."""
    with services() as parts:
        found = parts.keyring.list(tenant_of(parts, slug).id)
    answer(
        [asdict(key) for key in found],
        (f"{key.alg:8} {key.state:8} {key.kid}  made {key.created_at:%Y-%m-%d %H:%M} UTC" for key in found),
        as_json=as_json,
    )


@keys.command()
@click.option("--alg", metavar="ALGORITHM", help="Only this one of RS256, PS256, ES256, EdDSA, Ed25519.")
@tenant_option
@json_option
def rotate(*, alg: str | None, slug: str, as_json: bool) -> None:
    """Let the next keys sign. The ones before stay published until their tokens have expired."""
    with services() as parts:
        tenant = tenant_of(parts, slug)
        parts.keyring.rotate(tenant.id, alg)
        signing = {
            key.alg: key.kid
            for key in parts.keyring.list(tenant.id)
            if key.state == "current" and (alg is None or key.alg == alg)
        }
        for algorithm, kid in signing.items():
            _record(parts, tenant, "key.rotated", kid=kid, algorithm=algorithm)
    answer(
        signing,
        (f"{algorithm:8} now signs with {kid}" for algorithm, kid in signing.items()),
        as_json=as_json,
    )


@keys.command(context_settings=MAY_BEGIN_WITH_A_HYPHEN)
@click.argument("kid")
@tenant_option
@json_option
def revoke(*, kid: str, slug: str, as_json: bool) -> None:
    """Withdraw a key in an emergency: gone from the JWKS at once, and every token under it refused."""
    with services() as parts:
        tenant = tenant_of(parts, slug)
        parts.keyring.revoke(tenant.id, kid)
        algorithm = next((key.alg for key in parts.keyring.list(tenant.id) if key.kid == kid), "")
        _record(parts, tenant, "key.revoked", kid=kid, algorithm=algorithm)
    answer({"revoked": kid}, [f"{kid} is revoked."], as_json=as_json)


@keys.command()
@json_option
def rewrap(*, as_json: bool) -> None:
    """Seal everything anew with the first line of WATCHWORD_MASTER_KEY; then the older lines can go."""
    with services() as parts:
        count = parts.keyring.rewrap()
        _record(parts, parts.tenants.default(), "key.rewrapped", count=count)
    answer(
        {"rewrapped": count},
        [f"{count} sealed values rewrapped. Older lines of WATCHWORD_MASTER_KEY are no longer needed."],
        as_json=as_json,
    )


@keys.command("new-master")
@json_option
def new_master(*, as_json: bool) -> None:
    """Print a new line for WATCHWORD_MASTER_KEY. Keep it: nothing sealed can be opened without it."""
    from app.infra.master_key import new_master_line

    line = new_master_line()
    answer({"line": line}, [line], as_json=as_json)
    say(
        "To rotate, put it before the present line, restart, run `watchword keys rewrap`, then remove the old line."
    )


def _record(parts: "Services", tenant: "TenantContext", event: str, **data: Any) -> None:
    from app.infra import audit

    with parts.tenancy.session(tenant.id, write=True) as session:
        told = audit.Event(event, tenant_id=tenant.id, outcome="success", data={**data, "via": "cli"})
        audit.record(session, told)
