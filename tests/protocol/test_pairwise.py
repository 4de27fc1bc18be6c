"""Pairwise subjects (OpenID Connect Core section 8): another name for a person at every sector, one in all we say."""

from typing import Any

import pytest
from flask import Flask

from app.domain import grants
from app.domain.client_metadata import DEVICE_CODE
from app.domain.sectors import Sectors
from app.infra.fetch import Fetcher
from app.kernel.errors import Problem
from app.protocols.oauth import hints
from app.web.services import Services
from tests.protocol.browserless import Person, new_person, new_public_client
from tests.protocol.key_server import KeyServer
from tests.protocol.registrations import Registry
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]


def test_one_name_in_everything_a_client_sees(side: TokenSide) -> None:
    """Section 5.3.2: the `sub` of UserInfo is that of the ID token; so are those of tokens and introspection."""
    party, user = side.client(subject_type="pairwise"), side.user()
    found = side.tokens(party, user, "openid offline_access")
    names = {
        side.read(found["id_token"]).claims["sub"],
        side.read(found["access_token"]).claims["sub"],
        side.userinfo(found["access_token"]).json["sub"],
        side.introspect(party, found["access_token"])["sub"],
        side.introspect(party, found["refresh_token"])["sub"],
        side.read(side.refresh(party, found["refresh_token"]).json["id_token"]).claims["sub"],
    }
    assert len(names) == 1
    assert user not in names


def test_sectors_are_told_apart_and_clients_of_one_are_not(side: TokenSide) -> None:
    """Section 8.1: the host of the redirect URIs, or of `sector_identifier_uri`."""
    user = side.user()

    def sub(**metadata: Any) -> str:
        party = side.client(subject_type="pairwise", **metadata)
        return str(side.read(side.tokens(party, user, "openid")["id_token"]).claims["sub"])

    first = sub()
    assert sub() == first, "the same host"
    elsewhere = sub(sector_identifier_uri="https://other.example/sector.json")
    assert elsewhere != first
    assert sub(sector_identifier_uri="https://other.example/elsewhere.json") == elsewhere
    public = side.client()
    assert side.read(side.tokens(public, user, "openid")["id_token"]).claims["sub"] == user


def test_tokens_of_people_with_pairwise_names_are_revoked_with_them(side: TokenSide) -> None:
    party, user = side.client(subject_type="pairwise"), side.user()
    token = side.tokens(party, user, "openid")["access_token"]
    assert side.introspect(party, token)["active"] is True
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        side.services.revocations.revoke_user(session, side.tenant.id, user)
    assert side.introspect(party, token) == {"active": False}
    refused(side.userinfo(token), "invalid_token", 401)


def test_our_own_api_knows_who_is_meant(side: TokenSide) -> None:
    party, user = side.client(subject_type="pairwise", scope="openid watchword:read"), side.user()
    token = side.tokens(party, user, "openid watchword:read")["access_token"]
    answer = side.http.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer.json["email"].endswith("@example.com")


def test_hints_name_the_person(side: TokenSide) -> None:
    party, user = side.client(subject_type="pairwise"), side.user()
    found = side.tokens(party, user, "openid")
    hint = hints.read(found["id_token"], side.tenant, side.services.keyring)
    assert hint is not None
    assert hint.user_id == user


def test_a_hint_keeps_silent_sign_in_going(side: TokenSide) -> None:
    """`prompt=none` with the ID token of a pairwise client: the person is recognised."""
    new_person(side.services, side.tenant, "pairwise-alice")
    new_public_client(side.services, side.tenant, "pairwise-app", subject_type="pairwise", first_party=True)
    person = Person(side.http, "pairwise-alice")
    id_token = person.tokens("pairwise-app")["id_token"]
    again = person.through("pairwise-app", prompt="none", id_token_hint=id_token)
    assert "code" in again.parameters, again.parameters


