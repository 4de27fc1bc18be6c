"""What a request may cost in calls (performance, "Goals"): statements and transactions of the main database, trips of
the state store. Times are the bench's; these are gates."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import event

from app.infra.state import Op, Outcome
from tests.conftest import Http
from tests.protocol import browserless, parties
from tests.protocol.banks import Bank
from tests.protocol.browserless import new_person
from tests.protocol.native_app import NativeApp, more, new_app
from tests.protocol.prover import Prover
from tests.protocol.test_device import Person, Television
from tests.protocol.token_side import TokenSide, side
from tests.protocol.trusted import Issuer

__all__ = ["side"]


@dataclass
class Spent:
    """What was spent since the counting began."""

    trips: int = 0
    transactions: int = 0
    statements: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Counted(TokenSide):
    spent: Spent = field(default_factory=Spent)

    @contextmanager
    def counting(self) -> Iterator[Spent]:
        engine = self.services.tenancy.engine

        def statement(_conn: Any, _cursor: Any, text: str, *_: Any) -> None:
            self.spent.statements.append(text.split("\n")[0])

        def checkout(*_: Any) -> None:
            self.spent.transactions += 1

        self.spent.trips, self.spent.transactions = 0, 0
        self.spent.statements.clear()
        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "checkout", checkout)
        try:
            yield self.spent
        finally:
            event.remove(engine, "before_cursor_execute", statement)
            event.remove(engine, "checkout", checkout)


@pytest.fixture
def counted(side: TokenSide, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The same tenant, with every trip to the state store counted, whoever makes it."""
    spent, execute = Spent(), side.services.state.execute

    def counting(*operations: Op) -> Outcome:
        spent.trips += 1
        return execute(*operations)

    monkeypatch.setattr(side.services.state, "execute", counting)
    return Counted(side.services, side.tenant, side.http, spent)


def _quiet(counted: Counted, act: Callable[[], Any], warm: Callable[[], Any]) -> Spent:
    """What one request costs, the best of three: the poller of this process reads versions now and then."""
    warm()
    found = []
    for _ in range(3):
        with counted.counting() as spent:
            answer = act()
        assert answer.status_code in (200, 201, 304), answer.text
        found.append(Spent(spent.trips, spent.transactions, list(spent.statements)))
    return min(found, key=lambda s: (s.transactions, len(s.statements), s.trips))


def test_client_credentials_take_no_sql_and_one_trip(counted: Counted) -> None:
    client = counted.client()

    def ask() -> Any:
        return counted.post("/token", {"grant_type": "client_credentials", "scope": "read"}, client)

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (0, 1)


def test_client_credentials_for_an_opaque_token_cost_the_same(counted: Counted) -> None:
    parties.new_resource(
        counted.services, counted.tenant, "https://b.example", "dim", access_token_format="opaque"
    )
    client = counted.client(scope="dim")

    def ask() -> Any:
        return counted.post("/token", {"grant_type": "client_credentials"}, client)

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (0, 1)


def test_pushing_a_signed_request_takes_no_sql_and_one_trip(counted: Counted) -> None:
    """Limits, the reuse of assertion and object, and the request itself."""
    bank = Bank.open(counted.services, counted.tenant, counted.http)

    def ask() -> Any:
        return bank.push({"request": bank.object()}, proof=True)

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (0, 1)


@pytest.mark.parametrize("scope", ["openid", "openid offline_access groups"])
def test_code_takes_one_transaction_and_at_most_two_trips(counted: Counted, scope: str) -> None:
    """Redeeming, person, refresh family and record in one; roles and groups cost two statements where asked for."""
    client, user = counted.client(), counted.user()
    ready = [counted.code(client, user, scope) for _ in range(4)]

    def ask() -> Any:
        return counted.post("/token", ready.pop().form(), client)

    spent = _quiet(counted, ask, ask)
    assert spent.transactions == 1
    assert len([s for s in spent.statements if not s.startswith(("BEGIN", "SELECT set_config"))]) <= 6
    assert spent.trips <= 2


