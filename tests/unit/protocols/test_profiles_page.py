"""The table of `docs/explanation/profiles.md` says of each profile what the code holds its clients to."""

import dataclasses
from collections.abc import Callable

import pytest

from app.protocols.oauth.profiles import ANY_ENDPOINT, ISSUER_TEXT, PROFILES, Profile
from tests.docs import pages

PAGE = pages.page("docs/explanation/profiles.md")
MEMBERS: dict[str, tuple[str, Callable[[Profile], bool], str]] = {
    "pkce_from_confidential": (
        "PKCE from a confidential client",
        lambda p: p.pkce_from_confidential,
        "required",
    ),
    "auth_methods": ("client authentication", lambda p: p.auth_methods is None, "as registered"),
    "assertion_audience": (
        "`aud` of a client assertion",
        lambda p: p.assertion_audience == ANY_ENDPOINT,
        "also the token endpoint",
    ),
    "algorithms": ("algorithms", lambda p: p.algorithms is None, "any this server knows"),
    "pushed": ("authorization requests", lambda p: not p.pushed, "plain"),
    "signed_requests": (
        "authorization requests",
        lambda p: p.signed_requests,
        "pushed and signed",
    ),
    "merges_request_objects": (
        "parameters beside a request object",
        lambda p: p.merges_request_objects,
        "used where",
    ),
    "by_reference": ("request by reference (`request_uris`)", lambda p: p.by_reference, "allowed"),
    "signed_responses": ("authorization responses", lambda p: p.signed_responses, "signed"),
    "front_channel_tokens": (
        "tokens in the authorization response",
        lambda p: not p.front_channel_tokens,
        "never",
    ),
    "sender_constrained": ("access tokens", lambda p: p.sender_constrained, "bound: DPoP or mutual TLS"),
    "rotates_refresh_tokens": ("refresh tokens", lambda p: p.rotates_refresh_tokens, "rotate"),
    "secure_redirects": ("redirect URIs", lambda p: p.secure_redirects, "https or an app's scheme"),
}
"""A member of a profile, the row it has, when the cell begins with the words, and the words."""


def cells(row: str) -> dict[str, str]:
    """What a row says of each profile; "the same" is what stands before it."""
    rows = [line.strip("|").split(" | ") for line in PAGE.text.splitlines() if line.startswith("| ")]
    heads = next(found for found in rows if "`oauth2.1`" in found[1:2])
    said = next(found for found in rows if found[0].strip().startswith(row))
    texts: list[str] = []
    for cell in said[1:]:
        texts.append(texts[-1] if cell.strip() == "the same" else cell.strip())
    return dict(zip([head.strip(" `") for head in heads[1:]], texts, strict=True))


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("member", MEMBERS)
def test_each_cell(member: str, name: str) -> None:
    row, holds, words = MEMBERS[member]
    assert cells(row)[name].startswith(words) is holds(PROFILES[name]), cells(row)[name]


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_request_object_has_to_say(name: str) -> None:
    said, wanted = cells("a request object has to say")[name], PROFILES[name].request_object_claims
    assert said == " ".join(f"`{claim}`" for claim in wanted) if wanted else said.startswith("nothing")
    assert ("not as a list" in cells("`aud` of a client assertion")[name]) is (
        PROFILES[name].assertion_audience == ISSUER_TEXT
    )


def test_no_member_is_left_out() -> None:
    members = {field.name for field in dataclasses.fields(Profile)} - {"name", "request_object_claims"}
    assert members == set(MEMBERS)
