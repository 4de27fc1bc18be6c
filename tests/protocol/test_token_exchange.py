"""Token exchange (RFC 8693): whose tokens, through whom, for how much less."""

import base64
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from app.domain.client_metadata import TOKEN_EXCHANGE
from app.infra import audit
from app.protocols.oauth.presented import ACCESS_TOKEN, ID_TOKEN, JWT, REFRESH_TOKEN
from tests.conftest import Http, new_tenant
from tests.protocol import parties
from tests.protocol.parties import API, OTHER_API, Party
from tests.protocol.prover import Prover
from tests.protocol.token_side import TokenSide, refused, side
from tests.protocol.trusted import Issuer

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

__all__ = ["side"]


@dataclass(frozen=True)
class Services:
    """Three services, one behind the other, and the application people use."""

    side: TokenSide
    front: Party
    orders: Party
    stock: Party

    def user_token(self, scope: str = "openid read write", **members: Any) -> str:
        resources = members.pop("resources", (API,))
        found = self.side.tokens(self.front, self.side.user(), scope, resources=resources, **members)
        return str(found["access_token"])

    def exchange(self, party: Party, subject: str, **more: Any) -> "TestResponse":
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject,
            "subject_token_type": ACCESS_TOKEN,
            **more,
        }
        return self.side.post("/token", {n: v for n, v in form.items() if v is not None}, party)

    def acting(self, party: Party, subject: str, **more: Any) -> "TestResponse":
        """With the client's own token as the actor's."""
        own = self.side.client_token(party)["access_token"]
        return self.exchange(party, subject, actor_token=own, actor_token_type=ACCESS_TOKEN, **more)

    def good(self, answer: "TestResponse") -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        claims: dict[str, Any] = dict(self.side.read(answer.json["access_token"]).claims)
        return claims


def service(side: TokenSide, client_id: str, **policy: Any) -> Party:
    return side.client(
        client_id=f"{client_id}-{secrets.token_hex(3)}",
        grant_types=["client_credentials", TOKEN_EXCHANGE],
        redirect_uris=[],
        scope="openid read write",
        resource_server_for=[API],
        default_resources=[API],
        token_exchange=policy,
    )


@pytest.fixture(scope="module")
def world(side: TokenSide) -> Services:
    return Services(
        side,
        side.client(client_id="front", scope="openid profile read write offline_access"),
        service(side, "orders", delegation=True, audiences=[OTHER_API]),
        service(side, "stock", delegation=True, subject_clients=["*"]),
    )


def events(side: TokenSide, name: str) -> list[dict[str, Any]]:
    stream = side.services.state.read_stream(
        [side.tenant.id], audit.STREAM, f"t{secrets.token_hex(4)}", count=5000
    )
    found = [json.loads(entry.entry) for entry in stream.get(side.tenant.id, [])]
    return [event for event in found if event["event"] == name]


def test_delegation_names_the_actor_and_keeps_the_subject(world: Services) -> None:
    """Sections 1.1 and 4.1: sub stays, act says who acts."""
    token = world.user_token()
    answer = world.acting(world.orders, token)
    claims = world.good(answer)
    assert claims["sub"] == world.side.read(token).claims["sub"]
    assert claims["act"] == {"sub": world.orders.client_id}
    assert claims["client_id"] == world.orders.client_id
    assert answer.json["issued_token_type"] == ACCESS_TOKEN
    assert answer.json["token_type"] == "Bearer"
    assert "refresh_token" not in answer.json
    assert "id_token" not in answer.json


def test_prior_actors_nest_inside(world: Services) -> None:
    """Section 4.1: the present actor is outermost, the others are history."""
    first = world.acting(world.orders, world.user_token()).json["access_token"]
    claims = world.good(world.acting(world.stock, first))
    assert claims["act"] == {"sub": world.stock.client_id, "act": {"sub": world.orders.client_id}}


