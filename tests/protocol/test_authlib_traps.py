"""What Authlib does out of the box that this server must not do: one test each ("Authlib's traps", architecture)."""

import ast
import logging
from pathlib import Path

import pytest

from app.kernel import paths
from app.kernel.reasons import REASONS
from app.protocols.oauth import errors
from app.protocols.oauth.authlib_seam import TokenResponse
from app.protocols.oauth.client_view import ClientView
from app.protocols.oauth.errors import Case
from tests.protocol.parties import REDIRECT_URI
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

NASTY = ['"', "\\", "é", "\u202e", "<script>", "%0d%0aX: y", "'", "\U0001f600"]


@pytest.mark.parametrize("nasty", NASTY)
def test_a_quote_or_accent_anywhere_is_no_500(side: TokenSide, nasty: str) -> None:
    """Authlib raises inside its own error's constructor."""
    client = side.client()
    code = side.code(client, side.user())
    for changes in (
        {"redirect_uri": REDIRECT_URI + nasty},
        {"code": nasty},
        {"code_verifier": nasty * 43},
        {"resource": nasty},
        {"grant_type": nasty},
        {"grant_type": "client_credentials", "scope": nasty},
        {"grant_type": "refresh_token", "refresh_token": nasty},
    ):
        answer = side.post("/token", {**code.form(), **changes}, client)
        assert answer.status_code == 400, changes
        refused(answer, answer.json["error"])
        assert nasty.encode() not in answer.data or nasty in ('"', "'", "\\")
    for path in ("/token", "/revoke", "/introspect"):
        answer = side.http.post(
            path,
            form={
                "client_id": nasty,
                "client_secret": nasty,
                "token": nasty,
                "grant_type": "client_credentials",
            },
            environ_base={"REMOTE_ADDR": "192.0.2.99"},
        )
        refused(answer, "invalid_client", 401)


def test_error_texts_are_fixed_ascii() -> None:
    """RFC 6749 section 5.2: no quote, no backslash, nothing of the request."""
    cases = [value for value in vars(errors).values() if isinstance(value, Case)]
    assert len(cases) > 40
    for case in cases:
        assert all(" " <= c <= "~" and c not in '"\\' for c in case.description), case
        assert case.description.endswith((".", "bearer.")), case
        assert 400 <= case.status <= 503


def test_reason_codes_are_stable_and_distinct() -> None:
    """Contracts 24."""
    cases = [value for value in vars(errors).values() if isinstance(value, Case)]
    assert {case.reason for case in cases} <= set(REASONS)
    # One reason may be told in the words of several requests, but no case stands twice.
    assert len({(case.reason, case.error, case.description) for case in cases}) == len(cases)


def test_query_string_does_not_override_the_body(side: TokenSide) -> None:
    client = side.client()
    code = side.code(client, side.user())
    answer = side.post("/token", code.form(), client, query={"grant_type": "client_credentials"})
    refused(answer, "invalid_request")


def test_repeated_parameters_are_refused(side: TokenSide) -> None:
    client = side.client()
    form = [*side.code(client, side.user()).form().items(), ("code", "another")]
    refused(side.post("/token", form, client), "invalid_request")


def test_two_ways_of_authentication_are_refused(side: TokenSide) -> None:
    client = side.client()
    form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.secret}
    refused(side.post("/token", form, client), "invalid_request")


def test_access_tokens_live_five_minutes_not_ten_days(side: TokenSide) -> None:
    client = side.client()
    for found in (side.client_token(client), side.tokens(client, side.user())):
        claims = side.read(found["access_token"]).claims
        assert found["expires_in"] == claims["exp"] - claims["iat"] == 300


def test_nothing_secret_is_logged_at_debug(side: TokenSide, caplog: pytest.LogCaptureFixture) -> None:
    """A canary: every secret of three exchanges, looked for in everything any logger said."""
    client = side.client()
    with caplog.at_level(logging.DEBUG):
        for name in list(logging.Logger.manager.loggerDict):
            caplog.set_level(logging.DEBUG, logger=name)
        code = side.code(client, side.user(), "openid offline_access")
        first = side.post("/token", code.form(), client).json
        second = side.refresh(client, first["refresh_token"]).json
        side.userinfo(first["access_token"])
        side.introspect(client, second["access_token"])
        side.post("/token", code.form(), client)
    assert "Issue token" in caplog.text, "Authlib did not speak: the canary would not have been heard"
    canaries = [client.secret, code.code, code.verifier]
    canaries += [first[k] for k in ("access_token", "refresh_token", "id_token")]
    canaries += [second[k] for k in ("access_token", "refresh_token", "id_token")]
    for canary in canaries:
        assert canary not in caplog.text


def test_token_responses_and_clients_print_as_nothing(side: TokenSide) -> None:
    token = TokenResponse(access_token="canary")
    assert "canary" not in f"{token!r} {token} {token:}"
    party = side.client()
    record = side.services.clients.get(side.tenant.id, party.client_id)
    assert record is not None
    assert record.secret_hash is not None
    assert repr(ClientView(record)) == f"<client {party.client_id}>"


def test_pkce_is_s256_and_never_plain(side: TokenSide) -> None:
    client = side.client()
    code = side.code(client, side.user())
    assert code.record.code_challenge is not None
    refused(side.post("/token", code.form(code_verifier=code.record.code_challenge), client), "invalid_grant")


def test_http_behind_a_proxy_that_ends_tls_is_fine(side: TokenSide) -> None:
    """Authlib's InsecureTransportError escapes there."""
    assert side.http.tenant.issuer.startswith("http://")
    answer = side.post(
        "/token",
        {"grant_type": "client_credentials"},
        side.client(),
        environ_overrides={"wsgi.url_scheme": "http"},
    )
    assert answer.status_code == 200


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_authlib_is_imported_in_one_place_and_never_its_jose() -> None:
    allowed = {"app/protocols/oauth/authlib_seam.py"}
    for path in (paths.ROOT / "app").rglob("*.py"):
        name = path.relative_to(paths.ROOT).as_posix()
        uses = {module for module in _imports(path) if module.split(".")[0] == "authlib"}
        assert not uses or name in allowed or name.startswith("app/protocols/federation/"), name
        assert not [m for m in uses if m.startswith(("authlib.jose", "authlib.integrations.sqla_oauth2"))], (
            name
        )


def test_private_keys_are_not_imported_in_a_request(side: TokenSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs some 55 ms for RSA."""
    from app.infra.signing import SigningKeyHandle

    client = side.client()
    side.tokens(client, side.user())

    def never(*_: object) -> None:
        raise AssertionError("a private key was imported")

    monkeypatch.setattr(SigningKeyHandle, "from_der", never)
    assert side.tokens(client, side.user())["id_token"]
