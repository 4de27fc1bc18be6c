"""A client that registered itself looks after its registration (RFC 7592)."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask

from app import create_app
from app.domain import registered_clients
from app.domain.models import Client, TenantAsset
from app.infra.fetch import Fetcher
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.kernel.errors import Problem
from app.web.services import Services
from tests.protocol.browserless import Person, new_person
from tests.protocol.key_server import KeyServer
from tests.protocol.parties import basic
from tests.protocol.registrations import CALLBACK, Made, Registry
from tests.protocol.token_side import refused

KEY = SigningKeyHandle.generate("ES256").public_jwk
OTHER = "https://rp.example/other"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'


@pytest.fixture
def registry(services: Services, app: Flask) -> Registry:
    return Registry.open(services, app)


@pytest.fixture
def made(registry: Registry) -> Made:
    return registry.register(client_name="Docs", logo_uri="https://rp.example/logo.png")


def test_reading_tells_what_is_registered(made: Made) -> None:
    """Section 2.1: 200, JSON, never kept; the token again, and no secret, of which there is a hash alone."""
    answer = made.read()
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    ours = {"client_secret", "client_secret_expires_at"}
    assert answer.json == {name: value for name, value in made.told.items() if name not in ours}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_its_token_is_needed(registry: Registry, made: Made, method: str) -> None:
    """Section 2: 401 with a challenge; the same for a client that is not there, and for another's token."""
    other = registry.register()
    said: dict[str, Any] = (
        {"json": {"client_id": made.client_id, "redirect_uris": [CALLBACK]}} if method == "PUT" else {}
    )
    ask = {"GET": made.read, "DELETE": made.delete}
    for token in ("", "x", other.told["registration_access_token"], "é"):
        answer = made.put(token=token) if method == "PUT" else ask[method](token=token)
        refused(answer, "invalid_token", 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    mine = {"Authorization": f"Bearer {made.told['registration_access_token']}"}
    for path in ("/clients/nobody", "/clients/", f"{made.path}%00", f"/clients/{'x' * 300}"):
        refused(registry.http.request(method, path, headers=mine, **said), "invalid_token", 401)
    assert set(registry.refusals()) == {"registration.access"}
    assert made.read().status_code == 200


def test_a_client_an_administrator_made_has_no_registration(registry: Registry, made: Made) -> None:
    with registry.services.tenancy.session(registry.tenant.id, write=True) as session:
        session.add(Client(client_id="ours", metadata_={"redirect_uris": [CALLBACK]}))
    mine = {"Authorization": f"Bearer {made.told['registration_access_token']}"}
    refused(registry.http.get("/clients/ours", headers=mine), "invalid_token", 401)


def test_an_update_replaces_everything(made: Made) -> None:
    """Section 2.2: what is left out returns to its default."""
    answer = made.put(redirect_uris=[OTHER], client_name="Papers")
    assert answer.status_code == 200
    assert (answer.json["redirect_uris"], answer.json["client_name"]) == ([OTHER], "Papers")
    assert "logo_uri" not in answer.json
    found = made.registry.services.clients.get(made.registry.tenant.id, made.client_id)
    assert found is not None
    assert found.redirect_uris == (OTHER,)


def test_an_update_changes_the_registration_access_token(made: Made) -> None:
    """Section 5: what leaked once is worth nothing after the next update."""
    before = made.told["registration_access_token"]
    after = made.put().json["registration_access_token"]
    assert after != before
    refused(made.read(token=before), "invalid_token", 401)
    assert made.read().status_code == 200


def test_a_secret_that_is_shown_stays(made: Made) -> None:
    secret = made.told["client_secret"]
    answer = made.put(client_secret=secret)
    assert answer.json["client_secret"] == secret
    assert answer.json["client_secret_expires_at"] == 0
    assert made.is_known()


def test_a_secret_that_is_not_shown_is_rotated_with_grace(made: Made) -> None:
    """Both work for a while, so that nothing fails while the client is told."""
    former = made.basic
    answer = made.put()
    assert answer.json["client_secret_expires_at"] == 0
    assert basic(made.client_id, answer.json["client_secret"]) != former
    form = {"grant_type": "authorization_code", "code": "x", "redirect_uri": CALLBACK}
    for headers in (made.basic, former):
        refused(made.registry.http.post("/token", form=form, headers=headers), "invalid_grant")
    assert len(made.registry.in_outbox("client.secret.rotated")) == 1


@pytest.mark.parametrize("secret", ["wrong", "", 1, ["x"], "\x7f"])
def test_a_secret_that_is_not_its_own_is_refused(made: Made, secret: Any) -> None:
    """Section 2.2: a client does not choose one."""
    refused(made.put(client_secret=secret), "invalid_client_metadata")
    assert made.is_known()


def test_a_secret_comes_and_goes_with_the_method(made: Made) -> None:
    answer = made.put(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [KEY]})
    assert "client_secret" not in answer.json
    assert not made.is_known()
    answer = made.put(token_endpoint_auth_method="client_secret_post")
    assert answer.json["client_secret"]
    answer = made.put(
        token_endpoint_auth_method="client_secret_jwt", client_secret=answer.json["client_secret"]
    )
    assert answer.json["client_secret_expires_at"] == 0


