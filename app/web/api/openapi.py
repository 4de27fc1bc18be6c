"""The description of everything a program may call, in OpenAPI 3.1, made from the same rows the routes come from."""

import json
import re
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.domain.resources import API_SCOPES
from app.web.api import protocol
from app.web.api.bodies import ProblemDetails
from app.web.api.catalogue import ENDPOINTS, PREFIX, ApiEndpoint
from app.web.endpoints import ENDPOINTS as PROTOCOL_ENDPOINTS

_REF = "#/components/schemas/{model}"
_PATH_PARAMETER = re.compile(r"<(int|uuid):(\w+)>")
_PATH_SCHEMAS = {"int": {"type": "integer", "minimum": 0}, "uuid": {"type": "string", "format": "uuid"}}
_WHY = {
    400: "The request is not valid.",
    401: "The access token is missing, not valid, not meant for this API, or of a sign-in that does not do here: then "
    "the challenge says what would (RFC 9470).",
    403: "The token's scope or its person's permissions do not allow this.",
    404: "There is no such thing in this tenant.",
    409: "It does not fit what is there.",
    413: "The request is too large.",
    415: "The request carries something else than `application/json`.",
    429: "Too many tokens that are none came from this network. Try again after `Retry-After` seconds.",
    503: "Something this server stands on does not answer. Try again after `Retry-After` seconds.",
}


@lru_cache(maxsize=64)
def document(issuer: str) -> str:
    """The description of one tenant's endpoints, as JSON."""
    paths: dict[str, Any] = {}
    for endpoint in PROTOCOL_ENDPOINTS:
        paths.setdefault(endpoint.path, {}).update(protocol.operations(endpoint))
    for row in ENDPOINTS:
        path = PREFIX + _PATH_PARAMETER.sub(r"{\2}", row.path)
        paths.setdefault(path, {})[row.method.lower()] = _operation(row)
    answers: list[type[BaseModel]] = [ProblemDetails, *(row.answer for row in ENDPOINTS)]
    bodies = [row.body for row in ENDPOINTS if row.body is not None]
    _, definitions = models_json_schema(
        [
            *((model, "serialization") for model in dict.fromkeys(answers)),
            *((model, "validation") for model in dict.fromkeys(bodies)),
        ],
        ref_template=_REF,
    )
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Watchword",
                "version": "1",
                "description": "OAuth 2.0, OpenID Connect and the management API of one tenant.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": issuer}],
            "paths": paths,
            "components": {
                "schemas": {**definitions["$defs"], **protocol.SCHEMAS},
                "securitySchemes": _security_schemes(issuer),
            },
        },
        separators=(",", ":"),
    )


def _operation(row: ApiEndpoint) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[kind]}
        for kind, name in _PATH_PARAMETER.findall(row.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in row.query.model_json_schema().get("properties", {}).items()
    ]
    refusals = [400, 401, 403, 429, 503] + ([404] if _PATH_PARAMETER.search(row.path) else [])
    refusals += [409] if row.method != "GET" else []
    refusals += [413, 415] if row.body else []
    needs = f" Needs the permission `{row.permission}`." if row.permission else ""
    return {
        "operationId": row.name,
        "summary": row.summary,
        "description": row.summary + needs,
        "tags": ["api"],
        "parameters": parameters,
        **({"requestBody": _request_body(row.body.__name__)} if row.body else {}),
        "security": [{"openid": [row.scope] if row.scope else ["openid"]}],
        "responses": {
            str(row.status): _json_response("Done.", row.answer.__name__),
            **{
                str(status): _json_response(_WHY[status], "ProblemDetails", "application/problem+json")
                for status in sorted(refusals)
            },
        },
    }


def _request_body(schema: str) -> dict[str, Any]:
    return {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}},
    }


def _json_response(description: str, schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {
        "description": description,
        "content": {media_type: {"schema": {"$ref": _REF.format(model=schema)}}},
    }


def _security_schemes(issuer: str) -> dict[str, Any]:
    return {
        "openid": {
            "type": "openIdConnect",
            "openIdConnectUrl": issuer + "/.well-known/openid-configuration",
            "description": "Scopes: "
            + "; ".join(
                f"`{name}`: {said}"
                for name, said in {name: scope.description for name, scope in API_SCOPES.items()}.items()
            ),
        },
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "client_basic": {"type": "http", "scheme": "basic"},
    }
