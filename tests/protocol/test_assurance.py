"""`amr`, `acr` and `auth_time` for every combination of factors: the table in `docs/explanation/assurance.md`, each row
signed in with."""

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

import app
from app.domain import authenticators, users
from app.domain.models import User
from app.domain.tenants import TenantContext
from app.infra import sms
from app.infra.sms import Texter
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import Person, new_person, new_public_client
from tests.protocol.test_factor_messages import code_in, messages
from tests.protocol.test_factors import Settle, claims_of, elsewhere, protected, settle
from tests.soft_passkey import SoftPasskey, options_of

__all__ = ["settle"]

ORIGIN = "http://localhost:8000"

PAGE = (Path(app.__file__).parent.parent / "docs/explanation/assurance.md").read_text("utf-8")


def rows(first_column: str) -> list[tuple[str, str, tuple[str, ...], str]]:
    """The rows of the table whose first column has this heading."""
    body = PAGE.partition(f"| {first_column} |")[2].partition("\n\n")[0].splitlines()[2:]
    found = []
    for line in body:
        one, two, amr, acr = (cell.strip() for cell in line.strip("|").split("|"))
        found.append((one, two, tuple(amr.strip("`").split()), acr.strip("`")))
    assert found
    return found


class Nobody:
    """Takes text messages nowhere."""

    def send(self, to: str, text: str) -> None:
        """Nothing is delivered in these tests."""


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.05, sms=Texter(services.vault, Nobody()))


def confirm(services: Services, tenant: TenantContext, user_id: str) -> None:
    """Their address is theirs."""
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        user.email_verified = True


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http, settle: Settle) -> Person:
    """Somebody with every factor there is but a passkey, in a browser nobody used before."""
    user_id = new_person(services, tenant)
    confirm(services, tenant, user_id)
    new_public_client(services, tenant, require_mfa=False)
    found = protected(Person(http))
    with services.tenancy.session(tenant.id, write=True) as session:
        authenticators.add_phone(session, user_id, number="+491701234567")
    settle(authentication={"methods": ["password", "email"], "mfa": {"methods": ["totp", "sms", "email"]}})
    return elsewhere(found)


@pytest.fixture
def holder(services: Services, tenant: TenantContext, http: Http, settle: Settle) -> Person:
    """Somebody with a password and a confirmed address, signed in, of whom nothing more is demanded."""
    confirm(services, tenant, new_person(services, tenant))
    new_public_client(services, tenant)
    settle(
        authentication={
            "methods": ["password", "passkey", "email"],
            "mfa": {"methods": ["totp", "passkey"], "required": "none"},
        }
    )
    found = Person(http)
    page = found.http.get("/sign-in")
    found.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    found.sign_in(page)
    return found


def add_passkey(person: Person, *, at: str = ORIGIN, **kind: Any) -> SoftPasskey:
    """Add one from the account."""
    key = SoftPasskey(at, **kind)
    page = person.http.get("/account/factors/passkey")
    person.at = re.findall(r'action="([^"]*/interaction/[^"?]+)', page.text)[0]
    answer = key.create(options_of(page.text))
    page = person.step(page, step="enrol", way="passkey", name="A key", credential=answer)
    if not person.recovery_codes:
        person.save_codes(page)
    return key


@pytest.mark.parametrize(
    ("first", "then", "amr", "acr"), rows("First"), ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_row(
    person: Person,
    services: Services,
    tenant: TenantContext,
    first: str,
    then: str,
    amr: tuple[str, ...],
    acr: str,
) -> None:
    if not then:
        # Who has no second factor is not asked for one.
        with services.tenancy.session(tenant.id, write=True) as session:
            user = users.find_by_login(session, "alice")
            assert user is not None
            for row in authenticators.of_user(session, user.id):
                authenticators.remove(session, user.id, row.id)
    began = int(time.time())
    page = person.authorize()
    if first == "password":
        page = person.sign_in(page)
    else:
        page = person.step(page, step="sign-in", way="email", username="alice")
        page = person.step(page, step="email", code=code_in(messages(services, tenant)[-1]))
    if then in ("sms", "email"):
        page = person.step(page, step="factor", way=then, send="yes")
        topic = sms.TOPIC if then == "sms" else "mail"
        page = person.second(page, then, code=code_in(messages(services, tenant, topic)[-1]))
    elif then == "password":
        page = person.second(page, then, code="", password=person.password)
    elif then:
        page = person.second(page, then)
    assert 'id="allow"' in page.text, page.text
    person.allow(page)
    claims = claims_of(person.tokens())
    assert (tuple(claims["amr"]), claims["acr"]) == (amr, acr)
    assert began <= claims["auth_time"] <= int(time.time())


@pytest.mark.parametrize(
    ("passkey", "after", "amr", "acr"),
    rows("Passkey"),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_row_of_passkeys(
    holder: Person,
    services: Services,
    tenant: TenantContext,
    passkey: str,
    after: str,
    amr: tuple[str, ...],
    acr: str,
) -> None:
    """Made at the account and shown at a sign-in, by an authenticator of software."""
    place, how = passkey.split(", ")
    key = add_passkey(holder, synced=place == "synced", verifies=how == "verified")
    if not after:
        # A passkey is all they have: who has a password is asked for it beside one that did not verify them.
        with services.tenancy.session(tenant.id, write=True) as session:
            session.execute(update(User).values(password_hash=None, email_verified=False))
    holder.http.client.delete_cookie(f"ww-{tenant.id}", path="/")
    began = int(time.time())
    page = holder.authorize()
    if after == "password":
        page = holder.sign_in(page)
    elif after == "email":
        page = holder.step(page, step="sign-in", way="email", username="alice")
        page = holder.step(page, step="email", code=code_in(messages(services, tenant)[-1]))
    if after and "data-passkey" not in page.text:
        page = holder.view("passkey")
    step = "factor" if after else "sign-in"
    page = holder.step(page, step=step, way="passkey", credential=key.get(options_of(page.text)))
    assert 'id="allow"' in page.text, page.text
    holder.allow(page)
    claims = claims_of(holder.tokens())
    assert (tuple(claims["amr"]), claims["acr"]) == (amr, acr)
    assert began <= claims["auth_time"] <= int(time.time())


def test_the_classes_are_those_of_discovery(http: Http) -> None:
    told = [each for each in re.findall(r"^\| `([^`]+)` \| [A-Z]", PAGE, re.MULTILINE) if each != "acr"]
    assert http.get("/.well-known/openid-configuration").json["acr_values_supported"] == told
