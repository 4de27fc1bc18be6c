"""What anybody who registers a client learns of the network within: nothing."""

import pytest
from flask import Flask

from app.web.services import Services
from tests.protocol.registrations import Registry
from tests.protocol.token_side import refused


@pytest.fixture
def registry(services: Services, app: Flask) -> Registry:
    return Registry.open(services, app)


def test_strangers_do_not_learn_what_there_is_within(registry: Registry) -> None:
    """The same words for a name there is and for one there is not; which it was is in the audit."""
    told = set()
    for host in ("localhost", "127.0.0.1", "10.0.0.1", "nowhere.invalid"):
        answer = registry.post(subject_type="pairwise", sector_identifier_uri=f"https://{host}/s")
        refused(answer, "invalid_client_metadata")
        told.add(answer.json["error_description"])
    (words,) = told
    assert words.endswith("sector_identifier_uri: its document cannot be read.")
    on_record = [str(each) for each in registry.in_stream("client.registration.refused")]
    assert ["fetch.address" in each for each in on_record] == [True, True, True, False]
    assert "fetch.name" in on_record[-1]
