"""The terms in the reader's language: where they are, and what they are about."""

from typing import TYPE_CHECKING, Any

import pytest

from app.domain import tenants
from app.domain.tenants import TenantContext
from app.infra.tenancy import SystemReason
from app.kernel.errors import Problem
from app.web.services import Services
from tests.protocol.browserless import Person, new_person, new_public_client

if TYPE_CHECKING:
    from tests.conftest import Http


def decide(services: Services, tenant: TenantContext, terms: dict[str, Any]) -> None:
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        tenants.update_settings(row, {"terms": terms})
    services.versions.touch()


@pytest.mark.parametrize(
    ("language", "url", "text"),
    [
        ("en", "https://example.com/terms", "What changed &lt;b&gt;"),
        ("de", "https://example.com/agb", "Was neu ist"),
        ("ar", "https://example.com/terms", "What changed &lt;b&gt;"),
    ],
)
def test_terms_in_the_readers_language(
    services: Services, tenant: TenantContext, http: "Http", language: str, url: str, text: str
) -> None:
    """Theirs where there is one, else English; as text."""
    urls = {"en": "https://example.com/terms", "de": "https://example.com/agb"}
    texts = {"en": "What changed <b>", "de": "Was neu ist"}
    decide(services, tenant, {"version": "2", "url": urls, "text": texts})
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    page = person.sign_in(person.authorize(ui_locales=language)).text
    assert f'href="{url}"' in page
    assert text in page


def test_one_for_everybody(services: Services, tenant: TenantContext, http: "Http") -> None:
    decide(services, tenant, {"version": "1", "url": "https://example.com/terms", "text": "For everybody"})
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    page = person.sign_in(person.authorize(ui_locales="de")).text
    assert 'href="https://example.com/terms"' in page
    assert "For everybody" in page


@pytest.mark.parametrize(
    "said",
    [
        {"url": {}},
        {"url": {"en": "http://example.com"}},
        {"url": {"<b>": "https://example.com"}},
        {"text": {"en": "x" * 2001}},
    ],
)
def test_refused(services: Services, tenant: TenantContext, said: dict[str, Any]) -> None:
    with pytest.raises(Problem, match="terms"):
        decide(services, tenant, {"version": "1", "url": "https://example.com/terms", **said})
