"""The yardstick H: an empty Flask route that answers JSON. Beside it the server alone, without Flask."""

from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, jsonify

flask = Flask(__name__)

_HEADERS = [("Content-Type", "application/json"), ("Content-Length", "3")]


@flask.get("/")
def empty() -> Response:
    """An empty JSON object."""
    return jsonify({})


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Flask, but for `/floor`."""
    if environ["PATH_INFO"] == "/floor":
        start_response("200 OK", _HEADERS)
        return [b"{}\n"]
    return flask(environ, start_response)