def test_impersonation_needs_leave_and_names_nobody(world: Services, side: TokenSide) -> None:
    """Section 1.1: without an actor the result is the subject's alone, and only a client that may gets it."""
    token = world.user_token()
    refused(world.exchange(world.orders, token), "invalid_request")
    clerk = service(side, "clerk", impersonation=True)
    claims = world.good(world.exchange(clerk, token))
    assert claims["sub"] == side.read(token).claims["sub"]
    assert "act" not in claims


def test_a_client_narrows_its_own_token(world: Services, side: TokenSide) -> None:
    """Nobody's leave is needed for less of what one has; more there is not."""
    own = side.client_token(world.orders, scope="read write", resource=API)["access_token"]
    claims = world.good(world.exchange(world.orders, own, scope="read"))
    assert (claims["scope"], claims["sub"]) == ("read", world.orders.client_id)
    less = world.exchange(world.orders, own, scope="read").json["access_token"]
    refused(world.exchange(world.orders, less, scope="read write"), "invalid_scope")


def test_scope_audience_and_lifetime_only_shrink(world: Services, side: TokenSide) -> None:
    """TX-04: each at most the subject token's."""
    token = world.user_token("openid read")
    claims = world.good(world.acting(world.orders, token, scope="read"))
    assert claims["scope"] == "read"
    assert claims["exp"] <= side.read(token).claims["exp"]
    refused(world.acting(world.orders, token, scope="read write"), "invalid_scope")
    refused(world.acting(world.orders, token, resource="https://nobody.example"), "invalid_target")
    refused(world.acting(world.stock, token, audience=OTHER_API), "invalid_target")
    allowed = world.good(world.acting(world.orders, token, audience=OTHER_API))
    assert allowed["aud"] == OTHER_API
    assert "read" not in allowed["scope"].split(), "an audience the policy adds brings no scope along"


def test_short_lived_subjects_give_shorter_lived_tokens(world: Services, side: TokenSide) -> None:
    brief = side.client(client_id="brief", scope="openid read", access_token_seconds=20)
    token = side.tokens(brief, side.user(), "openid read", resources=(API,))["access_token"]
    answer = world.acting(world.orders, token)
    assert answer.json["expires_in"] <= 20


@pytest.mark.parametrize("named", ["it", "another"])
def test_may_act_decides_who_acts(world: Services, side: TokenSide, named: str) -> None:
    """Section 4.4: it names the actor, whatever the client's policy; and nobody else acts then."""
    plain = service(side, "plain")
    wanted = plain.client_id if named == "it" else "somebody-else"
    front = side.client(scope="openid read", token_exchange={"may_act": wanted})
    token = side.tokens(front, side.user(), "openid read", resources=(API,))["access_token"]
    assert side.read(token).claims["may_act"] == {"sub": wanted}
    answer = world.acting(plain, token)
    if named == "it":
        assert world.good(answer)["act"] == {"sub": plain.client_id}
    else:
        refused(answer, "invalid_request")
        refused(world.acting(world.orders, token), "invalid_request")


def test_nobody_acts_twice(world: Services, side: TokenSide) -> None:
    """TX-04: no cycles, however long the way round."""
    first = world.acting(world.orders, world.user_token()).json["access_token"]
    refused(world.acting(world.orders, first), "invalid_request")
    second = world.acting(world.stock, first).json["access_token"]
    refused(world.acting(world.orders, second), "invalid_request")
    own = side.client_token(world.orders)["access_token"]
    refused(world.acting(world.orders, own), "invalid_request")


def test_the_chain_has_an_end(world: Services, side: TokenSide) -> None:
    """TX-04: the depth is the tenant's to set, four unless it does."""
    token = world.user_token()
    for number in range(4):
        link = service(side, f"link{number}", delegation=True, subject_clients=["*"])
        answer = world.acting(link, token)
        assert answer.status_code == 200, answer.text
        token = answer.json["access_token"]
    last = service(side, "last", delegation=True, subject_clients=["*"])
    refused(world.acting(last, token), "invalid_request")