def test_refresh_takes_one_transaction_and_one_trip(counted: Counted) -> None:
    client = counted.client()
    tokens = [counted.tokens(client, counted.user(), "openid offline_access")["refresh_token"]]

    def ask() -> Any:
        answer = counted.refresh(client, tokens[-1])
        tokens.append(answer.json["refresh_token"])
        return answer

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (1, 1)


@pytest.mark.parametrize("accept", ["application/json", "application/token-introspection+jwt"])
def test_introspection_takes_no_sql_and_one_trip(counted: Counted, accept: str) -> None:
    """Signed, too."""
    client = counted.client()
    token = counted.tokens(client, counted.user())["access_token"]

    def ask() -> Any:
        answer = counted.post("/introspect", {"token": token}, client, headers={"Accept": accept})
        assert answer.mimetype == accept
        return answer

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (0, 1)


def test_userinfo_takes_one_transaction_of_one_statement_and_one_trip(counted: Counted) -> None:
    token = counted.tokens(counted.client(), counted.user(), "openid profile email")["access_token"]
    spent = _quiet(counted, lambda: counted.userinfo(token), lambda: counted.userinfo(token))
    assert (spent.transactions, spent.trips) == (1, 1)
    assert len([s for s in spent.statements if not s.startswith(("BEGIN", "SELECT set_config"))]) == 1


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"]
)
def test_discovery_and_jwks_take_neither(counted: Counted, path: str) -> None:
    spent = _quiet(counted, lambda: counted.http.get(path), lambda: counted.http.get(path))
    assert (spent.transactions, spent.trips) == (0, 0)


EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def test_exchange_of_a_clients_token_takes_no_sql_and_two_trips(counted: Counted) -> None:
    """One to ask whether it was taken back, one to put it on record."""
    client = counted.client(grant_types=["client_credentials", EXCHANGE], redirect_uris=[], scope="read")
    token = counted.client_token(client)["access_token"]
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}

    def ask() -> Any:
        return counted.post("/token", form, client)

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (0, 2)


def test_delegation_of_a_person_takes_one_reading_transaction_and_two_trips(counted: Counted) -> None:
    client = counted.client(
        grant_types=["client_credentials", EXCHANGE],
        redirect_uris=[],
        scope="read",
        resource_server_for=[parties.API],
        token_exchange={"delegation": True},
    )
    person = counted.tokens(counted.client(), counted.user(), "openid read", resources=(parties.API,))
    form = {
        "grant_type": EXCHANGE,
        "subject_token": person["access_token"],
        "subject_token_type": ACCESS_TOKEN,
        "actor_token": counted.client_token(client)["access_token"],
        "actor_token_type": ACCESS_TOKEN,
    }

    def ask() -> Any:
        return counted.post("/token", form, client)

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (1, 2)
    assert len([s for s in spent.statements if not s.startswith(("BEGIN", "SELECT set_config"))]) == 1


def test_an_assertion_takes_no_sql_and_two_trips(counted: Counted) -> None:
    """One for its one use, one to put the token on record."""
    client = counted.client(grant_types=[JWT_BEARER], redirect_uris=[], scope="read")
    issuer = Issuer("https://budget.example")
    rule = {
        "name": "x",
        "match": {"kind": "job"},
        "client": client.client_id,
        "client_authentication": "none",
    }
    issuer.trusted_by(counted.services, counted.tenant, rules=[rule])

    def ask() -> Any:
        assertion = issuer.token(counted.tenant.issuer, kind="job")
        return counted.post("/token", {"grant_type": JWT_BEARER, "assertion": assertion})

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (0, 2)


def test_a_waiting_device_takes_no_sql_and_one_trip_a_question(counted: Counted) -> None:
    """Refused, it takes one more: the refusal goes on record."""
    client = counted.client(grant_types=[DEVICE], redirect_uris=[], scope="openid")
    asked = counted.post("/device_authorization", {"scope": "openid"}, client)
    assert asked.status_code == 200, asked.text
    form = {"grant_type": DEVICE, "device_code": asked.json["device_code"]}
    with counted.counting() as spent:
        answer = counted.post("/token", form, client)
    assert answer.json["error"] == "authorization_pending"
    assert (spent.transactions, spent.trips) == (0, 2)


