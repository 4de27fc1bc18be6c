"""Which models of passkeys are accepted, and what proves that one is of its model: the manufacturer's certificates."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app.domain.access.rbac import give_role
from app.domain.models import Authenticator, User
from app.domain.tenants import TenantContext
from app.infra import attestation_trust
from app.kernel.settings import Settings
from app.web.services import Services
from tests.manufacturer import YESTERDAY, Certified, Manufacturer, blob, entry, signer, written
from tests.protocol.browserless import Person, token_of
from tests.protocol.test_assurance import ORIGIN, add_passkey, holder
from tests.protocol.test_factors import Settle, settle
from tests.protocol.test_passkeys import reasons, remove, settings, show
from tests.soft_passkey import Attest, SoftPasskey, options_of

__all__ = ["holder", "settle"]

MODEL, OTHER = UUID(int=0xE1), UUID(int=0xE2)
REFUSED = "not accepted here"


@pytest.fixture(scope="module")
def maker() -> Manufacturer:
    """The one whose root the operator trusts."""
    return Manufacturer()


@pytest.fixture
def services(services: Services, maker: Manufacturer, tmp_path: Path) -> Services:
    roots = written(tmp_path, roots=maker.root.pem)["roots"]
    trust = attestation_trust.configured(Settings(attestation_roots=roots))
    return dataclasses.replace(services, sign_in_floor_seconds=0.0, attestation_trust=trust)


def knows(person: Person, folder: Path, maker: Manufacturer, *entries: dict[str, Any]) -> None:
    """The server is started again, with the FIDO metadata in place of roots."""
    files = written(folder, blob=blob(signer(maker.root), *entries), root=maker.root.pem)
    known = Settings(fido_metadata=files["blob"], fido_metadata_root=files["root"])
    parts = person.http.app.extensions["watchword"]
    person.http.app.extensions["watchword"] = dataclasses.replace(
        parts, attestation_trust=attestation_trust.configured(known)
    )


def attempt(person: Person, attest: Attest | None, model: UUID = MODEL) -> str:
    """Add a passkey of this attestation; what the page says."""
    key = SoftPasskey(ORIGIN, synced=False, verifies=True, model=model, attest=attest)
    page = person.http.get("/account/factors/passkey")
    at = re.findall(r'action="([^"]*/interaction/[^"?]+)', page.text)[0]
    answer = key.create(options_of(page.text))
    form = {
        "csrf_token": token_of(page),
        "step": "enrol",
        "way": "passkey",
        "name": "x",
        "credential": answer,
    }
    return person.follow(person.http.post(at, raw=True, form=form)).text


def kept(services: Services, tenant: TenantContext) -> list[dict[str, Any]]:
    """What is on record of each passkey."""
    with services.tenancy.session(tenant.id) as session:
        return list(session.scalars(select(Authenticator.data)))


def forged(maker: Manufacturer) -> dict[str, tuple[Attest | None, UUID]]:
    """Attestations that prove nothing, and the model each is to prove."""
    good, stranger = maker.batch(MODEL), Manufacturer()
    by_a_batch = maker.batch(MODEL, by=good)
    return {
        "itself": (None, MODEL),
        "another root": (stranger.batch(MODEL).packed, MODEL),
        "another root of the same name, the true intermediate sent along": (
            dataclasses.replace(stranger.batch(MODEL), above=(maker.between,)).packed,
            MODEL,
        ),
        "without the intermediate": (dataclasses.replace(good, above=()).packed, MODEL),
        "expired": (maker.batch(MODEL, times=YESTERDAY).packed, MODEL),
        "another model's": (maker.batch(OTHER).packed, MODEL),
        "no model's": (maker.batch(None).packed, MODEL),
        "critical": (maker.batch(MODEL, critical=True).packed, MODEL),
        "of another unit": (maker.batch(MODEL, unit="Sales").packed, MODEL),
        "an authority's": (maker.batch(MODEL, ca=True).packed, MODEL),
        "issued by an authenticator": (by_a_batch.packed, MODEL),
        "a platform's, without metadata": (maker.tpm().tpm, MODEL),
    }


def test_verified_wants_a_chain_to_a_root_the_operator_trusts(
    holder: Person, settle: Settle, maker: Manufacturer, services: Services, tenant: TenantContext
) -> None:
    """Section 7.1, steps 22 to 24."""
    settings(settle, attestation="verified", allowed_aaguids=[str(MODEL)])
    key = add_passkey(holder, synced=False, verifies=True, model=MODEL, attest=maker.batch(MODEL).packed)
    assert [each["attested"] for each in kept(services, tenant)] == [True]
    assert 'id="allow"' in show(holder.http, key).text


@pytest.mark.parametrize("listed", [[str(MODEL)], []], ids=["with a list", "without"])
def test_what_proves_no_model_is_refused_where_proof_is_wanted(
    holder: Person,
    settle: Settle,
    maker: Manufacturer,
    services: Services,
    tenant: TenantContext,
    listed: list[str],
) -> None:
    """Section 8.2.1, and RFC 5280 section 6.1: none of these, for the reason of its name."""
    settings(settle, attestation="verified", allowed_aaguids=listed)
    for name, (attest, model) in forged(maker).items():
        assert REFUSED in attempt(holder, attest, model), name
    assert kept(services, tenant) == []


def test_a_statement_signed_with_another_key_is_refused(
    holder: Person, settle: Settle, maker: Manufacturer, services: Services, tenant: TenantContext
) -> None:
    """Section 8.2: certificates are public, so that anybody may send them along."""
    settings(settle, attestation="verified")
    batch = maker.batch(MODEL)
    thief = Certified(batch.certificate, Manufacturer().root.key, batch.above)
    assert "could not be added" in attempt(holder, thief.packed)
    assert kept(services, tenant) == []


def test_a_model_that_is_proved_but_not_listed_is_refused(
    holder: Person, settle: Settle, maker: Manufacturer
) -> None:
    settings(settle, attestation="verified", allowed_aaguids=[str(OTHER)])
    assert REFUSED in attempt(holder, maker.batch(MODEL).packed)


def test_an_attestation_left_out_is_refused_where_proof_is_wanted(
    holder: Person, settle: Settle, services: Services, tenant: TenantContext
) -> None:
    settings(settle, attestation="verified")
    page = holder.http.get("/account/factors/passkey")
    assert options_of(page.text)["attestation"] == "direct"
    at = re.findall(r'action="([^"]*/interaction/[^"?]+)', page.text)[0]
    answer = SoftPasskey(ORIGIN, synced=True, verifies=True, model=MODEL).create(
        {**options_of(page.text), "attestation": "none"}
    )
    form = {"csrf_token": token_of(page), "step": "enrol", "way": "passkey", "credential": answer}
    assert REFUSED in holder.follow(holder.http.post(at, raw=True, form=form)).text
    assert kept(services, tenant) == []


def test_direct_takes_a_models_word_and_writes_down_what_was_proved(
    holder: Person, settle: Settle, maker: Manufacturer, services: Services, tenant: TenantContext
) -> None:
    """So that a tenant can wait until its people have passkeys of which it is known, and then demand it."""
    settings(settle, attestation="direct", allowed_aaguids=[str(MODEL)])
    claimed = add_passkey(holder, synced=False, verifies=True, model=MODEL)
    proved = add_passkey(holder, synced=False, verifies=True, model=MODEL, attest=maker.batch(MODEL).packed)
    assert sorted(each["attested"] for each in kept(services, tenant)) == [False, True]
    for key in (claimed, proved):
        assert 'id="allow"' in show(holder.http, key).text
    settings(settle, attestation="verified", allowed_aaguids=[str(MODEL)])
    assert "not accepted here any more" in show(holder.http, claimed).text
    assert 'id="allow"' in show(holder.http, proved).text


def test_a_model_taken_off_the_list_signs_nobody_in(
    holder: Person, settle: Settle, maker: Manufacturer, services: Services, tenant: TenantContext
) -> None:
    """And does again when it is back: nothing of the passkey is lost."""
    settings(settle, attestation="verified", allowed_aaguids=[str(MODEL)])
    key = add_passkey(holder, synced=False, verifies=True, model=MODEL, attest=maker.batch(MODEL).packed)
    settings(settle, attestation="verified", allowed_aaguids=[str(OTHER)])
    refused = show(holder.http, key)
    assert refused.status_code == 401
    assert "Sign in another way" in refused.text
    assert reasons(services, tenant) == ["passkey.not_allowed"]
    assert "Not accepted here any more" in holder.http.get("/account/passkeys").text
    settings(settle, attestation="verified", allowed_aaguids=[str(MODEL), str(OTHER)])
    assert "Not accepted here any more" not in holder.http.get("/account/passkeys").text
    assert 'id="allow"' in show(holder.http, key).text


def test_a_model_reported_compromised_signs_nobody_in_and_is_not_added(
    holder: Person,
    settle: Settle,
    maker: Manufacturer,
    services: Services,
    tenant: TenantContext,
    tmp_path: Path,
) -> None:
    """FIDO Metadata Service section 3.1.4, by a newer file."""
    knows(holder, tmp_path, maker, entry(MODEL, maker.root))
    settings(settle, attestation="verified")
    key = add_passkey(holder, synced=False, verifies=True, model=MODEL, attest=maker.batch(MODEL).packed)
    assert 'id="allow"' in show(holder.http, key).text
    reports = ("FIDO_CERTIFIED_L1", "ATTESTATION_KEY_COMPROMISE", "UPDATE_AVAILABLE")
    knows(holder, tmp_path, maker, entry(MODEL, maker.root, reports=reports))
    assert "not accepted here any more" in show(holder.http, key).text
    assert reasons(services, tenant) == ["passkey.compromised"]
    assert REFUSED in attempt(holder, maker.batch(MODEL).packed)
    settings(settle, attestation="none")
    assert 'id="allow"' in show(holder.http, key).text


def test_the_metadata_say_whose_certificates_vouch_for_which_model(
    holder: Person,
    settle: Settle,
    maker: Manufacturer,
    services: Services,
    tenant: TenantContext,
    tmp_path: Path,
) -> None:
    """One maker's certificates prove nothing of another's model, and a platform that names no model is taken by the
    anchors its model has. An anchor may be an intermediate certificate, or the batch's own."""
    rival = Manufacturer("Rival Keys")
    lone = maker.batch(UUID(int=0xE4))
    platform = UUID(int=0xE3)
    knows(
        holder,
        tmp_path,
        maker,
        entry(MODEL, maker.between),
        entry(OTHER, rival.root),
        entry(platform, maker.root),
        entry(UUID(int=0xE4), lone),
    )
    settings(settle, attestation="verified")
    assert REFUSED in attempt(holder, rival.batch(MODEL).packed, MODEL)
    assert REFUSED in attempt(holder, maker.batch(OTHER).packed, OTHER)
    assert REFUSED in attempt(holder, rival.tpm().tpm, platform)
    assert REFUSED in attempt(holder, maker.batch(UUID(int=0xE5)).packed, UUID(int=0xE5))
    assert kept(services, tenant) == []
    for model, attest in (
        (MODEL, maker.batch(MODEL).packed),
        (OTHER, rival.batch(OTHER).packed),
        (platform, maker.tpm().tpm),
        (UUID(int=0xE4), lone.packed),
    ):
        add_passkey(holder, synced=False, verifies=True, model=model, attest=attest)
    assert [each["attested"] for each in kept(services, tenant)] == [True] * 4


