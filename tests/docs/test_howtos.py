"""The how-to pages, done: their apply files are applied, their code is run, their commands are typed."""

import json
import re
from collections.abc import Mapping
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.requests_client import OAuth2Session
from joserfc.errors import JoseError

from tests.docs import pages
from tests.docs.conftest import PASSWORD, ReaderOf
from tests.docs.newcomer import Folder, apply, apply_anew, printed_secret
from tests.live import LiveServer
from tests.person import Page, Person
from tests.receiver import Receiver
from tests.servers import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

VERIFIER = "v" * 43
APPLIED = [page.name for page in pages.written_by_hand() if page.of("yaml")]


def discovery(live: LiveServer) -> dict[str, Any]:
    found: dict[str, Any] = live.get("/.well-known/openid-configuration").json()
    return found


def signed_in(
    live: LiveServer, person: Person, client_id: str, secret: str | None, redirect_uri: str, scope: str
) -> dict[str, Any]:
    """Sign in as the library of any client does; the token response."""
    metadata = discovery(live)
    client = OAuth2Session(
        client_id,
        secret,
        scope=scope,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
    )
    url, _ = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=VERIFIER)
    answer = parse_qs(urlsplit(person.walk(url, redirect_uri)).query)
    assert "error" not in answer, answer
    token: dict[str, Any] = client.fetch_token(
        metadata["token_endpoint"], code=answer["code"][0], code_verifier=VERIFIER
    )
    return token


@pytest.mark.parametrize("name", APPLIED)
def test_every_apply_file_applies(name: str, reader: ReaderOf, apart: Folder) -> None:
    """And changes nothing the second time."""
    for document in reader(name).documents():
        apply(apart, document)
        assert "Nothing to change." in apply(apart, document)


def test_flask_signs_out_on_both_sides(
    reader: ReaderOf, documented: LiveServer, folder: Folder, alice: Person
) -> None:
    reading = reader("docs/how-to/flask.md")
    secret = printed_secret(apply_anew(folder, reading.documents()[0]), "shop")
    token = signed_in(
        documented, alice, "shop", secret, "https://shop.example.com/callback", "openid profile email"
    )
    assert "refresh_token" in token
    code: dict[str, Any] = {}
    exec(reading.block("python"), code)
    leave = code["sign_out_url"](discovery(documented), token["id_token"])
    assert alice.walk(leave, "https://shop.example.com/") == "https://shop.example.com/"
    refused = documented.post(
        "/token",
        data={"grant_type": "refresh_token", "refresh_token": token["refresh_token"]},
        auth=("shop", secret),
    )
    assert refused.json()["error"] == "invalid_grant", "without offline_access it ends with the session"


def test_generic_oauth_values_are_those_of_discovery(
    reader: ReaderOf, documented: LiveServer, folder: Folder, alice: Person
) -> None:
    reading = reader("docs/how-to/generic-oauth.md")
    metadata = discovery(documented)
    for member in pages.page("docs/how-to/generic-oauth.md").spans:
        if member.endswith("_endpoint"):
            assert member in metadata
    section, *lines = reading.block("ini").splitlines()
    assert section == "[auth.generic_oauth]"
    values = dict(line.split(" = ", 1) for line in lines if line.strip())
    assert values["auth_url"] == metadata["authorization_endpoint"]
    assert values["token_url"] == metadata["token_endpoint"]
    assert values["api_url"] == metadata["userinfo_endpoint"]
    assert values["use_pkce"] == "true"
    assert set(values["scopes"].split()) <= set(metadata["scopes_supported"])
    plain, mapped = reading.documents()
    client = plain["tenants"][0]["clients"][0]
    secret = printed_secret(apply_anew(folder, plain), client["client_id"])
    token = signed_in(
        documented, alice, client["client_id"], secret, client["redirect_uris"][0], values["scopes"]
    )
    assert "refresh_token" in token
    told = userinfo(documented, token)
    assert told[values["login_attribute_path"]] == "alice"
    assert "grafana-admins" in values["role_attribute_path"]
    assert "grafana-admins" in told["groups"]
    apply(folder, mapped)
    wait_until(lambda: "realm_access" in userinfo(documented, token), seconds=5, what="the claim mapper")


