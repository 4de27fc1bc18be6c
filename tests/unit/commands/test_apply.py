"""`watchword apply`: one file, one transaction, told in one go."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.domain.models import Client, OutboxMessage, User
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests import outbox_rows
from tests.unit.commands.conftest import Done, Watchword

SECRET = "k7Jr0uQ2m5vX8zB1nC4dF6hL9pS3tW0y"


@pytest.fixture
def apply(watchword: Watchword, tenant: TenantContext, tmp_path: Path) -> Any:
    """Apply sections to this test's tenant."""

    def run(*options: str, slug: str = tenant.slug, **sections: Any) -> Done:
        file = tmp_path / "apply.json"
        file.write_text(json.dumps({"tenants": [{"slug": slug, **sections}]}))
        return watchword("apply", str(file), *options)

    return run


EXAMPLE: dict[str, Any] = {
    "settings": {"tokens": {"access_seconds": 600}},
    "roles": [{"name": "member", "permissions": ["documents:read"]}],
    "groups": [{"name": "engineering", "roles": ["member"]}],
    "resources": [
        {
            "identifier": "https://api.example.com/",
            "name": "Example API",
            "scopes": [{"name": "read", "description": "Read your documents"}],
            "access_token_seconds": 300,
        }
    ],
    "clients": [
        {
            "client_id": "web",
            "client_secret": SECRET,
            "redirect_uris": ["http://127.0.0.1:9999/cb"],
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid read",
            "default_resources": ["https://api.example.com"],
        }
    ],
    "users": [
        {
            "username": "alice",
            "password": "correct-horse-battery",
            "email": "alice@example.com",
            "email_verified": True,
            "roles": ["admin"],
            "groups": ["engineering"],
            "claims": {"name": "Alice Adams"},
        }
    ],
}


