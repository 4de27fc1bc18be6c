"""Attacks by pages of other sites on browsers that say nothing of where a request comes from (Fetch Metadata)."""

import dataclasses
from typing import TYPE_CHECKING

import pytest

from app import create_app
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.protocol import mailbag
from tests.protocol.browserless import Person, token_of
from tests.protocol.test_tenant_settings import decide

if TYPE_CHECKING:
    from tests.conftest import Http


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "https://evil.example"},
        {"Referer": "https://evil.example/x"},
        {"Origin": "null", "Referer": "https://evil.example/x"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_behind_a_link_is_not_sent_from_elsewhere(
    services: Services, tenant: TenantContext, said: dict[str, str]
) -> None:
    """Login CSRF: whoever has a link of their own would sign others in as themselves with it."""
    from tests.conftest import Http as Client

    fast = dataclasses.replace(services, sign_in_floor_seconds=0.0)
    http: Http = Client(create_app(fast.settings, services=fast), tenant)
    decide(services, tenant, registration={"people": "open"})
    thief, victim = Person(http), Client(http.app, tenant)
    page = thief.follow(http.get("/register"))
    http.post(thief.at, raw=True, form={"csrf_token": token_of(page), "email": "thief@example.com"})
    path = mailbag.path_of(mailbag.newest(services, tenant, "thief@example.com").link, tenant)
    form = {
        "csrf_token": token_of(http.get(path)),
        "username": "thief",
        "password": "thiefs-own-passphrase",
    }
    assert victim.post(path, form=form, headers=said).status_code == 403
    ours = services.settings.base_url
    assert victim.post(path, form=form, headers={"Origin": ours}).status_code in (200, 303)
