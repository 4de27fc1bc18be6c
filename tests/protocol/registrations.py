"""A tenant where clients register themselves, as such a client sees it, and what is on record of it."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.domain import initial_tokens, registered_clients, tenants
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.tenancy import SystemReason
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http, new_tenant
from tests.protocol.parties import basic

CALLBACK = "https://rp.example/cb"


@dataclass
class Registry:
    """Registration at one tenant."""

    services: Services
    tenant: TenantContext
    http: Http
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(
        cls, services: Services, app: Flask, clients: str = "open", *, rules: Any = None, **settings: Any
    ) -> "Registry":
        """A tenant of this policy."""
        tenant = new_tenant(services)
        found = cls(services, tenant, Http(app, tenant))
        found.decide(registration={"clients": clients, "client_rules": rules or {}}, **settings)
        return found

    def decide(self, **settings: Any) -> None:
        """As `watchword apply` does, while the server runs."""
        with self.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            row = tenants.find(session, self.tenant.slug)
            assert row is not None
            tenants.update_settings(row, settings)
        self.services.versions.touch()
        found = self.services.tenants.by_id(self.tenant.id)
        assert found is not None
        self.tenant = found

    def initial_token(self, *, max_uses: int | None = 1, seconds: int = 3600) -> tuple[str, str]:
        """A new initial access token's id, and the token."""
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            pepper = self.services.deployment_secrets.pepper()
            found, token = initial_tokens.create(
                session, pepper, name="test", max_uses=max_uses, seconds=seconds, by=None
            )
        return found.id, token

    def post(self, said: Any = None, *, token: str | None = None, **members: Any) -> TestResponse:
        """Ask for a client of these members."""
        whole = {"redirect_uris": [CALLBACK], **members} if said is None else said
        headers = {**self.headers, **bearer(token)}
        return self.http.post("/register", json=whole, headers=headers)

    def register(self, **members: Any) -> "Made":
        """A client, which has to come about."""
        answer = self.post(**members)
        assert answer.status_code == 201, answer.text
        return Made(self, answer.json)

    def in_stream(self, event: str) -> list[dict[str, Any]]:
        """What was put on record by way of the state store."""
        name = f"t{secrets.token_hex(4)}"
        stream = self.services.state.read_stream([self.tenant.id], audit.STREAM, name, count=5000)
        found = [json.loads(entry.entry) for entry in stream.get(self.tenant.id, [])]
        return [record for record in found if record["event"] == event]

    def in_outbox(self, event: str) -> list[dict[str, Any]]:
        """What was put on record with a change."""
        with self.services.tenancy.session(self.tenant.id) as session:
            return outbox_rows.events(session, event)

    def refusals(self) -> list[str]:
        """Why registrations were refused, oldest first."""
        return [record["reason"] for record in self.in_stream("client.registration.refused")]


@dataclass
class Made:
    """A client that registered itself."""

    registry: Registry
    told: dict[str, Any]

    @property
    def client_id(self) -> str:
        """Its id."""
        return str(self.told["client_id"])

    @property
    def path(self) -> str:
        """Where its registration is, below the issuer."""
        return str(self.told["registration_client_uri"]).removeprefix(self.registry.tenant.issuer)

    @property
    def basic(self) -> dict[str, str]:
        """Its credentials."""
        return basic(self.client_id, self.told["client_secret"])

    def approve(self, digest: str | None = None) -> None:
        """As an administrator does who looked at it now, or when it had another digest."""
        tenant_id, services = self.registry.tenant.id, self.registry.services
        with services.tenancy.session(tenant_id, write=True) as session:
            registered_clients.approve(session, self.client_id, digest or self.digest())
        services.versions.touch()

    def digest(self) -> str:
        """What an administrator who lists it reads."""
        with self.registry.services.tenancy.session(self.registry.tenant.id) as session:
            listed = registered_clients.listed(session)
        return next(each.digest for each in listed if each.client_id == self.client_id)

    def read(self, **options: Any) -> TestResponse:
        """Ask for its registration."""
        return self._send("GET", **options)

    def put(self, said: Any = None, *, token: str | None = None, **members: Any) -> TestResponse:
        """Replace it. The token changes when that succeeds."""
        whole = (
            {"client_id": self.client_id, "redirect_uris": [CALLBACK], **members} if said is None else said
        )
        answer = self._send("PUT", token=token, json=whole)
        if answer.status_code == 200:
            self.told = {**self.told, **answer.json}
        return answer

    def delete(self, **options: Any) -> TestResponse:
        """Delete it."""
        return self._send("DELETE", **options)

    def is_known(self) -> bool:
        """Whether it can authenticate."""
        form = {"grant_type": "authorization_code", "code": "x", "redirect_uri": CALLBACK}
        answer = self.registry.http.post("/token", form=form, headers=self.basic)
        return bool(answer.json["error"] != "invalid_client")

    def _send(self, method: str, *, token: str | None = None, **options: Any) -> TestResponse:
        shown = self.told["registration_access_token"] if token is None else token
        return self.registry.http.request(method, self.path, headers=bearer(shown), **options)


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token, where there is one."""
    return {"Authorization": f"Bearer {token}"} if token else {}