def test_the_whole_shape_is_made_and_then_stays_as_it_is(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    assert apply("--dry-run", **EXAMPLE).status == 3
    assert services.clients.get(tenant.id, "web") is None, "a dry run changes nothing"
    assert apply(**EXAMPLE).status == 0
    client = services.clients.get(tenant.id, "web")
    assert client is not None
    assert services.client_secrets.verify(SECRET, client.secret_hash)
    assert services.tenants.by_id(tenant.id).settings.tokens.access_seconds == 600  # type: ignore[union-attr]
    assert services.resources.all(tenant.id)["https://api.example.com"].scopes["read"].description
    with services.tenancy.session(tenant.id) as session:
        alice = session.scalars(select(User)).one()
    assert alice.email_verified
    assert services.passwords.verify("correct-horse-battery", alice.password_hash or "").ok
    again = apply("--dry-run", **EXAMPLE)
    assert (again.status, again.out) == (0, "Nothing to change.\n")


def test_an_initial_password_may_be_for_the_first_sign_in_alone(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    """Whoever replaced it is not asked again by the same file."""
    entry = {"username": "alice", "password": "correct-horse-battery", "must_change_password": True}
    assert apply(users=[entry]).status == 0
    with services.tenancy.session(tenant.id, write=True) as session:
        alice = session.scalars(select(User)).one()
        assert alice.must_change_password
        alice.must_change_password = False
    assert apply("--dry-run", users=[entry]).out == "Nothing to change.\n"
    assert apply(users=[{**entry, "email": "a@example.com"}]).status == 0
    with services.tenancy.session(tenant.id) as session:
        assert not session.scalars(select(User)).one().must_change_password


def test_what_is_absent_stays_and_lists_replace(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    apply(**EXAMPLE)
    apply(clients=[{"client_id": "web", "scope": "openid"}], users=[{"username": "ALICE", "groups": []}])
    client = services.clients.get(tenant.id, "web")
    assert client is not None
    assert client.scopes == {"openid"}
    assert client.redirect_uris == ("http://127.0.0.1:9999/cb",)
    with services.tenancy.session(tenant.id) as session:
        alice = session.scalars(select(User)).one()
    assert (alice.email, alice.claims) == ("alice@example.com", {"name": "Alice Adams"})


def test_another_number_is_verified_only_where_the_file_says_so(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    def claims(**given: Any) -> dict[str, Any]:
        assert apply(users=[{"username": "alice", "claims": given}]).status == 0
        with services.tenancy.session(tenant.id) as session:
            return dict(session.scalars(select(User)).one().claims)

    first = {"phone_number": "+491701234567", "phone_number_verified": True}
    assert claims(**first) == first
    assert claims(phone_number="+491701234567") == first
    assert claims(phone_number="+491709999999") == {"phone_number": "+491709999999"}
    assert claims(**first) == first


def test_passwords_are_for_new_people_alone(apply: Any, services: Services, tenant: TenantContext) -> None:
    apply(**EXAMPLE)
    done = apply(users=[{"username": "alice", "password": "another-horse-battery"}])
    assert done.out == "Nothing to change.\n"
    with services.tenancy.session(tenant.id) as session:
        stored = session.scalars(select(User.password_hash)).one()
    assert services.passwords.verify("correct-horse-battery", stored or "").ok


def test_a_different_secret_rotates_and_the_same_does_not(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    apply(**EXAMPLE)
    new = "another-secret-of-more-than-32-characters"
    assert apply("--json", clients=[{"client_id": "web", "client_secret": new}]).json["changes"] == [
        {
            "action": "update",
            "kind": "client",
            "tenant": tenant.slug,
            "name": "web",
            "members": ["client_secret"],
        }
    ]
    client = services.clients.get(tenant.id, "web")
    assert client is not None
    assert services.client_secrets.verify(new, client.secret_hash)
    assert not services.client_secrets.verify(SECRET, client.secret_hash)
    assert client.has_former_secret
    assert services.client_secrets.verify(SECRET, client.former_secret_hash)
    assert apply("--dry-run", clients=[{"client_id": "web", "client_secret": new}]).status == 0


def test_a_former_secret_ends_at_once_where_the_tenant_says_so(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    apply(**{**EXAMPLE, "settings": {"keys": {"client_secret_grace_seconds": 0}}})
    apply(clients=[{"client_id": "web", "client_secret": "another-secret-of-more-than-32-characters"}])
    client = services.clients.get(tenant.id, "web")
    assert client is not None
    assert not client.has_former_secret
    assert client.former_secret_hash is None


def test_a_sector_has_to_agree(apply: Any) -> None:
    """`sector_identifier_uri` is read before a client with pairwise subjects is registered."""
    pairwise = {
        "client_id": "paired",
        "redirect_uris": ["https://a.example/cb", "https://b.example/cb"],
        "subject_type": "pairwise",
        "sector_identifier_uri": "https://127.0.0.1:9/sector.json",
    }
    refused = apply(clients=[pairwise])
    assert refused.status == 1
    assert "sector_identifier_uri: its document cannot be read" in refused.err
    assert "fetch.address" in refused.err


def test_a_missing_secret_is_made_and_shown_once(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    machine = {"client_id": "m2m", "grant_types": ["client_credentials"]}
    (shown,) = apply("--json", clients=[machine]).json["client_secrets"]
    client = services.clients.get(tenant.id, "m2m")
    assert client is not None
    assert services.client_secrets.verify(shown["client_secret"], client.secret_hash)
    assert apply("--json", clients=[machine]).json["client_secrets"] == []


def test_a_secret_for_hs256_is_sealed(apply: Any, services: Services, tenant: TenantContext) -> None:
    signs = {
        "client_id": "signs",
        "client_secret": SECRET,
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "client_secret_jwt",
    }
    assert apply(clients=[signs]).status == 0
    client = services.clients.get(tenant.id, "signs")
    assert client is not None
    assert client.secret_sealed is not None
    assert services.client_secrets.open(tenant.id, "signs", client.secret_sealed) == SECRET.encode()
    assert apply("--dry-run", clients=[signs]).status == 0
    weak = apply(clients=[signs | {"client_secret": "short"}])
    assert weak.status == 1
    assert "32 bytes" in weak.err


def test_a_short_secret_is_not_taken_silently(apply: Any) -> None:
    """This deployment's base URL is a loopback one, where it is taken at all."""
    web = {"client_id": "web", "client_secret": "abc", "redirect_uris": ["https://app.example/cb"]}
    done = apply(clients=[web])
    assert done.status == 0
    assert "a server others reach refuses fewer than 32" in done.err
    assert "Note" not in apply(clients=[web | {"client_secret": SECRET}]).err


def test_a_scope_nobody_has_is_told_with_the_one_that_was_meant(apply: Any) -> None:
    web = {"client_id": "web", "redirect_uris": ["https://app.example/cb"], "scope": "openid profil"}
    done = apply(clients=[web])
    assert done.status == 0
    assert "has the scope profil: nobody can be granted it; did you mean profile?" in done.err


def test_a_public_client_loses_its_secret(apply: Any, services: Services, tenant: TenantContext) -> None:
    apply(**EXAMPLE)
    done = apply(clients=[{"client_id": "web", "token_endpoint_auth_method": "none"}])
    assert "the secret of web works no more: it authenticates with none" in done.err
    client = services.clients.get(tenant.id, "web")
    assert client is not None
    assert client.is_public
    assert client.secret_hash is None


def test_absent_deletes_and_takes_back(apply: Any, services: Services, tenant: TenantContext) -> None:
    apply(**EXAMPLE)
    gone = apply(
        clients=[{"client_id": "web", "state": "absent"}, {"client_id": "never", "state": "absent"}],
        users=[{"username": "alice", "state": "absent"}],
    )
    assert [line[:1] for line in gone.out.splitlines()] == ["-", "-", "2"]
    with services.tenancy.session(tenant.id) as session:
        assert session.scalars(select(User)).all() == []
        assert session.scalars(select(Client)).all() == []


def test_a_client_made_anew_is_not_taken_for_the_one_that_was_deleted(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    """What was issued to the deleted one stays revoked, what the new one is issued is good."""
    apply(**EXAMPLE)
    apply(clients=[{"client_id": "web", "state": "absent"}])
    apply(**EXAMPLE)
    client = services.clients.get(tenant.id, "web")
    assert client is not None
    assert client.epoch == 1


def test_prune_deletes_what_the_lists_do_not_name(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    apply(**EXAMPLE)
    apply("--prune", clients=[], roles=[{"name": "member"}])
    assert services.clients.get(tenant.id, "web") is None
    with services.tenancy.session(tenant.id) as session:
        assert session.scalars(select(User.username)).all() == ["alice"], "no list of users, none deleted"


def test_prune_leaves_built_in_roles_and_the_last_super_admin(apply: Any) -> None:
    apply(users=[{"username": "root", "roles": ["super_admin"]}, {"username": "other"}])
    done = apply("--prune", users=[], roles=[], groups=[])
    assert done.out.splitlines()[0].endswith("user other")
    assert "kept root" in done.err
    assert (
        apply(
            "--dry-run", roles=[{"name": "super_admin"}, {"name": "admin"}], users=[{"username": "root"}]
        ).status
        == 0
    )


def test_prune_deletes_a_super_admin_when_another_is_left(apply: Any) -> None:
    apply(users=[{"username": "old", "roles": ["super_admin"]}])
    done = apply("--prune", users=[{"username": "new", "roles": ["super_admin"]}])
    assert [line[0] for line in done.out.splitlines()] == ["+", "-", "2"]


@pytest.mark.parametrize("change", [{"roles": []}, {"state": "absent"}])
def test_the_last_super_admin_is_not_lost(apply: Any, change: dict[str, Any]) -> None:
    apply(users=[{"username": "root", "roles": ["super_admin"]}])
    refused = apply(users=[{"username": "root", **change}])
    assert refused.status == 1
    assert "without a super_admin" in refused.err


def test_one_fault_and_nothing_is_applied(apply: Any, services: Services, tenant: TenantContext) -> None:
    refused = apply(roles=[{"name": "fine"}], users=[{"username": "bob", "roles": ["ghost"]}])
    assert refused.status == 1
    assert refused.out == ""
    assert apply("--dry-run", roles=[{"name": "fine"}]).status == 3
    with services.tenancy.session(tenant.id) as session:
        assert session.scalars(select(OutboxMessage)).all() == []


def test_faults_name_file_line_and_key_all_at_once(
    watchword: Watchword, tenant: TenantContext, tmp_path: Path
) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(
        f"""\
tenants:
  - slug: {tenant.slug}
    roles:
      - name: admin
        permissions: [everything]
    users:
      - username: bob
        email: nowhere
        password: short
        roles: [ghost]
        claims: {{iss: https://evil.example}}
    clients:
      - client_id: web
        redirect_uris: [https://app.example/cb]
        allowed_groups: [ghosts]
"""
    )
    refused = watchword("apply", str(file))
    told = [line.removeprefix(f"{file}:") for line in refused.err.splitlines()]
    assert refused.status == 1
    assert [line.partition(": ")[0] + " " + line.split(": ")[1] for line in told] == [
        "4 tenants[0].roles[0]",
        "8 tenants[0].users[0].email",
        "9 tenants[0].users[0].password",
        "10 tenants[0].users[0].roles[0]",
        "11 tenants[0].users[0].claims.iss",
        "15 tenants[0].clients[0].allowed_groups",
    ]


def test_values_from_the_environment_and_from_files(
    watchword: Watchword,
    tenant: TenantContext,
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THE_SECRET", SECRET)
    monkeypatch.setenv("THE_SECONDS", "120")
    (tmp_path / "uris.json").write_text('["https://app.example/cb"]\n')
    file = tmp_path / "apply.yaml"
    file.write_text(
        f"""\
tenants:
  - slug: {tenant.slug}
    clients:
      - client_id: web
        client_secret: {{env: THE_SECRET}}
        access_token_seconds: {{env: THE_SECONDS}}
        redirect_uris: {{file: uris.json}}
"""
    )
    assert watchword("apply", str(file)).status == 0
    client = services.clients.get(tenant.id, "web")
    assert client is not None
    assert services.client_secrets.verify(SECRET, client.secret_hash)
    assert (client.access_token_seconds, client.redirect_uris) == (120, ("https://app.example/cb",))
    monkeypatch.delenv("THE_SECRET")
    missing = watchword("apply", str(file))
    assert (
        missing.err
        == f"{file}:5: tenants[0].clients[0].client_secret: the environment has no variable THE_SECRET\n"
    )


def test_a_new_tenant_has_roles_and_keys_and_can_be_deleted(
    apply: Any, services: Services, watchword: Watchword
) -> None:
    from app.domain.first_start import ensure_default_tenant

    ensure_default_tenant(services.tenancy, services.keyring)
    slug = "made-by-apply"
    assert apply(slug=slug, users=[{"username": "root", "roles": ["super_admin"]}]).status == 0
    made = services.tenants.by_slug(slug)
    assert made is not None
    assert {key.state for key in services.keyring.list(made.id)} == {"current", "next"}
    assert apply(slug=slug, state="absent").status == 0
    assert services.tenants.by_slug(slug) is None
    kept = apply(slug="default", state="absent")
    assert kept.status == 1
    assert "cannot be deleted" in kept.err


def test_a_tenant_the_file_creates_is_pointed_out(
    apply: Any, services: Services, tenant: TenantContext
) -> None:
    """As likely as not its slug is a slip."""
    from app.domain.first_start import ensure_default_tenant

    ensure_default_tenant(services.tenancy, services.keyring)
    slip = f"{tenant.slug}x"
    told = f"there is no tenant {slip} yet: this file creates it; did you mean {tenant.slug}?"
    assert told in apply("--dry-run", slug=slip).err
    done = apply(slug=slip)
    assert told in done.err
    assert f"+ tenant {slip}" in done.out
    assert apply(slug=slip).err == ""
    assert apply(slug=slip, state="absent").status == 0


def test_every_change_is_on_record(apply: Any, services: Services, tenant: TenantContext) -> None:
    apply(**EXAMPLE)
    with services.tenancy.session(tenant.id) as session:
        told = outbox_rows.events(session)
    assert {event["event"] for event in told} == {
        "tenant.updated",
        "role.created",
        "group.created",
        "role.assigned",
        "resource.created",
        "client.created",
        "user.created",
        "group.member.added",
    }
    assert all(event["data"]["via"] == "apply" for event in told)
    assert SECRET not in json.dumps(told)
    assert "correct-horse" not in json.dumps(told)


def test_two_people_cannot_have_one_name(apply: Any) -> None:
    apply(**EXAMPLE)
    taken = apply(users=[{"username": "Alice@Example.com"}])
    assert taken.status == 1
    assert "somebody else's" in taken.err


def test_standard_input_and_no_file(watchword: Watchword, tenant: TenantContext) -> None:
    assert (
        watchword("apply", "-", stdin=f"tenants: [{{slug: {tenant.slug}, roles: [{{name: x}}]}}]").status == 0
    )
    assert watchword("apply").status == 2
    missing = watchword("apply", "no/such/file.yaml")
    assert missing.status == 1
    assert "cannot read no/such/file.yaml" in missing.err
    assert watchword("apply", "-", stdin="tenants: [").err.startswith("standard input:1: ")