@pytest.mark.parametrize(
    "members",
    [
        {"client_id": None},
        {"client_id": "another"},
        {"registration_access_token": "x"},
        {"registration_client_uri": "https://rp.example"},
        {"client_secret_expires_at": 0},
        {"client_id_issued_at": 0},
    ],
)
def test_what_is_the_servers_to_say_is_refused(made: Made, members: dict[str, Any]) -> None:
    """Section 2.2."""
    refused(made.put(**members), "invalid_request")
    assert made.read().status_code == 200


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"redirect_uris": ["https://rp.example/cb#x"]}, "invalid_redirect_uri"),
        ({"scope": "nothing-of-this"}, "invalid_client_metadata"),
        ({"initiate_login_uri": "http://rp.example/in"}, "invalid_client_metadata"),
    ],
)
def test_bad_metadata_changes_nothing(made: Made, members: dict[str, Any], error: str) -> None:
    refused(made.put(**members), error)
    assert made.read().json["client_name"] == "Docs"


def test_what_an_administrator_said_stays(registry: Registry, made: Made) -> None:
    """An update speaks of what is the client's to say alone."""
    with registry.services.tenancy.session(registry.tenant.id, write=True) as session:
        row = session.get_one(Client, (registry.tenant.id, made.client_id))
        row.metadata_ = {**row.metadata_, "require_mfa": True, "access_token_seconds": 60}
    assert made.put(require_mfa=False, access_token_seconds=86400).status_code == 200
    with registry.services.tenancy.session(registry.tenant.id) as session:
        row = session.get_one(Client, (registry.tenant.id, made.client_id))
        assert (row.metadata_["require_mfa"], row.metadata_["access_token_seconds"]) == (True, 60)


def test_a_limit_stays(registry: Registry, made: Made) -> None:
    with registry.services.tenancy.session(registry.tenant.id, write=True) as session:
        registered_clients.limit(session, made.client_id, scopes=["openid", "email"], expires_at=None)
    assert made.read().json["scope"] == "openid email"
    assert made.put(scope="openid profile email").json["scope"] == "openid email"
    assert made.put().json["scope"] == "openid email"
    refused(made.put(scope="profile"), "invalid_client_metadata")


def test_deleting(registry: Registry, made: Made) -> None:
    """Section 2.3: 204 without a body; client and token are gone, and what was issued is taken back."""
    answer = made.delete()
    assert answer.status_code == 204
    assert answer.data == b""
    assert not made.is_known()
    refused(made.read(), "invalid_token", 401)
    refused(made.delete(), "invalid_token", 401)
    with registry.services.tenancy.session(registry.tenant.id) as session:
        assert session.query(Client).count() == 0
    (record,) = registry.in_outbox("client.deleted")
    assert record["data"]["via"] == "registration"


def test_pictures_go_with_their_client(services: Services) -> None:
    """What was fetched of a `logo_uri` stays as long as a client has it, and never comes after it."""
    fetcher = Fetcher(("127.0.0.1/32",))
    parts = dataclasses.replace(services, fetcher=fetcher)
    registry = Registry.open(parts, create_app(parts.settings, services=parts))

    def kept() -> int:
        with parts.tenancy.session(registry.tenant.id) as session:
            return session.query(TenantAsset).count()

    def shown(made: Made) -> int:
        return registry.http.get("/client-logo", query={"client_id": made.client_id}).status_code

    with KeyServer({}) as shelf:
        shelf.text = SVG
        made, other = (registry.register(logo_uri=f"{shelf.url}?{n}") for n in range(2))
        assert [shown(made), shown(other), kept()] == [200, 200, 2]
        assert made.put(logo_uri=f"{shelf.url}?0", client_name="Docs").status_code == 200
        assert kept() == 2
        for n in range(2, 5):
            assert made.put(logo_uri=f"{shelf.url}?{n}").status_code == 200
            assert kept() == 1
            assert [shown(made), kept()] == [200, 2]
        assert made.delete().status_code == 204
        assert kept() == 1
        shelf.before_answer = other.delete
        other.put(logo_uri=f"{shelf.url}?slow")
        assert shown(other) == 404
        assert kept() == 0