def test_a_refused_passkey_is_still_asked_for_and_recovery_codes_are_the_way_round(
    holder: Person, settle: Settle, maker: Manufacturer, services: Services, tenant: TenantContext
) -> None:
    """An administrator whose only second factor is refused: a password alone opens nothing, adds nothing, and their
    recovery codes let them in as they did before."""
    key = add_passkey(holder, synced=False, verifies=True, model=MODEL)
    with services.tenancy.session(tenant.id, write=True) as session:
        give_role(session, session.scalars(select(User.id)).one(), "admin")
    strict = {"attestation": "verified", "allowed_aaguids": [str(MODEL)]}
    settle(authentication={"methods": ["password"], "passkeys": strict, "mfa": {"required": "roles"}})
    person = Person(type(holder.http)(holder.http.app, tenant))
    person.recovery_codes = holder.recovery_codes
    page = person.sign_in(person.authorize())
    assert 'value="passkey"' in page.text
    page = person.step(page, step="factor", way="passkey", credential=key.get(options_of(page.text)))
    assert page.status_code == 401
    assert "Sign in another way" in page.text
    assert reasons(services, tenant) == ["passkey.not_allowed"]
    page = person.second(page, "recovery", code=person.recovery_codes[0])
    assert 'id="allow"' in page.text