def userinfo(live: LiveServer, token: Mapping[str, Any]) -> dict[str, Any]:
    answer = live.get("/userinfo", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_machine_calls_an_api(reader: ReaderOf, documented: LiveServer, folder: Folder) -> None:
    reading = reader("docs/how-to/machine-to-machine.md")
    machine, api, keyless = reading.documents()
    secret = printed_secret(apply_anew(folder, machine), "nightly-report")
    ask, install, introspect = (
        reading.text(line) for block in reading.page.blocks for line in block.commands
    )
    for package in install.partition("pip install ")[2].split():
        assert f"import {package}" in reading.block("python") or f"from {package}" in reading.block("python")
    answer = json.loads(folder.run(ask.replace("curl", "curl -s").replace("THE-SECRET", secret)).strip())
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 300, "read")

    code: dict[str, Any] = {}
    exec(reading.block("python"), code)
    claims = code["check"](answer["access_token"], "read")
    assert claims["client_id"] == "nightly-report"
    with pytest.raises(PermissionError):
        code["check"](answer["access_token"], "write")
    with pytest.raises(JoseError):
        code["check"](answer["access_token"][:-4] + "AAAA", "read")

    other = printed_secret(apply_anew(folder, api), "example-api")
    line = introspect.replace("curl", "curl -s").replace("ITS-SECRET", other)
    told = json.loads(folder.run(line.replace("THE-TOKEN", answer["access_token"])))
    assert told["active"] is True
    assert told["aud"] == "https://api.example.com"
    assert json.loads(folder.run(line.replace("THE-TOKEN", "something-else"))) == {"active": False}

    apply(folder, keyless)
    shown = json.loads(folder.run(".venv/bin/watchword client show nightly-report"))
    assert shown["token_endpoint_auth_method"] == "private_key_jwt"


def test_the_claims_are_as_shown(
    reader: ReaderOf, documented: LiveServer, folder: Folder, alice: Person
) -> None:
    reading = reader("docs/how-to/claims.md")
    callback = "http://127.0.0.1:9999/cb"
    secret = "k7Jr0uQ2m5vX8zB1nC4dF6hL9pS3tW0y"
    client = {
        "client_id": "claims",
        "client_secret": secret,
        "redirect_uris": [callback],
        "scope": "openid read",
    }
    resource, mapper, preset = reading.documents()
    apply(folder, resource)
    apply(folder, {"tenants": [{"slug": "default", "clients": [client]}]})
    claims = decoded(signed_in(documented, alice, "claims", secret, callback, "read"))
    assert "team-red" in claims["groups"]
    assert claims["roles"] == ["editor"]
    assert claims["permissions"] == ["documents:*"]

    apply(folder, mapper)
    promised = json.loads(reading.block("json"))

    def arrives() -> bool:
        found = decoded(signed_in(documented, alice, "claims", secret, callback, "read"))
        return {name: found.get(name) for name in promised} == promised and "groups" not in found

    wait_until(arrives, seconds=10, what="the claim mapper")
    apply(folder, preset)
    for span in (s for s in reading.page.spans if s in ("keycloak", "auth0", "okta", "entra", "cognito")):
        preset["tenants"][0]["resources"][0]["claims"] = [{"preset": span}]
        apply(folder, preset)
    refused = {"identifier": "https://api.example.com", "claims": [{"claim": "sub", "value": "me"}]}
    with pytest.raises(AssertionError, match="sub is decided by the server alone"):
        apply(folder, {"tenants": [{"slug": "default", "resources": [refused]}]})


