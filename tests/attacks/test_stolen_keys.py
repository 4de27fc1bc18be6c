"""Attacks of somebody who found a security key, and knows nothing of its PIN."""

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from app.domain.models import User
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol.browserless import Person
from tests.protocol.test_assurance import add_passkey, holder
from tests.protocol.test_factors import Settle, settle
from tests.soft_passkey import SoftPasskey, options_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

__all__ = ["holder", "settle"]


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


@pytest.fixture
def passkey_only(services: Services, tenant: TenantContext, settle: Settle) -> Settle:
    """Takes the password away, and settles what is demanded."""

    def made(**mfa: object) -> None:
        with services.tenancy.session(tenant.id, write=True) as session:
            session.execute(update(User).values(password_hash=None))
        settle(authentication={"methods": ["passkey"], "mfa": {"methods": ["totp", "passkey"], **mfa}})

    return made


def found(holder: Person, key: SoftPasskey) -> tuple[Person, "TestResponse"]:
    """A thief signs in with a program of their own, which asks the key for no verification."""
    key.verifies = False
    thief = Person(Browser(holder.http.app, holder.http.tenant))
    page = thief.authorize()
    return thief, thief.step(page, step="sign-in", way="passkey", credential=key.get(options_of(page.text)))


@pytest.mark.parametrize("required", ["none", "all"])
def test_a_key_that_asked_for_a_pin_signs_nobody_in_without_it(
    holder: Person, passkey_only: Settle, required: str
) -> None:
    key = add_passkey(holder, synced=False, verifies=True)
    passkey_only(required=required)
    _thief, page = found(holder, key)
    assert page.status_code == 401
    assert "That passkey was not accepted" in page.text


@pytest.mark.parametrize("required", ["none", "all"])
def test_a_key_that_cannot_ask_adds_and_removes_nothing_beside_an_app(
    holder: Person, passkey_only: Settle, required: str
) -> None:
    """Both are things one has, so they are not two factors; but whoever has one of them is not the owner yet."""
    page = holder.http.get("/account/factors/totp")
    holder.at = re.findall(r'action="([^"]*/interaction/[^"?]+)', page.text)[0]
    holder.save_codes(holder.enrol(page))
    key = add_passkey(holder, synced=False, verifies=False)
    passkey_only(required=required)
    thief, page = found(holder, key)
    assert 'id="verify"' in page.text
    assert 'name="step" value="factor"' in page.text
    # Nor does a form nobody was shown.
    assert 'name="step" value="factor"' in thief.step(page, step="enrol", way="passkey", credential="{}").text
    for path in ("/account/factors", "/account/passkeys"):
        listed = thief.http.get(path)
        assert re.findall(r'name="target" value="([0-9a-f-]{36})"', listed.text) == [], path