def test_several_hosts_need_a_sector_document() -> None:
    from app.domain.client_metadata import validate

    uris = ["https://a.example/cb", "https://b.example/cb"]
    with pytest.raises(Problem, match="sector_identifier_uri is needed"):
        validate({"redirect_uris": uris, "subject_type": "pairwise"})
    validate({"redirect_uris": uris[:1], "subject_type": "pairwise"})


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (["https://a.example/cb", "https://b.example/cb"], None),
        (["https://a.example/cb"], "does not list https://b.example/cb"),
        ({"uris": []}, "no JSON array"),
        ([1], "no JSON array"),
    ],
)
def test_the_sector_document_has_every_redirect_uri(document: Any, word: str | None) -> None:
    """Section 8.1; asked once for any number of clients, and not again for what did not change."""
    with KeyServer(document) as server:
        metadata = {
            "redirect_uris": ["https://a.example/cb", "https://b.example/cb"],
            "sector_identifier_uri": server.url,
        }
        sectors = Sectors(Fetcher(("127.0.0.1/32",)))
        if word is None:
            sectors.check(metadata)
            sectors.check(metadata)
            assert server.asked == 1
        else:
            with pytest.raises(Problem, match=word):
                sectors.check(metadata)
        Sectors(Fetcher()).check(metadata, dict(metadata))
        with pytest.raises(Problem, match=r"fetch\."):
            Sectors(Fetcher()).check(metadata)


def test_a_changed_grant_keeps_the_name(side: TokenSide) -> None:
    """The name comes of the person and the sector, and is stored nowhere."""
    party, user = side.client(subject_type="pairwise"), side.user()
    code = side.code(party, user, "openid")
    first = side.read(side.post("/token", code.form(), party).json["id_token"]).claims["sub"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        grants.revoke(session, side.tenant.id, code.grant_id, "test", log=side.services.revocations)
    again = side.read(side.tokens(party, user, "openid")["id_token"]).claims["sub"]
    assert again == first


ELSEWHERE: list[dict[str, Any]] = [
    {"grant_types": ["authorization_code", DEVICE_CODE]},
    {"grant_types": [DEVICE_CODE], "response_types": [], "token_endpoint_auth_method": "none"},
    {"backchannel_logout_uri": "https://stranger.example/out"},
    {"redirect_uris": ["com.stranger.app://rp.example/cb"]},
    {"redirect_uris": ["http://127.0.0.1/cb"]},
    {"redirect_uris": [], "grant_types": [DEVICE_CODE], "response_types": []},
]


@pytest.mark.parametrize("members", ELSEWHERE)
def test_whoever_registers_is_in_no_sector_by_saying_so(
    services: Services, app: Flask, members: dict[str, Any]
) -> None:
    """Whoever learns of people elsewhere than at a redirect URI gets a name of their own for them (section 8.1)."""
    registry = Registry.open(services, app)

    def sector(**said: Any) -> str | None:
        made = registry.register(subject_type="pairwise", **said)
        found = services.clients.get(registry.tenant.id, made.client_id)
        assert found is not None
        return str(found.sector).replace(made.client_id, "ITSELF")

    inside = {"backchannel_logout_uri": "https://rp.example/out", "redirect_uris": ["https://rp.example/any"]}
    assert sector() == sector(**inside) == "rp.example"
    assert sector(**members) == "client:ITSELF"


def test_what_an_administrator_says_of_redirect_uris_is_so(side: TokenSide) -> None:
    party = side.client(
        subject_type="pairwise", grant_types=["authorization_code", DEVICE_CODE], response_types=["code"]
    )
    found = side.services.clients.get(side.tenant.id, party.client_id)
    assert found is not None
    assert found.sector == "app.example"


@pytest.mark.parametrize("members", ELSEWHERE[:2] + ELSEWHERE[-1:])
def test_nobody_gets_a_sectors_names_without_its_redirects(
    services: Services, app: Flask, members: dict[str, Any]
) -> None:
    """The document is public, and so is every redirect URI in it."""
    registry = Registry.open(services, app)
    with KeyServer(["https://rp.example/cb"]) as server:
        said = {"subject_type": "pairwise", "sector_identifier_uri": server.url, **members}
        answer = registry.post(**said)
    refused(answer, "invalid_client_metadata")
    assert "sector_identifier_uri" in answer.json["error_description"]
    assert server.asked == 0
