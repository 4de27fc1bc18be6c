"""Yes is said by the person the page named, to what the page said."""

from app.domain import consents, one_time_links, users
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import (
    Person,
    consent_form,
    new_person,
    new_public_client,
    token_of,
)
from tests.protocol.test_tenant_settings import decide


def _two_tabs(http: Http, services: Services, tenant: TenantContext) -> tuple[Person, Person]:
    new_person(services, tenant, "alice")
    new_person(services, tenant, "mallory")
    new_public_client(services, tenant)
    return Person(http, "alice"), Person(http, "mallory")


def test_allowing_as_one_person_does_not_bind_another_who_signed_in_since(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """One browser, two tabs: the page in the first still names Alice when the session is Mallory's."""
    first, second = _two_tabs(http, services, tenant)
    page = first.sign_in(first.authorize())
    assert "Alice" in page.text
    second.sign_in(second.authorize(prompt="login"))
    answer = first.allow(page)
    assert "code=" not in answer.text
    assert 'id="allow"' in answer.text
    assert "Mallory" in answer.text
    assert "code=" in first.allow(answer).text


def test_a_page_of_an_earlier_session_counts_no_more(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    first, _ = _two_tabs(http, services, tenant)
    page = first.sign_in(first.authorize())
    answer = first.step(page, **{**consent_form(page), "session": "0" * 36})
    assert 'id="allow"' in answer.text
    assert "code=" not in answer.text


def test_what_was_asked_cannot_be_changed_by_the_form(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """Scopes, client and redirect URI come from what was checked, never from the page."""
    first, _ = _two_tabs(http, services, tenant)
    page = first.sign_in(first.authorize(scope="openid"))
    wider = {
        "scope": "openid email offline_access",
        "redirect_uri": "https://evil.example/",
        "client_id": "x",
    }
    answer = first.step(page, **consent_form(page), **wider)
    assert "evil.example" not in answer.text
    assert "https://app.example/cb?code=" in answer.text
    with services.tenancy.session(tenant.id) as session:
        from sqlalchemy import select

        from app.domain.models import Grant

        assert list(session.scalars(select(Grant)).one().scopes) == ["openid"]


def _confirms(http: Http, services: Services, tenant: TenantContext, username: str) -> None:
    """Open the link that confirms somebody's address, wherever their mailbox is."""
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, username)
        assert user is not None
        token = one_time_links.create(
            session, one_time_links.VERIFY_EMAIL, user_id=user.id, data={"email": user.email}
        )
    path = f"/email/confirm/{token}"
    mailbox = Http(http.app, tenant)
    assert mailbox.post(path, form={"csrf_token": token_of(mailbox.get(path))}).status_code == 200


def _allowed(services: Services, tenant: TenantContext, username: str) -> int:
    with services.tenancy.session(tenant.id) as session:
        user = users.find_by_login(session, username)
        assert user is not None
        return len(consents.of_user(session, user.id))


def test_allowing_does_not_bind_whoever_is_on_their_way_to_a_session(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """The page in the first tab names Alice, whose session is the browser's still. In the same interaction Mallory
    showed who they are and waits to have their address confirmed: once it is, the next step begins their session. A yes
    of Alice's is that step, and must not be Mallory's."""
    first, second = _two_tabs(http, services, tenant)
    _confirms(http, services, tenant, "alice")
    decide(services, tenant, authentication={"require_verified_email": True})
    shown = first.sign_in(first.authorize())
    stale, interaction = consent_form(shown), first.at.partition("?")[0]
    second.at = interaction
    page = second.step(shown, step="switch")
    if 'value="another"' in page.text:
        page = second.step(page, step="choose", account="another")
    assert "I have opened the link" in second.sign_in(page).text
    _confirms(http, services, tenant, "mallory")
    answer = second.follow(http.post(interaction, raw=True, form=stale))
    assert "code=" not in answer.text
    assert 'id="allow"' in answer.text
    assert "Mallory" in answer.text
    assert (_allowed(services, tenant, "alice"), _allowed(services, tenant, "mallory")) == (0, 0)
    assert "code=" in second.allow(answer).text
    assert (_allowed(services, tenant, "alice"), _allowed(services, tenant, "mallory")) == (0, 1)
