"""`amr`, `acr` and `auth_time` for every combination of factors: the table in `docs/explanation/assurance.md`, each row
signed in with. The rows of passkeys are held to the rules; their own tests hold the ceremony."""

import dataclasses
import re
import time
from pathlib import Path

import pytest

import app
from app.domain import assurance, authenticators, users
from app.domain.tenants import TenantContext
from app.infra import sms
from app.infra.sms import Texter
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import Person, new_person, new_public_client
from tests.protocol.test_factor_messages import code_in, messages
from tests.protocol.test_factors import Settle, claims_of, elsewhere, protected, settle

__all__ = ["settle"]

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


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http, settle: Settle) -> Person:
    """Somebody with every factor there is but a passkey, in a browser nobody used before."""
    user_id = new_person(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        user.email_verified = True
    new_public_client(services, tenant, require_mfa=False)
    found = protected(Person(http))
    with services.tenancy.session(tenant.id, write=True) as session:
        authenticators.add_phone(session, user_id, number="+491701234567")
    settle(authentication={"methods": ["password", "email"], "mfa": {"methods": ["totp", "sms", "email"]}})
    return elsewhere(found)


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


@pytest.mark.parametrize(("passkey", "after", "amr", "acr"), rows("Passkey"))
def test_each_row_of_passkeys(passkey: str, after: str, amr: tuple[str, ...], acr: str) -> None:
    place, how = passkey.split(", ")
    method = assurance.passkey(synced=place == "synced", verified=how == "verified")
    before = {"": (), "password": ("pwd",), "email": ("otp",)}[after]
    assert assurance.united(before, method) == amr
    assert assurance.acr_of(amr) == acr


def test_the_classes_are_those_of_discovery(http: Http) -> None:
    told = [each for each in re.findall(r"^\| `([^`]+)` \| [A-Z]", PAGE, re.MULTILINE) if each != "acr"]
    assert http.get("/.well-known/openid-configuration").json["acr_values_supported"] == told
