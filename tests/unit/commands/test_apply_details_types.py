"""Types of authorization details in the apply file."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.unit.commands.conftest import Done, Watchword

PAYMENT: dict[str, Any] = {
    "type": "payment",
    "resource": "https://api.example.com/",
    "schema": {"properties": {"amount": {"type": "string"}}, "required": ["amount"]},
    "words": {"en": "Pay {amount}"},
}
API = {"identifier": "https://api.example.com"}
CLIENT = {
    "client_id": "web",
    "redirect_uris": ["http://127.0.0.1:9999/cb"],
    "token_endpoint_auth_method": "none",
    "authorization_details_types": ["payment"],
}


@pytest.fixture
def apply(watchword: Watchword, tenant: TenantContext, tmp_path: Path) -> Any:
    def run(*options: str, **sections: Any) -> Done:
        file = tmp_path / "apply.json"
        file.write_text(json.dumps({"tenants": [{"slug": tenant.slug, **sections}]}))
        return watchword("apply", str(file), *options)

    return run


def test_made_changed_and_deleted(apply: Any, services: Services, tenant: TenantContext) -> None:
    assert apply(resources=[API], authorization_details_types=[PAYMENT], clients=[CLIENT]).status == 0
    services.versions.touch()
    found = services.details_types.all(tenant.id)["payment"]
    assert found.resource == "https://api.example.com"
    assert found.accepts({"type": "payment", "amount": "1"})
    assert not found.accepts({"type": "payment"})
    assert apply("--dry-run", authorization_details_types=[PAYMENT]).status == 0
    more = {"type": "payment", "always_ask": True, "words": {"en": "Send {amount}"}}
    changed = apply("--json", authorization_details_types=[more]).json["changes"]
    assert [(c["action"], c["kind"], c["members"]) for c in changed] == [
        ("update", "details_type", ["words", "always_ask"])
    ]
    assert (
        apply(
            clients=[{"client_id": "web", "state": "absent"}],
            authorization_details_types=[{"type": "payment", "state": "absent"}],
        ).status
        == 0
    )
    services.versions.touch()
    assert services.details_types.all(tenant.id) == {}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"type": "a"}, "at least one sentence"),
        ({"type": "a", "words": {"en": "x"}, "schema": {"$ref": "https://evil.example"}}, "$ref"),
        ({"type": "a", "words": {"en": "x {"}}, "braces"),
        ({"type": "a", "words": {"en": "x"}, "resource": "https://nobody.example"}, "there is no resource"),
    ],
)
def test_faults_are_named(apply: Any, entry: dict[str, Any], said: str) -> None:
    done = apply(authorization_details_types=[entry])
    assert done.status == 1
    assert said in done.err


def test_client_names_a_type_there_is(apply: Any) -> None:
    done = apply(clients=[CLIENT])
    assert done.status == 1
    assert "no type of authorization details payment" in done.err