@pytest.mark.parametrize("what", ["token", "grant", "actor", "client"])
@pytest.mark.parametrize("form", ["jwt", "opaque"])
def test_what_ends_an_ancestor_ends_its_descendants(side: TokenSide, what: str, form: str) -> None:
    """TX-04: the lineage travels with the token, and every check asks for it."""
    if form == "opaque":
        target = f"https://opaque-{secrets.token_hex(4)}.example"
        scope = f"peek-{what}"
        parties.new_resource(side.services, side.tenant, target, scope, access_token_format="opaque")
    else:
        target, scope = API, "read"
    front = side.client(scope=f"openid {scope}")
    members = {
        "grant_types": ["client_credentials", TOKEN_EXCHANGE],
        "redirect_uris": [],
        "scope": scope,
        "resource_server_for": [target],
        "token_exchange": {"delegation": True, "subject_clients": ["*"]},
    }
    one, two = side.client(**members), side.client(**members)
    world = Services(side, front, one, two)
    ancestor = side.tokens(front, side.user(), f"openid {scope}", resources=(target,))
    actor = side.client_token(one)["access_token"]
    first = world.exchange(
        one, ancestor["access_token"], actor_token=actor, actor_token_type=ACCESS_TOKEN
    ).json["access_token"]
    second = world.acting(two, first).json["access_token"]
    assert side.introspect(two, second)["active"]
    if what == "token":
        side.post("/revoke", {"token": ancestor["access_token"]}, front)
    elif what == "grant":
        side.post("/revoke", {"token": ancestor["refresh_token"]}, front)
    elif what == "actor":
        side.post("/revoke", {"token": actor}, one)
    else:
        with side.services.tenancy.session(side.tenant.id, write=True) as session:
            side.services.revocations.revoke_client(session, side.tenant.id, front.client_id)
    assert side.introspect(two, second) == {"active": False}
    refused(world.acting(two, first), "invalid_request")


def test_the_lineage_is_not_shown(world: Services, side: TokenSide) -> None:
    """What revocation is compared with is ours alone."""
    token = world.acting(world.orders, world.user_token()).json["access_token"]
    shown = side.introspect(world.orders, token)
    assert shown["act"] == {"sub": world.orders.client_id}
    assert not {"ancestors", "epoch", "grant_id"} & shown.keys()


def test_refresh_and_id_tokens_stand_for_their_grant(world: Services, side: TokenSide) -> None:
    """Section 3: our refresh and ID tokens are subject tokens too; presenting one uses nothing up."""
    party = side.client(
        scope="openid read offline_access",
        grant_types=["authorization_code", "refresh_token", TOKEN_EXCHANGE],
    )
    user = side.user()
    tokens = side.tokens(party, user, "openid read offline_access", resources=(API,))
    for token, kind in ((tokens["refresh_token"], REFRESH_TOKEN), (tokens["id_token"], ID_TOKEN)):
        claims = world.good(world.exchange(party, token, subject_token_type=kind, scope="read"))
        assert (claims["sub"], claims["scope"]) == (user, "read")
    assert side.refresh(party, tokens["refresh_token"]).status_code == 200
    refused(
        world.exchange(world.orders, tokens["refresh_token"], subject_token_type=REFRESH_TOKEN),
        "invalid_request",
    )


def test_an_id_token_in_exchange(world: Services, side: TokenSide) -> None:
    """Section 2.2.1: what is no access token has the token type N_A."""
    token = world.user_token("openid read")
    answer = world.acting(world.orders, token, requested_token_type=ID_TOKEN)
    assert answer.status_code == 200, answer.text
    assert (answer.json["token_type"], answer.json["issued_token_type"]) == ("N_A", ID_TOKEN)
    claims = side.read(answer.json["access_token"]).claims
    assert (claims["aud"], claims["act"]) == (world.orders.client_id, {"sub": world.orders.client_id})
    other = world.acting(world.orders, token, requested_token_type=ID_TOKEN, audience=API)
    refused(other, "invalid_target")


