"""The OpenAPI description is valid and true: what schemathesis makes of it is answered as it says."""

import json
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.web.api.catalogue import ENDPOINTS, PREFIX
from app.web.endpoints import ENDPOINTS as PROTOCOL_ENDPOINTS
from tests.protocol.test_api import Api, api

__all__ = ["api"]

EXAMPLES = 15
HOST = {"Host": "localhost:8000"}
CHECKED = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [(row.method, PREFIX + re.sub(r"<\w+:(\w+)>", r"{\1}", row.path)) for row in ENDPOINTS]
OPERATIONS += [(method, row.path) for row in PROTOCOL_ENDPOINTS for method in row.methods if method != "HEAD"]


@pytest.fixture(scope="module")
def schema(api: Api) -> Any:
    return schemathesis.openapi.from_wsgi(
        f"{api.tenant.path}{PREFIX}/openapi.json",
        api.side.http.app.wsgi_app,
        base_url=api.services.settings.base_url,
    )


def test_the_description_is_valid_and_names_this_tenant(api: Api, schema: Any) -> None:
    schema.validate()
    content = json.loads(api.side.http.get(PREFIX + "/openapi.json").text)
    assert content["openapi"] == "3.1.0"
    assert content["servers"] == [{"url": api.tenant.issuer}]


def test_it_covers_the_api_and_every_endpoint_of_the_protocols(schema: Any) -> None:
    found = {operation.ok().label for operation in schema.get_all_operations()}
    assert found == {f"{method} {path}" for method, path in OPERATIONS}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_described(
    api: Api, schema: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation: APIOperation[Any] = schema[path][method]
    has_parameters = operation.body or operation.query or operation.path_parameters
    if mode is GenerationMode.NEGATIVE and not has_parameters:
        return  # there is nothing to get wrong
    headers = dict(HOST)
    if path.startswith(PREFIX):
        headers["Authorization"] = f"Bearer {api.token()}"

    @given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis_settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def answered(case: Any) -> None:
        case.validate_response(case.call(headers=headers), checks=CHECKED)

    answered()


def test_the_api_answers_what_it_is_asked_for(api: Api, schema: Any) -> None:
    """The other tests would be content with refusals."""
    api.dead_letter()
    for row in ENDPOINTS[:4]:
        operation = schema[PREFIX + row.path]["GET"]
        headers = {**HOST, "Authorization": f"Bearer {api.token()}"}
        answer = operation.Case().call(headers=headers)
        assert answer.status_code == 200
        operation.validate_response(answer)
