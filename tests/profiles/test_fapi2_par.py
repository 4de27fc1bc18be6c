"""FAPI 2.0 Security Profile, final: the modules about pushed authorization requests (PAR)."""

from datetime import timedelta

import pytest
import time_machine

from app.kernel import clock
from tests.profiles.bank import Bank, is_refused
from tests.protocol.browserless import Person

PROFILE = "fapi2-security"


def test_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(person: Person, first: Bank) -> None:
    """Opening the page does not use it up."""
    uri = first.pushed()
    assert 'id="sign-in"' in first.go(person, uri).text
    assert "code" in first.through(person, uri).parameters


def test_par_attempt_reuse_request_uri(person: Person, first: Bank) -> None:
    uri = first.pushed()
    first.through(person, uri)
    assert first.go(person, uri).status_code == 400


def test_par_attempt_to_use_expired_request_uri(person: Person, first: Bank) -> None:
    answer = first.push()
    assert 60 <= answer.json["expires_in"] <= 90
    with time_machine.travel(clock.now() + timedelta(seconds=answer.json["expires_in"] + 1), tick=True):
        assert first.go(person, answer.json["request_uri"]).status_code == 400


def test_par_attempt_to_use_request_uri_for_different_client(
    person: Person, first: Bank, second: Bank
) -> None:
    uri = first.pushed()
    assert second.go(person, uri).status_code == 400
    assert "code" in first.through(person, uri).parameters


def test_par_authorization_request_containing_request_uri_form_param(first: Bank) -> None:
    is_refused(first.push(request_uri="urn:ietf:params:oauth:request_uri:x"), "invalid_request")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE", "PATCH"])
def test_par_attempt_invalid_http_method(first: Bank, method: str) -> None:
    assert first.http.request(method, "/par").status_code == 405


def test_par_ensure_pkce_required(first: Bank) -> None:
    is_refused(first.push(code_challenge=None, code_challenge_method=None), "invalid_request")


def test_par_plain_pkce_rejected(first: Bank) -> None:
    is_refused(first.push(code_challenge_method="plain"), "invalid_request")
    is_refused(first.push(code_challenge_method=None), "invalid_request")


def test_par_without_duplicate_parameters(person: Person, first: Bank) -> None:
    """client_id and request_uri are enough at the authorization endpoint."""
    page = first.http.get(
        "/authorize", query={"client_id": first.client_id, "request_uri": first.pushed(proof=True)}
    )
    assert 'id="sign-in"' in person.follow(page).text