def test_a_jwt_in_exchange_is_an_access_token_in_that_form(world: Services, side: TokenSide) -> None:
    answer = world.acting(world.orders, world.user_token(), requested_token_type=JWT)
    assert (answer.json["issued_token_type"], answer.json["token_type"]) == (JWT, "Bearer")


def test_a_bound_subject_token_does_not_become_a_bearer_token(world: Services, side: TokenSide) -> None:
    """TX-04: the sender constraint is bound anew, never dropped."""
    from app.infra.state import Put
    from app.protocols.oauth import tokens as token_reader

    opaque = secrets.token_urlsafe(32)
    claims = dict(side.read(world.user_token()).claims) | {"cnf": {"jkt": "x" * 43}, "jti": "bound"}
    key = token_reader.look_up(opaque, side.tenant).key
    side.services.state.execute(Put(key, json.dumps(claims).encode(), 300))
    refused(world.acting(world.orders, opaque), "invalid_request")


FOREIGN = Issuer("https://ci.example")


def test_tokens_of_trusted_issuers_stand_for_whom_the_rules_say(world: Services, side: TokenSide) -> None:
    """Section 3, token type jwt: a person by name, with the scopes of the rule and no more."""
    with side.services.tenancy.session(side.tenant.id) as session:
        from app.domain import users

        user_id = side.user()
        user = users.get(session, user_id)
        assert user is not None
        username = user.username
    FOREIGN.trusted_by(
        side.services,
        side.tenant,
        rules=[
            {"name": "by name", "match": {"kind": "person"}, "user_claim": "login", "scopes": ["read"]},
            {"name": "service", "match": {"kind": "service"}, "client": world.orders.client_id},
        ],
    )
    token = FOREIGN.token(side.tenant.issuer, kind="person", login=username)
    claims = world.good(world.acting(world.orders, token, subject_token_type=JWT))
    assert (claims["sub"], claims["scope"]) == (user_id, "read")
    assert claims["grant_id"]
    refused(world.acting(world.orders, token, subject_token_type=JWT), "invalid_request")
    wide = FOREIGN.token(side.tenant.issuer, kind="person", login=username)
    refused(world.acting(world.orders, wide, subject_token_type=JWT, scope="write"), "invalid_scope")
    own = FOREIGN.token(side.tenant.issuer, kind="service")
    assert world.good(world.exchange(world.orders, own, subject_token_type=JWT, scope="read"))["sub"] == (
        world.orders.client_id
    )


BAD, PARAMETER, TYPE = "invalid_request", "request.parameter_missing", "exchange.token_type"
SAML = "urn:ietf:params:oauth:token-type:saml2"
NEGATIVES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no subject token": ({"subject_token": None}, BAD, PARAMETER),
    "no subject token type": ({"subject_token_type": None}, BAD, PARAMETER),
    "unknown subject token type": ({"subject_token_type": "urn:x:y"}, BAD, TYPE),
    "subject token of another type": ({"subject_token_type": ID_TOKEN}, BAD, "token.malformed"),
    "a refresh token that is none": ({"subject_token_type": REFRESH_TOKEN}, BAD, "refresh.unknown"),
    "nonsense": ({"subject_token": "a.b.c"}, BAD, TYPE),
    "opaque nonsense": ({"subject_token": "x" * 43}, BAD, "token.malformed"),
    "huge": ({"subject_token": "x" * 20000 + ".y.z"}, BAD, TYPE),
    "actor token without its type": ({"actor_token_type": None}, BAD, "exchange.actor_type"),
    "actor type without token": ({"actor_token": None}, BAD, "exchange.actor_type"),
    "actor token that is none": ({"actor_token": "a.b.c"}, BAD, TYPE),
    "refresh token as an actor": ({"actor_token_type": REFRESH_TOKEN}, BAD, TYPE),
    "a refresh token in return": ({"requested_token_type": REFRESH_TOKEN}, BAD, "exchange.requested_type"),
    "saml in return": ({"requested_token_type": SAML}, BAD, "exchange.requested_type"),
    "malformed scope": ({"scope": 'a"b'}, "invalid_scope", "scope.invalid"),
    "malformed resource": ({"resource": "not a uri"}, "invalid_target", "target.invalid"),
}


