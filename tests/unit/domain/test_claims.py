"""Claims by scope (OIDC Core section 5.4) and the claim mapper."""

import pytest
from pydantic import ValidationError

from app.domain import claims
from app.domain.access.rbac import Access
from app.domain.claims import ClaimRule
from app.domain.models import User
from app.kernel import clock

ACCESS = Access(
    frozenset({"admin", "member"}), frozenset({"eng-a", "eng-b", "ops"}), frozenset({"documents:read"})
)


def alice() -> User:
    return User(
        id="sub-1",
        username="alice",
        email="alice@example.com",
        email_verified=True,
        claims={"name": "Alice", "sub": "forged", "department": "R&D", "nickname": None},
        updated_at=clock.now(),
    )


def test_scopes_release_their_claims_and_no_others() -> None:
    everything = claims.person(alice(), ACCESS)
    assert claims.released(everything, ["openid"]) == {}
    assert claims.released(everything, ["email"]) == {"email": "alice@example.com", "email_verified": True}
    assert claims.released(everything, ["profile"])["preferred_username"] == "alice"
    assert "nickname" not in claims.released(everything, ["profile"])
    assert claims.released(everything, ["openid"], ["name", "department", "sub"]) == {"name": "Alice"}


def test_a_persons_own_claims_cannot_forge_the_subject() -> None:
    assert claims.person(alice(), ACCESS)["sub"] == "sub-1"


def mapped(*rules: ClaimRule) -> dict[str, object]:
    return claims.map_claims(
        {"groups": ["x"]}, rules, everything=claims.person(alice(), ACCESS), access=ACCESS, tenant_id="t1"
    )


def test_the_mapper_adds_renames_filters_and_removes() -> None:
    found = mapped(
        ClaimRule(claim="tier", value="gold"),
        ClaimRule(claim="dept", user="department"),
        ClaimRule(claim="teams", source="groups", match=("eng-*",)),
        ClaimRule(claim="groups", remove=True),
        ClaimRule(claim="nowhere", user="no_such"),
    )
    assert found == {"tier": "gold", "dept": "R&D", "teams": ["eng-a", "eng-b"]}


def test_presets_give_the_shapes_other_providers_issue() -> None:
    assert mapped(ClaimRule(preset="keycloak"))["realm_access"] == {"roles": ["admin", "member"]}
    assert mapped(ClaimRule(preset="cognito"))["cognito:groups"] == ["eng-a", "eng-b", "ops"]


@pytest.mark.parametrize("claim", sorted(claims.PROTECTED_CLAIMS))
def test_no_mapper_sets_what_security_is_decided_by(claim: str) -> None:
    with pytest.raises(ValidationError):
        ClaimRule(claim=claim, value="x")
    with pytest.raises(ValidationError):
        ClaimRule(claim=f"{claim}.inner", value="x")


@pytest.mark.parametrize("rule", [{"claim": "x"}, {"claim": "x", "value": 1, "user": "y"}, {"value": 1}, {}])
def test_a_rule_does_exactly_one_thing(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClaimRule.model_validate(rule)