def test_tokens_of_a_deleted_client_are_worth_nothing(services: Services, app: Flask) -> None:
    registry = Registry.open(
        services, app, rules={"grant_types": ["client_credentials"], "scopes": ["openid"]}
    )
    made, other = (registry.register(grant_types=["client_credentials"]) for _ in range(2))
    form = {"grant_type": "client_credentials"}
    token = registry.http.post("/token", form=form, headers=made.basic).json["access_token"]
    assert made.delete().status_code == 204
    answer = registry.http.post("/introspect", form={"token": token}, headers=other.basic)
    assert answer.json == {"active": False}


def test_whoever_turned_registration_off_hears_no_more_updates(registry: Registry, made: Made) -> None:
    """A client can still see and remove what is known of it."""
    registry.decide(registration={"clients": "off"})
    refused(made.put(), "access_denied", 403)
    assert made.read().status_code == 200
    assert made.delete().status_code == 204


def test_of_sixteen_updates_with_one_token_one_wins(made: Made) -> None:
    token = made.told["registration_access_token"]
    said = {"client_id": made.client_id, "redirect_uris": [OTHER]}
    headers = {"Authorization": f"Bearer {token}"}

    def put(_: int) -> int:
        http = type(made.registry.http)(made.registry.http.app, made.registry.tenant)
        return int(http.request("PUT", made.path, headers=headers, json=said).status_code)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(put, range(16)))
    assert found.count(200) == 1
    assert set(found) <= {200, 401, 409, 429, 503}


class TestApproval:
    """Where an administrator looks at clients first."""

    @pytest.fixture
    def waiting(self, services: Services, app: Flask) -> Made:
        return Registry.open(services, app, rules={"approval": True}).register(client_name="Docs")

    def test_a_client_that_waits_may_do_nothing_but_read_itself(self, waiting: Made) -> None:
        assert not waiting.is_known()
        query = {"client_id": waiting.client_id, "response_type": "code", "redirect_uri": CALLBACK}
        assert waiting.registry.http.get("/authorize", query=query).status_code == 400
        assert waiting.read().status_code == 200
        waiting.approve()
        assert waiting.is_known()

    def test_one_that_becomes_another_waits_again(self, waiting: Made) -> None:
        waiting.approve()
        secret = waiting.told["client_secret"]
        assert (
            waiting.put(client_name="Docs", client_secret=secret, contacts=["a@rp.example"]).status_code
            == 200
        )
        assert waiting.is_known()
        assert waiting.put(client_name="Bank", client_secret=secret).status_code == 200
        assert not waiting.is_known()

    def test_what_was_approved_is_what_was_looked_at(self, waiting: Made) -> None:
        """It may change itself while it waits, between the look and the approval."""
        seen = waiting.digest()
        assert waiting.put(client_name="Bank", redirect_uris=[OTHER]).status_code == 200
        for digest in (seen, seen[:-1], "é"):
            with pytest.raises(Problem, match="List it again") as refusal:
                waiting.approve(digest)
            assert refusal.value.code == "client.changed"
        assert not waiting.is_known()
        other = waiting.registry.register(client_name="Bank", redirect_uris=[OTHER])
        assert other.digest() != waiting.digest()
        waiting.approve()
        assert waiting.is_known()


