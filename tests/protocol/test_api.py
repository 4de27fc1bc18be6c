"""The JSON API: who may call it, what it shows, and that its description is true."""

import re
import secrets
from typing import Any

import pytest
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.domain.models import User
from app.infra import audit, outbox
from app.infra.audit_appender import AuditAppender
from app.infra.limits import API_FAILURES
from app.infra.log_tables import OutboxMessage
from app.infra.outbox import DeliveryFailed
from app.web.api.catalogue import ENDPOINTS, PREFIX
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol import parties
from tests.protocol.parties import Party
from tests.protocol.token_side import TokenSide

SCOPES = "watchword:read watchword:admin watchword:account:write"
ADMIN_SCOPE = f"openid {SCOPES}"
NOBODY = "00000000-0000-4000-8000-000000000000"
CALLS = [
    (row.method, re.sub(r"<uuid:\w+>", NOBODY, row.path.replace("<int:dead_letter_id>", "1")))
    for row in ENDPOINTS
]


@pytest.fixture(scope="module")
def api(_shared_services: Services) -> "Api":
    from app import create_app

    services = _shared_services
    tenant = new_tenant(services)
    parties.new_resource(services, tenant, parties.API)
    app = create_app(services.settings, services=services)
    return Api(TokenSide(services, tenant, Http(app, tenant)))