def decoded(token: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of an access token; who verifies it is another page's matter."""
    from app.infra import jose

    return dict(jose.unverified(token["access_token"]).claims)


def test_an_application_asks_people_itself(reader: ReaderOf, documented: LiveServer, folder: Folder) -> None:
    """A password; a second factor that has to be added in a browser; and the next sign-in, which asks for it."""
    frieda = Person("frieda", PASSWORD)
    person = {"username": frieda.username, "password": PASSWORD}
    apply(folder, {"tenants": [{"slug": "default", "users": [person]}]})
    reading = reader("docs/how-to/first-party-apps.md", **{'"alice"': '"frieda"'})
    apply_anew(folder, reading.documents()[0])
    ask, go_on, redeem, step_up = (reading.text(block.text) for block in reading.page.of("python"))
    shown, answered = (json.loads(block.text) for block in reading.page.of("json"))
    asked_for: list[list[str]] = []

    def ask_the_person(factors: list[str], failed: str | None) -> dict[str, str]:
        asked_for.append(factors)
        return {"totp": frieda.app.code()}

    code: dict[str, Any] = {"ask_the_person": ask_the_person}
    exec(ask, code)
    assert {**code["answer"], "auth_session": ""} == {**shown, "auth_session": ""}
    exec(go_on, code)
    exec(redeem, code)
    assert code["tokens"]["scope"] == "openid profile offline_access"
    assert asked_for == []

    exec(step_up, code)
    assert set(code["answer"]) - {"auth_session"} == set(answered)
    assert code["answer"]["error_description"] == answered["error_description"]
    page = f"{documented.base_url}/authorize?client_id=field-app&request_uri={code['answer']['request_uri']}"
    returned = parse_qs(urlsplit(frieda.walk(page, "com.example.field:")).query)
    form = {
        "grant_type": "authorization_code",
        "client_id": "field-app",
        "code": returned["code"][0],
        "code_verifier": code["verifier"],
        "redirect_uri": "com.example.field:/callback",
    }
    assert documented.post("/token", data=form).status_code == 200

    for part in (ask, go_on, redeem):
        exec(part, code)
    assert asked_for == [["totp", "recovery_code"]]
    assert "access_token" in code["tokens"]


def test_applications_hear_that_somebody_signed_out(
    reader: ReaderOf, documented: LiveServer, folder: Folder, alice: Person
) -> None:
    with Receiver() as applications:
        origin = applications.url("")
        places = {"https://wiki.example.com": origin, "https://desk.example.com": origin}
        reading = reader("docs/how-to/logout.md", **places)
        wiki, desk = reading.documents()
        secret = printed_secret(apply_anew(folder, wiki), "wiki")
        other = printed_secret(apply_anew(folder, desk), "desk")
        token = signed_in(documented, alice, "wiki", secret, f"{origin}/callback", "openid profile")
        here = signed_in(documented, alice, "desk", other, f"{origin}/callback", "openid profile")

        asked = {
            "id_token_hint": here["id_token"],
            "post_logout_redirect_uri": f"{origin}/goodbye",
            "state": "s",
        }
        left = alice.session.get(discovery(documented)["end_session_endpoint"], params=asked, timeout=10)
        (frame,) = re.findall(r'<iframe src="([^"]+)"', left.text)
        told = parse_qs(urlsplit(unescape(frame)).query)
        assert frame.startswith(f"{origin}/logged-out?")
        assert told == {"iss": [documented.base_url], "sid": [sid_of(here)]}
        assert Page(left.url, left.text).refresh == f"{origin}/goodbye?state=s"

        wait_until(lambda: bool(applications.received), seconds=20, what="the logout token")
        code: dict[str, Any] = {}
        exec(reading.block("python"), code)
        logout_token = applications.received[0].token
        assert code["ended_session"](logout_token) == sid_of(token) == sid_of(here)
        for wrong in (token["id_token"], logout_token[:-4] + "AAAA"):
            with pytest.raises((JoseError, ValueError)):
                code["ended_session"](wrong)


def sid_of(token: Mapping[str, Any]) -> str:
    """Which session an ID token is of."""
    from app.infra import jose

    return str(jose.unverified(token["id_token"]).claims["sid"])