@pytest.mark.parametrize("case", NEGATIVES)
def test_what_is_no_exchange(world: Services, side: TokenSide, case: str) -> None:
    """Section 2.2.2: none yields a token, a fault of ours, or a hint; each leaves its reason."""
    changes, error, reason = NEGATIVES[case]
    before = {event["id"] for event in events(side, "token.refused")}
    own = side.client_token(world.orders)["access_token"]
    form = {"actor_token": own, "actor_token_type": ACCESS_TOKEN, **changes}
    refused(world.exchange(world.orders, form.pop("subject_token", world.user_token()), **form), error)
    new = [event["reason"] for event in events(side, "token.refused") if event["id"] not in before]
    assert new == [reason]


def _expired(world: Services) -> str:
    from app.infra import jose

    claims = dict(world.side.read(world.user_token()).claims) | {"exp": 1}
    key = world.side.services.keyring.current(world.side.tenant.id, "ES256")
    return jose.sign(claims, key, typ="at+jwt")


def _wrong_type(world: Services) -> str:
    from app.infra import jose

    claims = dict(world.side.read(world.user_token()).claims)
    key = world.side.services.keyring.current(world.side.tenant.id, "ES256")
    return jose.sign(claims, key, typ="logout+jwt")


def _of_another(world: Services) -> str:
    other = world.side.client(scope="openid profile read")
    tokens = world.side.tokens(other, world.side.user(), "openid profile")
    return str(tokens["access_token"])


def _revoked(world: Services) -> str:
    token = world.user_token()
    world.side.post("/revoke", {"token": token}, world.front)
    return token


def _untrusted(world: Services) -> str:
    return Issuer("https://unknown.example").token(world.side.tenant.issuer)


def _other_key(world: Services) -> str:
    from app.infra.signing import SigningKeyHandle

    claims = dict(world.side.read(world.user_token()).claims)
    return SigningKeyHandle.generate("ES256").sign(claims, "at+jwt")


def _unsigned(world: Services) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    return f"{head}.{world.user_token().split('.')[1]}."


def _of_another_tenant(world: Services) -> str:
    other = new_tenant(world.side.services)
    parties.new_resource(world.side.services, other, API)
    there = TokenSide(world.side.services, other, Http(world.side.http.app, other))
    return str(there.tokens(there.client(), there.user(), "openid read", resources=(API,))["access_token"])


TAKEN_BY_NOBODY = {
    "time": (_expired, "token.expired"),
    "type": (_wrong_type, "token.malformed"),
    "algorithm": (_unsigned, "token.malformed"),
    "key": (_other_key, "token.malformed"),
    "owner": (_of_another, "exchange.not_yours"),
    "tenant": (_of_another_tenant, "issuer.unknown"),
    "state": (_revoked, "token.revoked"),
    "issuer": (_untrusted, "issuer.unknown"),
}


@pytest.mark.parametrize("case", TAKEN_BY_NOBODY)
def test_tokens_nobody_takes(world: Services, side: TokenSide, case: str) -> None:
    """Wrong time, type, algorithm, key, owner, state and issuer: the same words for all, and the reason on record."""
    make, reason = TAKEN_BY_NOBODY[case]
    before = {event["id"] for event in events(side, "token.refused")}
    answer = world.acting(world.orders, make(world))
    refused(answer, "invalid_request")
    assert answer.json["error_description"] == "The subject token is not valid."
    new = [event for event in events(side, "token.refused") if event["id"] not in before]
    assert [event["reason"] for event in new] == [reason]