class Api:
    """The API of one tenant, as an administrator's program sees it."""

    def __init__(self, side: TokenSide) -> None:
        self.side = side
        self.services, self.tenant = side.services, side.tenant
        self.party = self.client()
        self.admin = side.user(role="admin")

    def client(self) -> Party:
        return self.side.client(scope=f"openid profile offline_access read {SCOPES}")

    def token(self, scope: str = ADMIN_SCOPE, *, user_id: str = "", resources: tuple[str, ...] = ()) -> str:
        resources = resources or (self.tenant.issuer,)
        found = self.side.tokens(
            self.party, user_id or self.admin, scope, resources=resources, **parties.TWO_FACTORS
        )
        token: str = found["access_token"]
        return token

    def call(self, path: str, token: str | None = None, method: str = "GET", **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return self.side.http.request(method, PREFIX + path, headers=headers, **options)

    def append(self) -> None:
        AuditAppender(self.services.tenancy, self.services.state, (), consumer="test").append(
            self.tenant.id, []
        )

    def dead_letter(self, **payload: Any) -> int:
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            outbox.put(session, "news", secrets.token_hex(4), payload)
        (claim,) = self.services.outbox.claim(self.tenant.id)
        self.services.outbox.failed(claim, DeliveryFailed("nobody there", permanent=True))
        return claim.id


def problem(answer: TestResponse, status: int, code: str) -> None:
    """RFC 9457 section 3: the answer is this problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == code
    assert answer.json["status"] == status
    assert answer.json["reference"] == answer.headers["X-Request-Id"]


def test_me_tells_who_the_token_speaks_of(api: Api) -> None:
    answer = api.call("/me", api.token("openid watchword:read"))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["sub"] == api.admin
    assert answer.json["roles"] == ["admin"]
    assert answer.json["permissions"] == ["*"]
    assert answer.json["client_id"] == api.party.client_id


def test_tenant_shows_every_setting(api: Api) -> None:
    answer = api.call("/tenant")
    assert answer.json["issuer"] == api.tenant.issuer
    assert answer.json["settings"]["tokens"]["access_seconds"] == 300


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_a_token_nothing_is_told(api: Api, method: str, path: str) -> None:
    """RFC 6750 section 3.1: no error code where no authentication was tried."""
    answer = api.side.http.request(method, PREFIX + path)
    problem(answer, 401, "token.missing")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_forged_token_is_refused(api: Api, method: str, path: str) -> None:
    """RFC 6750 section 3.1: invalid_token."""
    answer = api.call(path, api.token()[:-4] + "AAAA", method)
    problem(answer, 401, "token.malformed")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_token_for_another_resource_is_refused(api: Api, method: str, path: str) -> None:
    """Contracts, "Claims": our own APIs demand the issuer in `aud`."""
    answer = api.call(path, api.token("read", resources=(parties.API,)), method)
    problem(answer, 401, "token.audience")


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_token_of_another_tenant_is_refused(api: Api, method: str, path: str) -> None:
    other = new_tenant(api.services)
    answer = Http(api.side.http.app, other).request(
        method, PREFIX + path, headers={"Authorization": f"Bearer {api.token()}"}
    )
    problem(answer, 401, "token.malformed")


@pytest.mark.parametrize(("method", "path"), CALLS[1:])
def test_a_token_without_the_scope_is_refused(api: Api, method: str, path: str) -> None:
    """RFC 6750 section 3.1: insufficient_scope, with the scope that is needed."""
    answer = api.call(path, api.token("openid"), method)
    problem(answer, 403, "token.scope")
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert 'scope="watchword:' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("method", "path"),
    [call for call, row in zip(CALLS, ENDPOINTS, strict=True) if row.permission is not None],
)
def test_a_person_without_the_permission_is_refused(api: Api, method: str, path: str) -> None:
    answer = api.call(path, api.token(user_id=api.side.user()), method)
    problem(answer, 403, "permission.missing")


def test_reading_takes_no_more_than_the_reading_scope(api: Api) -> None:
    token = api.token("openid watchword:read")
    assert api.call("/audit", token).status_code == 200
    problem(api.call("/outbox/dead-letters/1/retry", token, "POST"), 403, "token.scope")


def test_a_revoked_token_is_refused(api: Api) -> None:
    token = api.token()
    assert api.side.post("/revoke", {"token": token}, api.party).status_code == 200
    problem(api.call("/me", token), 401, "token.revoked")


def test_trying_tokens_out_is_ended_with_429(api: Api) -> None:
    """Contracts 25; a good token from the same network passes all the same."""
    where = {"environ_base": {"REMOTE_ADDR": "203.0.113.78"}}
    for _ in range(API_FAILURES.most):
        problem(api.call("/me", "nonsense", **where), 401, "token.malformed")
    answer = api.call("/me", "nonsense", **where)
    problem(answer, 429, "rate.client_failures")
    assert 0 < int(answer.headers["Retry-After"]) <= API_FAILURES.window_seconds
    assert "WWW-Authenticate" not in answer.headers
    assert api.call("/me", **where).status_code == 200


def test_a_client_for_itself_is_nobody_here(api: Api) -> None:
    found = api.side.client_token(api.party, scope="watchword:read", resource=api.tenant.issuer)
    problem(api.call("/audit", found["access_token"]), 401, "token.no_subject")


def test_a_disabled_person_is_refused(api: Api) -> None:
    user_id = api.side.user(role="admin")
    token = api.token(user_id=user_id)
    with api.services.tenancy.session(api.tenant.id, write=True) as session:
        user = session.scalars(select(User).where(User.id == user_id)).one()
        user.disabled_at = user.created_at
    problem(api.call("/me", token), 401, "token.revoked")


def test_the_token_in_the_address_is_not_taken(api: Api) -> None:
    """RFC 9700 section 4.3.2."""
    answer = api.side.http.get(PREFIX + "/me", query={"access_token": api.token()})
    problem(answer, 401, "token.missing")


def test_audit_pages_through_the_chain(api: Api) -> None:
    for number in range(7):
        event = audit.Event("auth.logout", tenant_id=api.tenant.id, outcome="success", user_id=f"u{number}")
        with api.services.tenancy.session(api.tenant.id, write=True) as session:
            audit.record(session, event)
    api.append()
    seen: list[int] = []
    cursor: str | None = None
    while True:
        query = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        answer = api.call("/audit", query=query)
        assert answer.status_code == 200, answer.text
        assert len(answer.json["records"]) <= 3
        seen += [record["sequence"] for record in answer.json["records"]]
        cursor = answer.json["next_cursor"]
        if cursor is None:
            break
    assert seen == list(range(max(seen), 0, -1))
    assert len(seen) >= 7


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=0", "cursor=-1", "nonsense=1", "limit=1&limit=2"],
)
def test_a_bad_parameter_is_refused(api: Api, query: str) -> None:
    problem(api.call("/audit", query=query), 400, "request.invalid")


def test_dead_letters_are_listed_without_what_they_hold_and_can_be_retried(api: Api) -> None:
    first, second = api.dead_letter(value="canary"), api.dead_letter(value="canary")
    answer = api.call("/outbox/dead-letters", query={"limit": "1", "cursor": str(first - 1)})
    (shown,) = answer.json["dead_letters"]
    assert (shown["id"], shown["topic"], shown["last_error"]) == (first, "news", "nobody there")
    assert "canary" not in answer.text
    answer = api.call("/outbox/dead-letters", query={"cursor": answer.json["next_cursor"]})
    assert [letter["id"] for letter in answer.json["dead_letters"]] == [second]
    assert answer.json["next_cursor"] is None
    answer = api.call(f"/outbox/dead-letters/{first}/retry", method="POST")
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    problem(api.call(f"/outbox/dead-letters/{first}/retry", method="POST"), 404, "dead_letter.unknown")
    (claim,) = api.services.outbox.claim(api.tenant.id)
    assert claim.id == first
    api.append()
    records = api.call("/audit").json["records"]
    newest = next(record for record in records if record["event"] == "worker.dead_letter.retried")
    assert newest["user"] == api.admin
    assert newest["client"] == api.party.client_id


def test_another_tenants_dead_letter_is_unknown(api: Api) -> None:
    dead = api.dead_letter()
    with api.services.tenancy.session(new_tenant(api.services).id) as session:
        assert session.scalar(select(func.count()).select_from(OutboxMessage)) == 0
        assert outbox.dead_letters(session) == []
    huge = api.call(f"/outbox/dead-letters/{10**30}/retry", method="POST")
    problem(huge, 404, "dead_letter.unknown")
    assert dead


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_other_methods_are_refused(api: Api, method: str, path: str) -> None:
    answer = api.call(path, method="PUT")
    assert answer.status_code == 405
    assert method in answer.headers["Allow"]
