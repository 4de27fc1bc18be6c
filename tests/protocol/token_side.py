"""The token side of one tenant, as a client sees it. One per test module: keys take a moment to make."""

from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.domain.tenants import TenantContext
from app.infra import jose
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol import parties
from tests.protocol.parties import Code, Party


@dataclass(frozen=True)
class TokenSide:
    """Requests to `/token` and its neighbours, and what has to be there before them."""

    services: Services
    tenant: TenantContext
    http: Http

    def client(self, **metadata: Any) -> Party:
        return parties.new_client(self.services, self.tenant, **metadata)

    def user(self, **members: Any) -> str:
        return parties.new_user(self.services, self.tenant, **members)

    def code(self, party: Party, user_id: str, scope: str = "openid profile email", **members: Any) -> Code:
        return parties.new_code(self.services, self.tenant, party, user_id, scope, **members)

    def post(self, path: str, form: Any, party: Party | None = None, **options: Any) -> TestResponse:
        headers = {**(party.basic if party else {}), **options.pop("headers", {})}
        return self.http.post(path, form=form, headers=headers, **options)

    def tokens(
        self, party: Party, user_id: str, scope: str = "openid profile", **members: Any
    ) -> dict[str, Any]:
        """A token response for a fresh code."""
        answer = self.post("/token", self.code(party, user_id, scope, **members).form(), party)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def refresh(self, party: Party, refresh_token: str, **more: str) -> TestResponse:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **more}
        return self.post("/token", form, party)

    def client_token(self, party: Party, **more: Any) -> dict[str, Any]:
        answer = self.post("/token", {"grant_type": "client_credentials", **more}, party)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def introspect(self, party: Party, token: str) -> dict[str, Any]:
        answer = self.post("/introspect", {"token": token}, party)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def userinfo(self, token: str) -> TestResponse:
        return self.http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})

    def read(self, token: str) -> jose.Verified:
        return parties.read_token(self.services, self.tenant, token)


def refused(answer: TestResponse, error: str, status: int = 400) -> None:
    """The answer is this OAuth error, in nothing but the members RFC 6749 section 5.2 knows."""
    assert answer.status_code == status, answer.text
    assert answer.json["error"] == error
    assert set(answer.json) <= {"error", "error_description"}
    description = answer.json["error_description"]
    assert all(" " <= c <= "~" and c not in '"\\' for c in description)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.fixture(scope="module")
def side(_shared_services: Services) -> TokenSide:
    """A tenant with two resources, and everything to talk to its token side."""
    from app import create_app

    services = _shared_services
    tenant = new_tenant(services)
    parties.new_resource(services, tenant, parties.API)
    parties.new_resource(services, tenant, parties.OTHER_API, "list")
    app = create_app(services.settings, services=services)
    return TokenSide(services, tenant, Http(app, tenant))
