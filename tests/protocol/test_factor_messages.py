"""Codes that are sent: signing in by e-mail, with a second browser; codes by e-mail and text as a second factor."""

import base64
import dataclasses
import html
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from app import create_app
from app.domain import users
from app.domain.models import OutboxMessage
from app.domain.tenants import TenantContext
from app.infra import mail, sms
from app.infra.fetch import Fetcher
from app.infra.outbox import DeliveryFailed
from app.infra.sms import HttpSender, Texter
from app.protocols.login.factors.sent_codes import SentCodes
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol.browserless import Person, new_person, new_public_client, token_of
from tests.protocol.test_factors import Settle, claims_of, elsewhere, events, protected, settle

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

__all__ = ["settle"]


class Receiver:
    """An operator's service for text messages."""

    def __init__(self) -> None:
        receiver = self
        self.got: list[tuple[dict[str, str], str]] = []
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/messages"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


JSON_BODY = '{"to": "{to}", "message": {"text": "{text}"}}'


@pytest.fixture
def services(services: Services, receiver: Receiver) -> Services:
    sender = HttpSender(Fetcher(("127.0.0.1",)), receiver.url, "operators-secret", JSON_BODY)
    return dataclasses.replace(services, sign_in_floor_seconds=0.05, sms=Texter(services.vault, sender))


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    """Somebody whose address is confirmed."""
    user_id = new_person(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        user.email_verified = True
    new_public_client(services, tenant)
    return Person(http)


@pytest.fixture
def by_email(person: Person, settle: Settle) -> Person:
    settle(authentication={"methods": ["password", "email"]})
    return person


def messages(services: Services, tenant: TenantContext, topic: str = mail.TOPIC) -> list[dict[str, Any]]:
    """What waits to be sent, opened."""
    with services.tenancy.session(tenant.id) as session:
        rows = session.scalars(
            select(OutboxMessage).where(OutboxMessage.topic == topic).order_by(OutboxMessage.id)
        ).all()
        payloads = [row.payload for row in rows]
    return [
        json.loads(
            services.vault.open(
                topic,
                base64.b64decode(payload["sealed"]),
                tenant=tenant.id,
                table="outbox",
                column="payload",
                row=payload["id"],
            )
        )
        for payload in payloads
    ]


def code_in(message: dict[str, Any]) -> str:
    found = re.search(r"\b(\d{6})\b", message["text"])
    assert found, message["text"]
    return found[1]


def link_in(message: dict[str, Any], tenant: TenantContext) -> str:
    found = re.search(r"\S+/interaction/\S+/email/\S+", message["text"])
    assert found, message["text"]
    assert found[0].startswith(tenant.issuer)
    return urlsplit(html.unescape(found[0])).path


def ask(person: Person, login: str = "alice", **changes: Any) -> "TestResponse":
    """Have a message sent from the sign-in page."""
    return person.step(person.authorize(**changes), step="sign-in", way="email", username=login)


class TestSignInByEmail:
    def test_by_code(self, by_email: Person, services: Services, tenant: TenantContext) -> None:
        page = ask(by_email)
        assert "Check your e-mail" in page.text
        (message,) = messages(services, tenant)
        page = by_email.step(page, step="email", code=code_in(message))
        assert 'id="allow"' in page.text
        by_email.allow(page)
        claims = claims_of(by_email.tokens())
        assert (claims["amr"], claims["acr"]) == (["otp"], "urn:watchword:acr:one-factor")

    def test_by_link_in_the_same_browser(
        self, by_email: Person, services: Services, tenant: TenantContext
    ) -> None:
        ask(by_email)
        page = by_email.http.get(link_in(messages(services, tenant)[0], tenant), raw=True)
        assert "the browser in which you began" in page.text
        link = re.search(r'name="link" value="([^"]+)"', page.text)
        assert link
        by_email.at = by_email.at.partition("?")[0]
        assert 'id="allow"' in by_email.step(page, step="email", link=link[1]).text

    def test_by_link_in_another_browser_signs_in_nobody(
        self, by_email: Person, services: Services, tenant: TenantContext
    ) -> None:
        """Neither the reader's browser nor the one that asked; the code still works where it was asked for."""
        waiting = ask(by_email)
        message = messages(services, tenant)[0]
        other = Browser(by_email.http.app, tenant)
        page = other.get(link_in(message, tenant), raw=True)
        assert "You began in another browser" in page.text
        assert code_in(message) not in page.text
        assert '<form method="post" action="/t' not in page.text.partition("languages")[0]
        assert 'id="sign-in"' in by_email.http.get("/account").text
        assert 'id="sign-in"' in other.get("/account").text
        assert 'id="allow"' in by_email.step(waiting, step="email", code=code_in(message)).text

    def test_good_once(self, by_email: Person, services: Services, tenant: TenantContext) -> None:
        page = ask(by_email)
        code = code_in(messages(services, tenant)[0])
        by_email.step(page, step="email", code=code)
        other = elsewhere(by_email)
        again = other.step(ask(other), step="email", code=code)
        assert again.status_code == 401

    def test_five_tries(self, by_email: Person, services: Services, tenant: TenantContext) -> None:
        page = ask(by_email)
        code = code_in(messages(services, tenant)[0])
        wrong = "000000" if code != "000000" else "111111"
        for _ in range(5):
            assert by_email.step(page, step="email", code=wrong).status_code == 401
        assert by_email.step(page, step="email", code=code).status_code == 401

    def test_parallel_use_lets_one_in(
        self, by_email: Person, services: Services, tenant: TenantContext
    ) -> None:
        page = ask(by_email)
        code = code_in(messages(services, tenant)[0])
        made = [SentCodes(services.state, services.deployment_secrets.pepper()) for _ in range(4)]
        found: list[str | None] = []
        interaction = urlsplit(by_email.at).path.rpartition("/")[2]
        threads = [
            threading.Thread(
                target=lambda c=c: found.append(c.check(tenant.id, interaction, "email-sign-in", code))
            )
            for c in made
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(each is not None for each in found) == 1
        assert page.status_code == 200

    @pytest.mark.parametrize("login", ["nobody", "", "x" * 5000, "a\x00b"])
    def test_nobody_is_not_told(
        self, by_email: Person, services: Services, tenant: TenantContext, login: str
    ) -> None:
        known = ask(by_email)
        other = elsewhere(by_email)
        page = ask(other, login)
        assert page.status_code == known.status_code == 200
        assert "Check your e-mail" in page.text
        assert len(messages(services, tenant)) == 1
        assert other.step(page, step="email", code="123456").status_code == 401

    def test_not_to_an_address_nobody_confirmed(
        self, by_email: Person, services: Services, tenant: TenantContext
    ) -> None:
        new_person(services, tenant, "bob")
        assert "Check your e-mail" in ask(by_email, "bob").text
        assert messages(services, tenant) == []

    def test_nobody_is_bombed(self, by_email: Person, services: Services, tenant: TenantContext) -> None:
        for _ in range(5):
            assert ask(elsewhere(by_email)).status_code == 200
        blocked = ask(elsewhere(by_email))
        assert blocked.status_code == 429
        assert int(blocked.headers["Retry-After"]) > 0
        assert len(messages(services, tenant)) == 5

    def test_only_where_the_tenant_has_it(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        page = person.authorize()
        assert 'id="by-email"' not in page.text
        assert person.step(page, step="sign-in", way="email", username="alice").status_code == 401
        assert messages(services, tenant) == []

    def test_no_password_where_the_tenant_has_none(self, person: Person, settle: Settle) -> None:
        settle(authentication={"methods": ["email"]})
        page = person.authorize()
        assert 'id="password"' not in page.text
        assert 'id="by-email"' in person.sign_in(page).text

    def test_a_second_factor_is_asked_for_all_the_same(
        self, by_email: Person, services: Services, tenant: TenantContext
    ) -> None:
        other = elsewhere(protected(by_email))
        page = other.step(ask(other), step="email", code=code_in(messages(services, tenant)[-1]))
        assert 'value="factor"' in page.text
        # Where mail sets a new password, mailbox and password are one.
        assert 'id="way-password"' not in page.text
        other.allow(other.second(page))
        assert claims_of(other.tokens())["amr"] == ["otp", "mfa"]

    def test_links_are_not_made_of_the_request(
        self, by_email: Person, services: Services, tenant: TenantContext
    ) -> None:
        page = by_email.authorize()
        form = {"csrf_token": token_of(page), "step": "sign-in", "way": "email", "username": "alice"}
        by_email.http.post(
            by_email.at,
            raw=True,
            form=form,
            headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"},
        )
        assert "evil" not in json.dumps(messages(services, tenant))


class TestCodesByEmail:
    def test_as_a_second_factor(
        self, person: Person, settle: Settle, services: Services, tenant: TenantContext
    ) -> None:
        settle(authentication={"mfa": {"methods": ["totp", "email"], "required": "all"}})
        page = person.sign_in(person.authorize())
        assert "Send a code to a…@example.com" in page.text
        page = person.step(page, step="factor", way="email", send="yes")
        (message,) = messages(services, tenant)
        page = person.step(page, step="factor", way="email", code=code_in(message))
        person.allow(page)
        claims = claims_of(person.tokens())
        assert (claims["amr"], claims["acr"]) == (["pwd", "otp", "mfa"], "urn:watchword:acr:two-factor")
        assert len(events(services, tenant, "auth.code.sent")) == 1

    def test_not_by_default(self, person: Person, settle: Settle) -> None:
        settle(authentication={"mfa": {"required": "all"}})
        page = person.sign_in(person.authorize())
        assert "Protect your account" in page.text


class TestTextMessages:
    @pytest.fixture
    def texting(self, person: Person, settle: Settle, services: Services, tenant: TenantContext) -> Person:
        """Somebody who added a telephone at sign-in."""
        settle(authentication={"mfa": {"required": "all"}})
        person.sign_in(person.authorize())
        page = person.view("sms")
        page = person.step(page, step="enrol", way="sms", answer="send", number="+49 (170) 123-4567")
        assert "+491701234567" in page.text
        (message,) = messages(services, tenant, sms.TOPIC)
        assert message["to"] == "+491701234567"
        person.at = person.at.partition("?")[0]
        person.save_codes(person.step(page, step="enrol", way="sms", code=code_in(message)))
        return person

    def test_enrol_and_sign_in(self, texting: Person, services: Services, tenant: TenantContext) -> None:
        other = elsewhere(texting)
        page = other.sign_in(other.authorize())
        assert "…567" in page.text
        assert "1701234567" not in page.text
        page = other.step(page, step="factor", way="sms", send="yes")
        page = other.step(
            page, step="factor", way="sms", code=code_in(messages(services, tenant, sms.TOPIC)[-1])
        )
        other.allow(page)
        claims = claims_of(other.tokens())
        assert (claims["amr"], claims["acr"]) == (["pwd", "sms", "mfa"], "urn:watchword:acr:two-factor")

    def test_few_are_sent(self, texting: Person, services: Services, tenant: TenantContext) -> None:
        """Three in a quarter of an hour, one of them for the enrolment."""
        other = elsewhere(texting)
        page = other.sign_in(other.authorize())
        statuses = [other.step(page, step="factor", way="sms", send="yes").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert len(messages(services, tenant, sms.TOPIC)) == 3

    @pytest.mark.parametrize(
        "number", ["", "0170 1234567", "+0123456789", "+49abc", "+" + "1" * 16, "x" * 3000]
    )
    def test_what_is_no_number(
        self, person: Person, settle: Settle, services: Services, tenant: TenantContext, number: str
    ) -> None:
        settle(authentication={"mfa": {"required": "all"}})
        person.sign_in(person.authorize())
        page = person.step(person.view("sms"), step="enrol", way="sms", answer="send", number=number)
        assert page.status_code == 400
        assert messages(services, tenant, sms.TOPIC) == []

    def test_what_the_service_gets(
        self, texting: Person, services: Services, tenant: TenantContext, receiver: Receiver
    ) -> None:
        with services.tenancy.session(tenant.id) as session:
            row = session.scalars(select(OutboxMessage).where(OutboxMessage.topic == sms.TOPIC)).one()
            payload = row.payload
        event = services.sms.deliver(tenant.id, payload)
        assert event is not None
        assert event.name == "sms.sent"
        ((headers, body),) = receiver.got
        assert headers["Authorization"] == "Bearer operators-secret"
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)["to"] == "+491701234567"
        text = json.loads(body)["message"]["text"]
        # The last line binds the code to the tenant's host (origin-bound one-time codes delivered by SMS).
        assert text.splitlines()[-1] == f"@{urlsplit(tenant.issuer).hostname} #{code_in({'text': text})}"

    @pytest.mark.parametrize(("status", "permanent"), [(400, True), (401, True), (429, False), (503, False)])
    def test_what_the_service_refuses(
        self, services: Services, receiver: Receiver, status: int, permanent: bool
    ) -> None:
        receiver.status = status
        sender = HttpSender(Fetcher(("127.0.0.1",)), receiver.url, "", "To={to}&Body={text}")
        with pytest.raises(DeliveryFailed) as refused:
            sender.send("+491701234567", 'a & b "c" {to}')
        assert refused.value.permanent is permanent
        ((headers, body),) = receiver.got
        assert "Authorization" not in headers
        assert parse_qs(body) == {"To": ["+491701234567"], "Body": ['a & b "c" {to}']}

    def test_off_where_nothing_is_configured(
        self, person: Person, settle: Settle, services: Services
    ) -> None:
        settle(authentication={"mfa": {"required": "all"}})
        off = Person(
            Browser(
                create_app(
                    services.settings,
                    services=dataclasses.replace(services, sms=Texter(services.vault, None)),
                ),
                person.http.tenant,
            )
        )
        page = off.sign_in(off.authorize())
        assert 'id="way-sms"' not in page.text
        assert off.http.get("/account/factors/sms").status_code == 404
