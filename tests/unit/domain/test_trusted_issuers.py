"""What may be said of a trusted issuer, and how its tokens' claims are compared with its rules."""

from typing import Any

import pytest

from app.domain.claim_match import matches
from app.domain.trusted_issuers import validate
from app.kernel.errors import Problem

POD = {"kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "orders"}}, "groups": ["a", "b"]}
RULE = {"name": "r", "match": {"sub": "x"}, "client": "c"}
PERSON = {"name": "r", "match": {"sub": "x"}, "user": "a", "scopes": ["read"]}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"kubernetes.io/namespace": "prod"}, True),
        ({"kubernetes.io/namespace": "pro"}, False),
        ({"kubernetes.io/serviceaccount/name": "ord*"}, True),
        ({"kubernetes.io/serviceaccount/name/x": "*"}, False),
        ({"kubernetes.io/namespace": ["test", "prod"]}, True),
        ({"groups": "b"}, True),
        ({"groups": "c"}, False),
        ({"missing": "*"}, False),
        ({"kubernetes.io": "*"}, False),
        ({"https://a.example/claim": "v"}, True),
        ({"flag": True}, True),
        ({"flag": 1}, False),
        ({"number": 7}, True),
        ({"number": "7"}, False),
        ({"text": "a.c"}, False),
        ({"text": "*b*"}, True),
        ({"sub": "x", "text": "abc"}, False),
    ],
)
def test_claims_are_compared(wanted: dict[str, Any], expected: bool) -> None:
    """A star stands for anything; nothing else in a pattern is special; a number is no text and no truth value."""
    claims = {**POD, "https://a.example/claim": "v", "flag": True, "number": 7, "text": "abc"}
    assert matches(claims, wanted) is expected


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    assert not matches({"sub": "a" * 5000}, {"sub": "*" * 400 + "a*a*a*b"})


@pytest.mark.parametrize(
    ("definition", "word"),
    [
        ({"rules": [{**RULE, "user": "alice"}]}, "exactly one"),
        ({"rules": [{"name": "r", "match": {"sub": "x"}}]}, "exactly one"),
        ({"rules": [{**RULE, "match": {}}]}, "everybody"),
        ({"rules": [{**RULE, "match": {"sub": "*"}}]}, "everybody"),
        ({"rules": [{"name": "r", "match": {"sub": "x"}, "user": "alice"}]}, "scopes"),
        (
            {"rules": [{**PERSON, "client_authentication": "none"}]},
            "client_authentication",
        ),
        ({"jwks_uri": "http://ci.example/jwks"}, "https"),
        ({"jwks": {"keys": []}}, "jwks"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}, "private or symmetric"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://ci.example/jwks"}, "exclude"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"max_seconds": 5}, "max_seconds"),
        ({"nonsense": 1}, "nonsense"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(definition: dict[str, Any], word: str) -> None:
    with pytest.raises(Problem, match=word):
        validate(definition)


def test_only_what_was_said_is_kept() -> None:
    assert validate({"single_use": False}) == {"single_use": False}
