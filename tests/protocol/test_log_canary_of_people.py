"""No secret of a person is logged or put on record at DEBUG: what they typed, were sent, were shown and hold is looked
for in everything said while they register, sign in in every way there is, recover, change and leave."""

import dataclasses
import io
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from app.domain import admin_links, authenticators, one_time_links, users
from app.domain.tenants import TenantContext
from app.infra import audit, sms
from app.infra.fetch import Fetcher
from app.infra.log_tables import OutboxMessage
from app.infra.sms import HttpSender, Texter
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol import mailbag
from tests.protocol.browserless import Person, new_person, new_public_client, token_of
from tests.protocol.test_factor_messages import (
    JSON_BODY,
    Receiver,
    ask,
    code_in,
    link_in,
    messages,
    receiver,
)
from tests.protocol.test_factors import elsewhere, protected
from tests.protocol.test_log_canary import said
from tests.protocol.test_tenant_settings import decide
from tests.soft_passkey import SoftPasskey, options_of

if TYPE_CHECKING:
    from tests.conftest import Http

__all__ = ["receiver", "said"]

FIRST = "canary horse battery staple"
NEXT = "canary sentence that is new"
WRONG = "canary that is mistaken for one"
METHODS = {
    "methods": ["password", "passkey", "email"],
    "mfa": {"methods": ["totp", "sms", "email", "passkey"]},
}