def test_only_passkeys_that_count_are_asked_for_where_there_are_some(
    holder: Person, settle: Settle, maker: Manufacturer, tenant: TenantContext
) -> None:
    settings(settle, attestation="direct")
    add_passkey(holder, synced=False, verifies=True, model=OTHER)
    key = add_passkey(holder, synced=False, verifies=True, model=MODEL, attest=maker.batch(MODEL).packed)
    settings(settle, attestation="verified")
    person = Person(type(holder.http)(holder.http.app, tenant))
    page = person.sign_in(person.authorize())
    options = options_of(page.text)
    assert len(options["allowCredentials"]) == 1
    page = person.step(page, step="factor", way="passkey", credential=key.get(options))
    assert 'id="allow"' in page.text


def test_a_wish_for_a_passkey_keeps_nobody_out_whose_passkey_is_refused(
    holder: Person, settle: Settle, tenant: TenantContext
) -> None:
    """OIDC Core section 3.1.2.1: `acr_values` is a wish. They go on like somebody who has none."""
    settings(settle, attestation="direct", allowed_aaguids=[str(OTHER)])
    add_passkey(holder, synced=False, verifies=True, model=OTHER)
    person = Person(type(holder.http)(holder.http.app, tenant))
    person.recovery_codes = holder.recovery_codes
    settings(settle, attestation="direct", allowed_aaguids=[str(MODEL)])
    page = person.sign_in(person.authorize(acr_values="phr"))
    page = person.second(page, "recovery", code=person.recovery_codes[0])
    assert 'id="allow"' in page.text


