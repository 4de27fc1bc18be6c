"""No secret is ever logged or put on record, whatever the level: everything issued is looked for in everything said."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from app.infra import audit, logs
from app.infra.log_tables import OutboxMessage
from tests.protocol.registrations import Registry
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

PASSWORD = "canary horse battery staple"


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Iterator[io.StringIO]:
    """Everything every logger says at DEBUG, those of libraries included."""
    root = logging.getLogger()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    level, handlers = root.level, root.handlers[:]
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET_LOGGERS}
    logs.setup("DEBUG")
    root.addHandler(handler)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for name, old in quiet.items():
        logging.getLogger(name).setLevel(old)


def on_record(side: TokenSide) -> str:
    """Everything the audit was told."""
    streamed = side.services.state.read_stream([side.tenant.id], audit.STREAM, "canary", count=500)
    with side.services.tenancy.session(side.tenant.id) as session:
        rows = [json.dumps(payload) for payload in session.scalars(select(OutboxMessage.payload))]
    entries = [entry.entry.decode() for found in streamed.values() for entry in found]
    return "\n".join([*rows, *entries])


def test_no_secret_is_logged_or_put_on_record(
    side: TokenSide, said: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    party, user_id = side.client(), side.user()
    code = side.code(party, user_id, "openid profile offline_access")
    secrets = {"client secret": party.secret, "code": code.code, "verifier": code.verifier}
    issued = side.post("/token", code.form(), party).json
    again = side.refresh(party, issued["refresh_token"]).json
    own = side.client_token(party, scope="read")
    for number, response in enumerate((issued, again, own)):
        for name in ("access_token", "refresh_token", "id_token"):
            if name in response:
                secrets[f"{name} {number}"] = response[name]
    assert len(secrets) >= 9
    side.userinfo(again["access_token"])
    side.userinfo(again["access_token"][:-6] + "canary")
    side.introspect(party, own["access_token"])
    side.post("/token", code.form(), party)
    side.post("/token", {**code.form(), "client_secret": party.secret}, party)
    side.http.post("/token", form={**code.form(), "client_id": party.client_id, "client_secret": PASSWORD})
    side.http.get("/token", query={"client_secret": party.secret, "code": code.code})
    side.http.get(
        "/authorize", query={"client_id": party.client_id, "state": "x", "id_token_hint": issued["id_token"]}
    )
    side.refresh(party, issued["refresh_token"] + "x")
    side.post("/revoke", {"token": again["refresh_token"]}, party)
    out, err = capfd.readouterr()
    everything = said.getvalue() + out + err + on_record(side)
    assert "refused" in everything
    for name, secret in {**secrets, "password": PASSWORD}.items():
        for part in {secret, secret.rpartition(".")[2]}:
            assert part not in everything, f"the {name} was told"


def test_nothing_secret_of_a_registration_is_logged_or_put_on_record(
    side: TokenSide, said: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    """Initial and registration access tokens and client secrets, good, spent and wrong."""
    registry = Registry(side.services, side.tenant, side.http)
    registry.decide(registration={"clients": "token"})
    _, initial = registry.initial_token()
    made = registry.register(token=initial)
    secrets = {name: made.told[name] for name in ("client_secret", "registration_access_token")}
    assert registry.post(token=initial).status_code == 401
    assert registry.post(token=initial[:-6] + "canary").status_code == 401
    assert made.put(client_secret=PASSWORD).status_code == 400
    assert made.put(client_id="another", client_secret=secrets["client_secret"]).status_code == 400
    changed = made.put().json
    secrets |= {"new secret": changed["client_secret"], "new token": changed["registration_access_token"]}
    assert made.read(token=secrets["registration_access_token"]).status_code == 401
    assert made.delete().status_code == 204
    assert len(set(secrets.values())) == 4
    out, err = capfd.readouterr()
    everything = said.getvalue() + out + err + on_record(side)
    assert "client.registered" in everything
    for name, secret in {**secrets, "initial token": initial, "wrong secret": PASSWORD}.items():
        assert secret not in everything, f"the {name} was told"
