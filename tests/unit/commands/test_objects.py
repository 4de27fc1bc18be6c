"""`watchword tenant|user|group|role|client|resource list|show|create|update|delete`."""

import io
import json
from typing import Any

import pytest

from app.domain.first_start import ensure_default_tenant
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.unit.commands.conftest import Watchword

OBJECTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "user": (
        "username",
        {"username": "bob", "email": "bob@example.com"},
        {"username": "bob", "claims": {"name": "Bob"}},
    ),
    "group": ("name", {"name": "engineering"}, {"name": "engineering", "roles": ["admin"]}),
    "role": (
        "name",
        {"name": "member", "permissions": ["a:read"]},
        {"name": "member", "permissions": ["a:*"]},
    ),
    "client": (
        "client_id",
        {"client_id": "web", "redirect_uris": ["https://a.example/cb"]},
        {"client_id": "web", "client_name": "Web"},
    ),
    "resource": (
        "identifier",
        {"identifier": "https://api.example.com", "scopes": [{"name": "read"}]},
        {"identifier": "https://api.example.com", "name": "API"},
    ),
    "connection": (
        "issuer",
        {
            "issuer": "https://ci.example",
            "rules": [{"name": "main", "match": {"sub": "x"}, "user": "alice", "scopes": ["read"]}],
        },
        {"issuer": "https://ci.example", "single_use": False},
    ),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_the_life_of_an_object(watchword: Watchword, tenant: TenantContext, kind: str) -> None:
    key, first, later = OBJECTS[kind]
    here = ("--tenant", tenant.slug)
    name = first[key]
    assert watchword(kind, "show", name, *here).status == 1
    assert watchword(kind, "update", "-", *here, stdin=json.dumps(first)).status == 1
    assert watchword(kind, "create", "-", *here, stdin=json.dumps(first)).status == 0
    again = watchword(kind, "create", "-", *here, stdin=json.dumps(first))
    assert (again.status, "already" in again.err) == (1, True)
    assert name in watchword(kind, "list", *here, "--json").json
    assert watchword(kind, "update", "-", *here, stdin=json.dumps(later)).status == 0
    shown = watchword(kind, "show", name, *here).json
    assert shown.items() >= {**first, **later}.items() or kind == "resource"
    assert watchword(kind, "update", "-", *here, stdin=json.dumps(shown)).out == "Nothing to change.\n"
    assert watchword(kind, "delete", name, *here).status == 0
    assert name not in watchword(kind, "list", *here, "--json").json


def test_the_life_of_a_tenant(watchword: Watchword, services: Services) -> None:
    ensure_default_tenant(services.tenancy, services.keyring)
    assert watchword("tenant", "create", "-", stdin="slug: acme-corp\nname: Acme").status == 0
    assert "acme-corp" in watchword("tenant", "list").out.splitlines()
    changed = "slug: acme-corp\nsettings: {sessions: {idle_seconds: 30 min}}"
    assert watchword("tenant", "update", "-", stdin=changed).status == 0
    shown = watchword("tenant", "show", "acme-corp").json
    assert shown == {
        "slug": "acme-corp",
        "name": "Acme",
        "settings": {"sessions": {"idle_seconds": "30 min"}},
    }
    assert watchword("tenant", "delete", "acme-corp", "--yes").status == 0
    assert watchword("tenant", "show", "acme-corp").status == 1


class Terminal(io.StringIO):
    """Standard input where a person sits."""

    def isatty(self) -> bool:
        return True


def test_a_tenant_is_not_deleted_unasked(
    watchword: Watchword, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_default_tenant(services.tenancy, services.keyring)
    made = "slug: asked-corp\nusers: [{username: bob}]"
    assert watchword("tenant", "create", "-", stdin=made).status == 0
    unasked = watchword("tenant", "delete", "asked-corp")
    assert unasked.status == 2
    assert "1 user and 0 clients" in unasked.err
    assert "--yes" in unasked.err
    with monkeypatch.context() as patched:
        patched.setattr("io.StringIO", Terminal)
        no = watchword("tenant", "delete", "asked-corp", stdin="n\n")
        assert (no.status, no.out) == (1, "")
        assert "Delete the tenant asked-corp with everything in it, 1 user and 0 clients among it?" in no.err
        assert watchword("tenant", "show", "asked-corp").status == 0
        assert watchword("tenant", "delete", "asked-corp", stdin="y\n").status == 0
    assert watchword("tenant", "show", "asked-corp").status == 1
    assert watchword("tenant", "delete", "asked-corp").status == 1


@pytest.mark.parametrize("options", [(), ("--yes",)])
def test_the_default_tenant_stays(watchword: Watchword, services: Services, options: tuple[str, ...]) -> None:
    ensure_default_tenant(services.tenancy, services.keyring)
    kept = watchword("tenant", "delete", "default", *options)
    assert (kept.status, kept.err) == (1, "The default tenant cannot be deleted.\n")


def test_a_made_secret_is_shown_once_on_standard_error(watchword: Watchword, tenant: TenantContext) -> None:
    done = watchword(
        "client",
        "create",
        "-",
        "--tenant",
        tenant.slug,
        stdin="client_id: m2m\ngrant_types: [client_credentials]",
    )
    assert "shown this once" in done.err
    assert "secret" not in done.out


def test_faults_are_placed_in_the_object(watchword: Watchword, tenant: TenantContext) -> None:
    done = watchword(
        "user", "create", "-", "--tenant", tenant.slug, stdin="username: x\n\nemail: nowhere\nshoe: 43"
    )
    assert done.err == "standard input:4: shoe: there is no such key\n"
    done = watchword("user", "create", "-", "--tenant", tenant.slug, stdin="username: x\n\nemail: nowhere")
    assert done.err == "standard input:3: email: This is not an e-mail address.\n"


def test_state_absent_is_for_delete(watchword: Watchword, tenant: TenantContext) -> None:
    done = watchword("role", "update", "-", "--tenant", tenant.slug, stdin="{name: x, state: absent}")
    assert done.status == 2


def test_an_unknown_tenant(watchword: Watchword, tenant: TenantContext) -> None:
    done = watchword("user", "list", "--tenant", "nowhere")
    assert (done.status, done.err) == (1, "There is no tenant nowhere, or it is disabled.\n")


def test_a_person_is_not_taken_for_another_by_their_address(
    watchword: Watchword, tenant: TenantContext
) -> None:
    here = ("--tenant", tenant.slug)
    watchword("user", "create", "-", *here, stdin="{username: bob, email: robert@example.com}")
    refused = watchword("user", "create", "-", *here, stdin="username: robert@example.com")
    assert refused.status == 1
    assert "somebody else's" in refused.err