def test_a_refused_passkey_is_no_last_way_in(
    holder: Person, settle: Settle, maker: Manufacturer, services: Services, tenant: TenantContext
) -> None:
    """The one that counts stays, whatever else there is that does not; that one may go."""
    settings(settle, attestation="direct")
    add_passkey(holder, synced=False, verifies=True, model=OTHER)
    add_passkey(holder, synced=False, verifies=True, model=MODEL, attest=maker.batch(MODEL).packed)
    with services.tenancy.session(tenant.id, write=True) as session:
        session.execute(update(User).values(password_hash=None, email_verified=False))
        by_model = {row.data["aaguid"]: row.id for row in session.scalars(select(Authenticator))}
    settings(settle, attestation="verified")
    assert remove(holder, "/account/passkeys", by_model[str(MODEL)]) == 409
    assert remove(holder, "/account/passkeys", by_model[str(OTHER)]) == 303
    assert [each["aaguid"] for each in kept(services, tenant)] == [str(MODEL)]


def test_without_anchors_nothing_proves_a_model(holder: Person, settle: Settle, maker: Manufacturer) -> None:
    """The tenant demands what the deployment cannot check: closed, and `watchword doctor` says so."""
    parts = holder.http.app.extensions["watchword"]
    nobody = attestation_trust.configured(Settings())
    holder.http.app.extensions["watchword"] = dataclasses.replace(parts, attestation_trust=nobody)
    settings(settle, attestation="verified")
    assert REFUSED in attempt(holder, maker.batch(MODEL).packed)


def test_long_chains_fit_into_the_form(holder: Person, settle: Settle, maker: Manufacturer) -> None:
    """Platforms send several certificates."""
    settings(settle, attestation="verified")
    batch = maker.batch(MODEL)
    long = dataclasses.replace(
        batch, above=(*batch.above, *(Manufacturer(f"No {n}").root for n in range(20)))
    )
    key = add_passkey(holder, synced=False, verifies=True, model=MODEL, attest=long.packed)
    assert len(json.dumps([each.hex() for each in long.chain])) > 10_000
    assert 'id="allow"' in show(holder.http, key).text
