"""Invitations and what is done to accounts, by the API: permissions, escalation, and that links stay in the mail."""

import pytest

from app.domain import users
from app.domain.models import Role
from tests import outbox_rows
from tests.conftest import Http
from tests.protocol import mailbag
from tests.protocol.test_api import Api, api, problem
from tests.protocol.test_registration import finish

__all__ = ["api"]

NEW = "colleague@example.com"


def path_of(api: Api, to: str) -> str:
    return mailbag.path_of(mailbag.newest(api.services, api.tenant, to).link, api.tenant)


def invite(
    api: Api, email: str = NEW, token: str | None = None, **body: object
) -> tuple[int, dict[str, object]]:
    answer = api.call("/invitations", token, "POST", json={"email": email, **body})
    return answer.status_code, answer.json


def test_an_invitation_is_mailed_listed_and_accepted(api: Api) -> None:
    status, made = invite(api)
    assert status == 201
    assert set(made) == {"id", "email", "roles", "groups", "created_by", "created_at", "expires_at"}
    assert made["created_by"] == api.admin
    listed = api.call("/invitations").json["invitations"]
    assert made in listed
    path = path_of(api, NEW)
    assert path.rpartition("/")[2] not in api.call("/invitations").text
    browser = Http(api.side.http.app, api.tenant)
    assert finish(browser, path, username="colleague").status_code == 303
    assert made not in api.call("/invitations").json["invitations"]
    assert invite(api)[0] == 409


def test_an_invitation_is_taken_back(api: Api) -> None:
    _, made = invite(api, "gone@example.com")
    assert api.call(f"/invitations/{made['id']}", method="DELETE").status_code == 200
    assert api.call(f"/invitations/{made['id']}", method="DELETE").status_code == 404
    assert Http(api.side.http.app, api.tenant).get(path_of(api, "gone@example.com")).status_code == 404


@pytest.mark.parametrize(
    "body", [{"email": 1}, {"email": "x" * 400}, {"days": 0}, {"days": 31}, {"roles": "admin"}, {"more": 1}]
)
def test_a_malformed_invitation_is_refused(api: Api, body: dict[str, object]) -> None:
    status, told = invite(api, **{"email": NEW, **body})  # type: ignore[arg-type]
    assert status == 400
    assert told["code"] == "request.invalid"


def test_a_body_has_to_be_json_of_a_sane_size(api: Api) -> None:
    for options, status in (
        ({"form": {"email": NEW}}, 415),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"x" * 70_000, "content_type": "application/json"}, 413),
    ):
        assert api.call("/invitations", method="POST", **options).status_code == status


def test_nobody_gives_or_takes_beyond_their_own_permissions(api: Api) -> None:
    """Whoever may invite and manage people, and nothing else, neither makes an administrator nor touches one."""
    with api.services.tenancy.session(api.tenant.id, write=True) as session:
        session.add(Role(name="desk", permissions=["users:*"]))
    desk = api.token(user_id=api.side.user(role="desk"))
    assert invite(api, "desk@example.com", desk, roles=["admin"])[0] == 403
    assert invite(api, "desk@example.com", desk, roles=["desk"])[0] == 201
    for action in ("disable", "sign-out", "unlock", "demand-password", "recovery"):
        assert api.call(f"/users/{api.admin}/{action}", desk, "POST").status_code == 403
    plain = api.side.user()
    assert api.call(f"/users/{plain}/disable", desk, "POST").json["disabled"] is True
    assert api.call(f"/users/{plain}/recovery", desk, "POST").status_code == 409
    assert api.call(f"/users/{plain}/enable", desk, "POST").json["disabled"] is False


def test_a_new_password_is_demanded_of_whoever_has_one(api: Api) -> None:
    """By who may manage people, on record; the page that asks is `test_passwords`'."""
    person = api.side.user()
    problem(api.call(f"/users/{person}/demand-password", method="POST"), 409, "password.missing")
    with api.services.tenancy.session(api.tenant.id, write=True) as session:
        user = users.get(session, person)
        assert user is not None
        user.password_hash = "$argon2id$"
    assert api.call(f"/users/{person}/demand-password", method="POST").json["sub"] == person
    with api.services.tenancy.session(api.tenant.id) as session:
        user = users.get(session, person)
        assert user is not None
        assert user.must_change_password
        told = outbox_rows.events(session, "user.password_demanded")
    assert [event["data"]["target"] for event in told] == [person]


def test_a_recovery_link_goes_to_the_person_alone(api: Api) -> None:
    person = api.side.user()
    with api.services.tenancy.session(api.tenant.id, write=True) as session:
        user = users.get(session, person)
        assert user is not None
        users.set_email(user, "lost@example.com")
    answer = api.call(f"/users/{person}/recovery", method="POST")
    assert answer.status_code == 200
    path = path_of(api, "lost@example.com")
    assert path.startswith("/recover/")
    assert path.rpartition("/")[2] not in answer.text