@pytest.mark.parametrize("case", ["cycle", "depth", "actor", "impersonation", "audience", "scope", "bound"])
def test_refusals_of_policy_leave_their_reasons(world: Services, side: TokenSide, case: str) -> None:
    """What a token in good order may not be exchanged for."""
    token = world.user_token()
    first = world.acting(world.orders, token).json["access_token"]
    plain = service(side, "plain", subject_clients=["*"])
    makes: dict[str, tuple[Any, str, str]] = {
        "cycle": (lambda: world.acting(world.orders, first), BAD, "exchange.cycle"),
        "depth": (lambda: _too_deep(world, side, token), BAD, "exchange.depth"),
        "actor": (lambda: world.acting(plain, token), BAD, "exchange.actor"),
        "impersonation": (lambda: world.exchange(world.orders, token), BAD, "exchange.impersonation"),
        "audience": (
            lambda: world.acting(world.stock, token, audience=OTHER_API),
            "invalid_target",
            "exchange.audience",
        ),
        "scope": (
            lambda: world.acting(world.orders, world.user_token("openid read"), scope="write"),
            "invalid_scope",
            "scope.exceeded",
        ),
        "bound": (lambda: _bound(world, side), BAD, "exchange.unbound"),
    }
    make, error, reason = makes[case]
    before = {event["id"] for event in events(side, "token.refused")}
    refused(make(), error)
    new = [event["reason"] for event in events(side, "token.refused") if event["id"] not in before]
    assert new == [reason]


def _too_deep(world: Services, side: TokenSide, token: str) -> "TestResponse":
    for number in range(4):
        link = service(side, f"deep{number}", delegation=True, subject_clients=["*"])
        token = world.acting(link, token).json["access_token"]
    return world.acting(service(side, "deepest", delegation=True, subject_clients=["*"]), token)


def _bound(world: Services, side: TokenSide) -> "TestResponse":
    prover = Prover(side.tenant.issuer)
    code = side.code(world.front, side.user(), "openid read", resources=(API,))
    answer = side.post("/token", code.form(), world.front, headers=prover.header())
    return world.acting(world.orders, answer.json["access_token"])


@pytest.mark.parametrize("reason", ["network.not_allowed", "hours.closed"])
def test_the_tenants_hours_and_networks_hold_here_too(
    world: Services, side: TokenSide, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """Contracts, tenant settings: at sign-in, refresh and exchange alike. What the rules say is tested beside them."""
    from app.domain import access_rules

    token, asked = world.user_token(), []

    def check(settings: Any, ip: str, now: Any, **more: Any) -> str:
        asked.append(ip)
        return reason

    monkeypatch.setattr(access_rules, "check", check)
    refused(world.acting(world.orders, token), "invalid_grant")
    assert asked == ["127.0.0.1"]


def test_a_client_without_the_grant_exchanges_nothing(world: Services, side: TokenSide) -> None:
    plain = side.client()
    refused(world.exchange(plain, world.user_token()), "unauthorized_client")


def test_one_record_tells_the_whole_chain(world: Services, side: TokenSide) -> None:
    """TX-05: subject, actors, what was asked for, what was given, and what allowed it."""
    first = world.acting(world.orders, world.user_token()).json["access_token"]
    last = world.good(world.acting(world.stock, first, scope="read"))
    found = [e for e in events(side, "token.exchanged") if e["data"]["token_id"] == last["jti"]]
    assert len(found) == 1
    data = found[0]["data"]
    assert data["actors"] == [world.stock.client_id, world.orders.client_id]
    assert data["subject"] == last["sub"]
    assert (data["requested_scopes"], data["scopes"]) == (["read"], ["read"])
    assert (data["mode"], data["depth"]) == ("delegation", 2)
    assert data["allowed_by"] == ["audience", "policy"]
