"""The yardstick H: an empty Flask route that answers JSON."""

from flask import Flask, Response, jsonify

application = Flask(__name__)


@application.get("/")
def empty() -> Response:
    """An empty JSON object."""
    return jsonify({})