@pytest.fixture
def services(services: Services, receiver: Receiver) -> Services:
    sender = HttpSender(Fetcher(("127.0.0.1",)), receiver.url, "canary-of-the-operator", JSON_BODY)
    return dataclasses.replace(services, sign_in_floor_seconds=0.0, sms=Texter(services.vault, sender))


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: "Http") -> Person:
    decide(services, tenant, registration={"people": "open"}, authentication=METHODS)
    new_public_client(services, tenant)
    user_id = new_person(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        user.email_verified, user.password_hash = True, services.passwords.hash(FIRST)
    return Person(http, password=FIRST)


class Secrets:
    """What nobody may be told, by what it is."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {"password": FIRST, "new password": NEXT, "wrong password": WRONG}

    def keep(self, what: str, secret: str) -> str:
        """Remember one; gives it."""
        self.kept[f"{what} {len(self.kept)}"] = secret
        return secret

    def keep_cookies(self, http: "Http") -> None:
        """What the browser holds. Of a session's cookie the second part is secret: the first is its public id."""
        for cookie in http.client._cookies.values():  # type: ignore[attr-defined]
            parts = cookie.value.split(".")
            self.keep("cookie", parts[1] if len(parts) == 3 else cookie.value)

    def keep_link(self, what: str, path: str) -> str:
        """The secret a link ends with; gives the link."""
        self.keep(what, path.rpartition("/")[2])
        return path

    def told_in(self, everything: str) -> list[str]:
        """Which of them are in a text."""
        found = []
        for what, secret in self.kept.items():
            parts = {secret, secret.replace("-", "")} if what.startswith("recovery") else {secret}
            if any(re.search(rf"(?<![\w-]){re.escape(part)}(?![\w-])", everything) for part in parts):
                found.append(what)
        return found


def guessed(person: Person, secrets: Secrets) -> None:
    """Signing in with a password that is wrong, and then with the right one, and adding every factor."""
    page = person.sign_in(person.authorize(), password=WRONG)
    secrets.keep("form token", token_of(page))
    protected(person)
    secrets.keep("key of the app", person.app.secret)
    for code in person.recovery_codes:
        secrets.keep("recovery code", code)
    key = SoftPasskey("http://localhost:8000", synced=True, verifies=True)
    page = person.http.get("/account/factors/passkey")
    person.at = re.findall(r'action="([^"]*/interaction/[^"?]+)', page.text)[0]
    answer = key.create(options_of(page.text))
    secrets.keep("challenge", options_of(page.text)["challenge"])
    person.step(page, step="enrol", way="passkey", name="A key", credential=answer)
    secrets.keep_cookies(person.http)


def second_factors(person: Person, services: Services, tenant: TenantContext, secrets: Secrets) -> None:
    """A wrong and a right code of the app, a recovery code, a code by text message."""
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        authenticators.add_phone(session, user.id, number="+491701234567")
    other = elsewhere(person)
    other.password = FIRST
    page = other.sign_in(other.authorize())
    other.second(page, code=secrets.keep("wrong code", "918273"))
    other.second(page, "recovery", code="AAAA-BBBB-CCCC")
    code = secrets.keep("code of the app", person.app.code())
    assert 'id="allow"' in other.second(page, code=code).text
    secrets.keep_cookies(other.http)
    for way in ("recovery", "sms"):
        other = elsewhere(person)
        other.password = FIRST
        page = other.sign_in(other.authorize())
        if way == "sms":
            page = other.step(page, step="factor", way=way, send="yes")
            code = secrets.keep("code by text", code_in(messages(services, tenant, sms.TOPIC)[-1]))
        else:
            code = other.recovery_codes.pop()
        assert 'id="allow"' in other.second(page, way, code=code).text
    with services.tenancy.session(tenant.id) as session:
        rows = session.scalars(select(OutboxMessage).where(OutboxMessage.topic == sms.TOPIC))
        payloads = [row.payload for row in rows]
    for payload in payloads:
        services.sms.deliver(tenant.id, payload)


def by_mail(person: Person, services: Services, tenant: TenantContext, secrets: Secrets) -> None:
    """Codes and links to sign in."""
    other = elsewhere(person)
    page = ask(other)
    message = messages(services, tenant)[-1]
    code = secrets.keep("code by mail", code_in(message))
    link = secrets.keep_link("magic link", link_in(message, tenant))
    Browser(person.http.app, tenant).get(link, raw=True)
    other.http.get(link, raw=True)
    other.step(page, step="email", code=code)
    other.step(page, step="email", link=link.rpartition("/")[2])


def links(person: Person, services: Services, tenant: TenantContext, secrets: Secrets) -> None:
    """Every kind of link, opened and used: by whom it was sent to, and once more by somebody else."""
    http = Browser(person.http.app, tenant)
    for path, form in (("/forgot", {"login": "alice"}), ("/register", {"email": "new@example.com"})):
        visitor = Person(http)
        visitor.step(visitor.follow(http.get(path)), **form)
    for path in every_link(services, tenant):
        secrets.keep_link(path.split("/")[1], path)
        page = http.get(path)
        assert page.status_code == 200, path
        form = {"csrf_token": token_of(page), "password": NEXT, "username": f"u{len(secrets.kept)}"}
        http.post(path, form={**form, "password": "short"})
        http.post(path, form=form)
        http.post(path, form=form)
    secrets.keep_cookies(http)


def every_link(services: Services, tenant: TenantContext) -> Iterator[str]:
    """Those that were mailed, then one of every other kind, each made once the one before was used."""
    for address in ("alice@example.com", "new@example.com"):
        yield mailbag.path_of(mailbag.newest(services, tenant, address).link, tenant)
    for purpose, path in (
        (one_time_links.RECOVER, "/recover/"),
        (one_time_links.VERIFY_EMAIL, "/email/confirm/"),
        (one_time_links.UNDO_EMAIL, "/email/undo/"),
    ):
        with services.tenancy.session(tenant.id, write=True) as session:
            user = users.find_by_login(session, "alice")
            assert user is not None
            data = {"email": user.email, "verified": True}
            token = one_time_links.create(session, purpose, user_id=user.id, data=data)
        yield path + token
    with services.tenancy.session(tenant.id, write=True) as session:
        token = admin_links.create(session, recover=True)
    yield f"/first-admin/{token}"
    yield invited(services, tenant)


def invited(services: Services, tenant: TenantContext) -> str:
    """The link of an invitation."""
    with services.tenancy.session(tenant.id, write=True) as session:
        token = one_time_links.create(
            session,
            one_time_links.INVITATION,
            data={"email": "guest@example.com", "roles": [], "groups": [], "by_mail": True},
        )
    return f"/invitation/{token}"


def on_record(services: Services, tenant: TenantContext) -> str:
    """Everything the audit was told, and what waits to be sent."""
    streamed = services.state.read_stream([tenant.id], audit.STREAM, "canary", count=1000)
    with services.tenancy.session(tenant.id) as session:
        rows = [json.dumps(payload) for payload in session.scalars(select(OutboxMessage.payload))]
    return "\n".join([*rows, *(e.entry.decode() for found in streamed.values() for e in found)])


def test_no_secret_of_a_person_is_told(
    alice: Person,
    services: Services,
    tenant: TenantContext,
    said: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secrets = Secrets()
    secrets.keep("key of the operator", "canary-of-the-operator")
    guessed(alice, secrets)
    second_factors(alice, services, tenant, secrets)
    by_mail(alice, services, tenant, secrets)
    tokens: dict[str, Any] = alice.tokens(scope="openid offline_access")
    for name in ("access_token", "refresh_token", "id_token"):
        secrets.keep(name, tokens[name])
    alice.http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    links(alice, services, tenant, secrets)
    out, err = capfd.readouterr()
    everything = said.getvalue() + out + err + on_record(services, tenant)
    kinds = {what.rpartition(" ")[0] for what in secrets.kept}
    assert {"reset", "register", "recover", "email", "first-admin", "invitation", "magic link"} <= kinds
    assert "auth.factor.fail" in everything
    assert secrets.told_in(everything) == []
    # The net has no holes: each of them would be found.
    for what, secret in secrets.kept.items():
        assert what in secrets.told_in(f"a line with {secret} in it")
