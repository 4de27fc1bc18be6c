"""A tenant's profile: what may be in it, and who may put it there."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.domain import profile
from app.domain.profile import ProfileFaults
from app.domain.tenant_settings import PeopleSettings, ProfileAttribute, TenantSettings

ATTRIBUTES = {
    "name": ProfileAttribute(required=True, max_length=20),
    "team": ProfileAttribute(choices=("red", "blue"), claim="organization"),
    "age": ProfileAttribute(type="integer"),
    "since": ProfileAttribute(type="date"),
    "site": ProfileAttribute(type="url"),
    "note": ProfileAttribute(type="text"),
    "news": ProfileAttribute(type="boolean"),
    "badge": ProfileAttribute(editable_by="admin"),
    "hidden": ProfileAttribute(visible=False),
    "telephone": ProfileAttribute(claim="phone_number"),
}


def changed(given: dict[str, Any], by: str = profile.PERSON, **stored: Any) -> dict[str, Any]:
    return profile.changed(ATTRIBUTES, stored, given, by=by)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"name": " Alice "}, {"name": "Alice"}),
        ({"team": "red"}, {"organization": "red"}),
        ({"age": "42"}, {"age": 42}),
        ({"since": "2026-05-04"}, {"since": "2026-05-04"}),
        ({"site": "https://example.com/a"}, {"site": "https://example.com/a"}),
        ({"note": "one\ntwo"}, {"note": "one\ntwo"}),
        ({"news": "on"}, {"news": True}),
        ({"news": False}, {"news": False}),
    ],
)
def test_values_are_kept_in_their_type_under_their_claim(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert changed(given) == kept


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"name": ""}, "missing"),
        ({"name": "x" * 21}, "length"),
        ({"name": "a\u202eb"}, "type"),
        ({"name": 7}, "type"),
        ({"team": "green"}, "choice"),
        ({"age": "4.5"}, "type"),
        ({"age": True}, "type"),
        ({"since": "04.05.2026"}, "type"),
        ({"site": "javascript:alert(1)"}, "type"),
        ({"site": "http://example.com"}, "type"),
        ({"site": "https://"}, "type"),
        ({"news": "perhaps"}, "type"),
        ({"badge": "7"}, "not_yours"),
        ({"hidden": "x"}, "not_yours"),
        ({"role": "admin"}, "unknown"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ProfileFaults) as caught:
        changed(given)
    assert list(caught.value.faults.values()) == [fault]


def test_administrators_change_what_is_theirs_and_empty_text_removes() -> None:
    assert changed({"badge": "7", "hidden": "x"}, profile.ADMIN) == {"badge": "7", "hidden": "x"}
    assert changed({"team": ""}, organization="red", other=1) == {"other": 1}


def test_only_what_the_person_may_fill_in_is_missing() -> None:
    assert profile.missing(ATTRIBUTES, {}, by=profile.PERSON) == ["name"]
    assert profile.missing({}, {}, by=profile.PERSON) == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"sub": {}},
        {"email": {}},
        {"x": {"claim": "roles"}},
        {"a": {"claim": "same"}, "same": {}},
        {"Upper": {}},
        {"a": {"type": "secret"}},
    ],
)
def test_attributes_cannot_be_what_others_rely_on(attributes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PeopleSettings.model_validate({"attributes": attributes})


def test_registration_by_domain_needs_domains() -> None:
    with pytest.raises(ValidationError):
        TenantSettings.model_validate({"registration": {"people": "domain"}})


@pytest.mark.parametrize("by", [profile.PERSON, profile.ADMIN])
@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("+491701234567", True),
        (" +491701234567 ", True),
        ("+491709999999", False),
        ("", False),
        (None, False),
    ],
)
def test_another_number_is_not_verified_because_the_former_was(given: Any, is_kept: bool, by: str) -> None:
    """OIDC Core section 5.1: what was verified is the value of `phone_number`."""
    stored = {"phone_number": "+491701234567", "phone_number_verified": True}
    found = changed({"telephone": given}, by, **stored)
    assert found.get("phone_number_verified", False) is is_kept
    assert changed({"note": "x"}, by, **stored)["phone_number_verified"] is True
