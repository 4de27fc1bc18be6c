"""From the catalogue to Flask routes: the check first, then the parameters, then the handler."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g, make_response, request
from pydantic import BaseModel, ValidationError

from app.kernel.errors import Problem
from app.web import pages
from app.web.api import json_bodies, openapi
from app.web.api.bearer import authenticate
from app.web.api.catalogue import ENDPOINTS, PREFIX, ApiEndpoint


def blueprint() -> Blueprint:
    """Every route of the API."""
    found = Blueprint("api", __name__, url_prefix=PREFIX)
    for endpoint in ENDPOINTS:
        found.add_url_rule(
            endpoint.path,
            endpoint.name,
            _view(endpoint),
            methods=[endpoint.method],
            provide_automatic_options=False,
        )
    found.add_url_rule("/openapi.json", "openapi", _description, provide_automatic_options=False)
    found.after_request(_challenge)
    return found


def _view(endpoint: ApiEndpoint) -> Callable[..., Response]:
    def view(**path: Any) -> Response:
        caller = authenticate(endpoint.scope, endpoint.permission, endpoint.area)
        if endpoint.body is not None:
            path["body"] = json_bodies.read(endpoint.body)
        answer = endpoint.handler(caller, _query(endpoint.query), **path)
        return _json(answer.model_dump_json(), endpoint.status)

    return view


def _query(model: type[BaseModel]) -> BaseModel:
    """The query's parameters. Raises `Problem` (`request.invalid`) for one that is unknown, repeated or wrong."""
    given = request.args
    try:
        if any(len(given.getlist(name)) > 1 for name in given):
            raise Problem("request.invalid", "A parameter is repeated.")
        return model.model_validate(given.to_dict())
    except ValidationError as fault:
        names = ", ".join(sorted({str(error["loc"][0])[:40] for error in fault.errors() if error["loc"]}))
        raise Problem(
            "request.invalid", "A query parameter is unknown or not valid.", detail=f"parameters: {names}"
        ) from None


def _description() -> Response:
    return _json(openapi.document(pages.tenant().issuer), 200)


def _json(body: str, status: int) -> Response:
    response = make_response(body, status)
    response.headers["Content-Type"] = "application/json"
    return response


def _challenge(response: Response) -> Response:
    for name, value in g.get("challenges", ()):
        response.headers.add(name, value)
    return response