class TestHousekeeping:
    """What the worker removes."""

    def keep(self, registry: Registry) -> None:
        from app.housekeeping import keep_registered_clients

        keep_registered_clients(registry.services)

    def open(self, services: Services, app: Flask, **rules: Any) -> Registry:
        mine = {"grant_types": ["client_credentials", "authorization_code"], "scopes": ["openid"], **rules}
        return Registry.open(services, app, rules=mine)

    def acts(self, registry: Registry, made: Made) -> None:
        """The client is granted a token."""
        answer = registry.http.post("/token", form={"grant_type": "client_credentials"}, headers=made.basic)
        assert answer.status_code == 200, answer.text

    def test_unused_clients_go_and_used_ones_stay(self, services: Services, app: Flask) -> None:
        registry = self.open(services, app, unused_days=10)
        _, token = registry.initial_token(max_uses=2)
        idle, busy = (registry.register(token=token, grant_types=["client_credentials"]) for _ in range(2))
        begin = clock.now()
        for day in (0, 6, 12):
            with time_machine.travel(begin + timedelta(days=day, hours=1), tick=True):
                self.acts(registry, busy)
                self.keep(registry)
        services.versions.touch()
        with time_machine.travel(begin + timedelta(days=12, hours=2), tick=True):
            refused(idle.read(), "invalid_token", 401)
            assert busy.read().status_code == 200
        (record,) = registry.in_outbox("client.deleted")
        assert (record["client"], record["data"]["via"]) == (idle.client_id, "worker")

    def test_unused_clients_stay_where_the_tenant_says_so(self, services: Services, app: Flask) -> None:
        registry = self.open(services, app, unused_days=0)
        idle = registry.register(grant_types=["client_credentials"])
        self.acts(registry, idle)
        with time_machine.travel(clock.now() + timedelta(hours=1), tick=True):
            self.keep(registry)
        with time_machine.travel(clock.now() + timedelta(days=400), tick=True):
            self.keep(registry)
            assert idle.read().status_code == 200

    def test_whoever_knocks_without_being_let_in_is_not_in_use(self, services: Services, app: Flask) -> None:
        """Anybody can make clients where that is open, and have them ask for tokens that nobody allowed."""
        registry = self.open(services, app, unused_days=0)
        public = registry.register(token_endpoint_auth_method="none")
        knocking = registry.register()
        vetted = registry.register()
        invited = registry.register(token=registry.initial_token()[1])
        vetted.approve()
        with time_machine.travel(clock.now() + timedelta(hours=23), tick=True):
            form = {"grant_type": "authorization_code", "code": "x", "client_id": public.client_id}
            refused(registry.http.post("/token", form=form), "invalid_grant")
            assert knocking.is_known()
            self.keep(registry)
            assert knocking.read().status_code == public.read().status_code == 200
        with time_machine.travel(clock.now() + timedelta(hours=25), tick=True):
            self.keep(registry)
            for gone in (public, knocking):
                refused(gone.read(), "invalid_token", 401)
            assert vetted.read().status_code == invited.read().status_code == 200

    def test_a_client_that_waits_for_approval_is_waited_for(self, services: Services, app: Flask) -> None:
        registry = self.open(services, app, approval=True, unused_days=10)
        waiting = registry.register()
        begin = clock.now()
        for days, status in ((9, 200), (11, 401)):
            with time_machine.travel(begin + timedelta(days=days), tick=True):
                self.keep(registry)
                assert waiting.read().status_code == status

    def test_a_client_somebody_allowed_stays(self, services: Services, app: Flask) -> None:
        """Whoever allowed it, though it never fetched its tokens."""
        registry = Registry.open(services, app)
        new_person(services, registry.tenant)
        made = registry.register(redirect_uris=["https://app.example/cb"])
        assert not registered_clients.used_of(services.state, registry.tenant.id, [made.client_id])
        assert "code" in Person(registry.http).through(made.client_id).parameters
        assert registered_clients.used_of(services.state, registry.tenant.id, [made.client_id])

    def test_a_client_is_worth_nothing_the_moment_its_time_is_over(
        self, services: Services, app: Flask
    ) -> None:
        """The worker comes round later."""
        registry = self.open(services, app, lifetime_days=1)
        made = registry.register(grant_types=["client_credentials"])
        self.acts(registry, made)
        self.acts(registry, made)
        with time_machine.travel(clock.now() + timedelta(hours=24, minutes=1), tick=True):
            form = {"grant_type": "client_credentials"}
            refused(registry.http.post("/token", form=form, headers=made.basic), "invalid_client", 401)
            assert made.read().status_code == 200

    def test_clients_whose_time_is_over_go(self, services: Services, app: Flask) -> None:
        registry = Registry.open(services, app, rules={"lifetime_days": 1})
        made = registry.register()
        with time_machine.travel(clock.now() + timedelta(hours=25), tick=True):
            self.keep(registry)
            refused(made.read(), "invalid_token", 401)