def test_a_device_that_was_let_in_takes_one_transaction_and_one_trip(counted: Counted) -> None:
    client = counted.client(
        grant_types=[DEVICE], redirect_uris=[], scope="openid profile", token_endpoint_auth_method="none"
    )
    television, username = Television(counted, client.client_id), f"device-{secrets.token_hex(4)}"
    new_person(counted.services, counted.tenant, username)
    person, found = Person(counted, username), []
    for _ in range(3):
        asked = television.start()
        person.let_in(asked["user_code"])
        with counted.counting() as spent:
            assert television.poll(asked["device_code"]).status_code == 200
        found.append((spent.transactions, spent.trips))
    assert min(found) == (1, 1)


def test_signing_in_through_an_application_costs_what_its_pages_would(counted: Counted) -> None:
    """What is needed, asked: nobody is read. Name and password: the person read when looked up and when judged, the
    session put on record, the grant."""
    username = f"native-{secrets.token_hex(4)}"
    new_person(counted.services, counted.tenant, username)
    client_id = new_app(counted.services, counted.tenant, username)
    NativeApp(counted.http, client_id).sign_in(username)
    begun, signed_in = [], []
    for _ in range(3):
        native = NativeApp(counted.http, client_id)
        with counted.counting() as spent:
            more(native.begin())
        begun.append((spent.transactions, spent.trips))
        with counted.counting() as spent:
            assert native.password(username).status_code == 200
        signed_in.append((spent.transactions, spent.trips))
    assert min(begun) == (0, 2)
    assert min(signed_in) == (4, 7)


def test_signing_in_on_the_pages(counted: Counted) -> None:
    """Asking, and being shown the page, takes no look at the database. The button: the person read when looked up and
    when judged, the session put on record, the grant."""
    username = f"paged-{secrets.token_hex(4)}"
    new_person(counted.services, counted.tenant, username)
    client_id = browserless.new_public_client(counted.services, counted.tenant, username)
    browserless.Person(Http(counted.http.app, counted.tenant), username).through(client_id)
    opened, signed_in = [], []
    for _ in range(3):
        person = browserless.Person(Http(counted.http.app, counted.tenant), username)
        with counted.counting() as spent:
            page = person.authorize(client_id)
        opened.append((spent.transactions, spent.trips))
        with counted.counting() as spent:
            assert browserless.answer_of(person.sign_in(page)).parameters["code"]
        signed_in.append((spent.transactions, spent.trips))
    assert min(opened) == (0, 3)
    assert min(signed_in) == (5, 7)


def test_counter_counts(counted: Counted) -> None:
    """A gate that cannot close is none."""
    client = counted.client()
    with counted.counting() as spent:
        counted.post("/revoke", {"token": counted.client_token(client)["access_token"]}, client)
    assert spent.transactions >= 1
    assert spent.trips >= 2
    assert any("INSERT" in statement for statement in spent.statements)


def test_a_bound_token_costs_no_trip_more(counted: Counted) -> None:
    """The proof's replay record rides in the trip of the limits, and at UserInfo in that of the revocations."""
    client, prover = counted.client(), Prover(counted.tenant.issuer)

    def ask() -> Any:
        form = {"grant_type": "client_credentials", "scope": "read"}
        return counted.post("/token", form, client, headers=prover.header())

    spent = _quiet(counted, ask, ask)
    assert (spent.transactions, spent.trips) == (0, 1)
    form = counted.code(client, counted.user(), "openid profile").form()
    token = counted.post("/token", form, client, headers=prover.header()).json["access_token"]

    def show() -> Any:
        return counted.http.get("/userinfo", headers=prover.at("/userinfo", token))

    spent = _quiet(counted, show, show)
    assert (spent.transactions, spent.trips) == (1, 1)
