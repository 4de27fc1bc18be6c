"""Errors as pages: what happened, whose turn it is, what to do, and a reference. Programs get problem details."""

import json
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, make_response, request
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from app.infra import metrics
from app.kernel.errors import Problem, Unavailable
from app.kernel.reasons import REASONS
from app.protocols.oauth.errors import Case
from app.web import pages
from app.web.i18n import later

log = logging.getLogger("watchword.pages")

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Words:
    """What a status says to a person."""

    title: str
    text: str
    drawing: str = "alert"
    tone: str = "warn"


_WORDS = {
    400: Words(
        later("This request is not valid"),
        later("The link or form that brought you here does not work. Go back and try again."),
    ),
    401: Words(later("Sign in first"), later("This page is for people who are signed in."), "lock"),
    403: Words(later("This is not allowed"), later("You may not do this here."), "blocked", "danger"),
    404: Words(
        later("There is nothing here"),
        later("The address is wrong, or the page is gone. Check the address, or go back."),
        "search",
    ),
    405: Words(
        later("This does not work that way"),
        later("The page was asked for in a way it does not answer. Go back and try again."),
    ),
    413: Words(later("This is too large"), later("What was sent is larger than this page takes.")),
    429: Words(later("Too many attempts"), later("Wait a while, then try again."), "clock"),
    500: Words(
        later("Something went wrong here"),
        later("It is not your fault. Try again; if it stays, tell us the reference."),
        tone="danger",
    ),
    503: Words(
        later("Not available right now"),
        later("The service is busy or being restarted. Try again in a moment."),
        "clock",
    ),
}

_CLIENT_ADVICE = later(
    "Go back to the application and start again there. If it stays, tell the people who run the application."
)
_WRONG_REQUEST = later("The application sent you here with a request that does not work.")
_WRONG_RETURN = later("The application sent you here with a wrong return address.")
_UNKNOWN_CLIENT = later("The application that sent you here is not known here.")
_OLD_REQUEST = later("The request the application sent you here with has expired, or was answered already.")
_LEADS = {
    "client.unknown": _UNKNOWN_CLIENT,
    "request.client_missing": _UNKNOWN_CLIENT,
    "request.redirect_uri_missing": _WRONG_RETURN,
    "request.redirect_uri_unregistered": _WRONG_RETURN,
    "request_uri.spent": _OLD_REQUEST,
    "request_uri.unknown": _OLD_REQUEST,
}
"""What a refused request says to a person, by its reason. The protocol's words are for who wrote the application."""


def register(app: Flask) -> None:
    """Answer every refusal and fault of the application."""
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _fault)


def refused_request(case: Case, detail: str) -> Response:
    """An authorization request that may not be answered to the client (RFC 6749 section 4.1.2.1)."""
    note(case.reason, detail or case.description)
    return error_page(400, text=_LEADS.get(case.reason, _WRONG_REQUEST), advice=_CLIENT_ADVICE, case=case)


def error_page(
    status: int,
    *,
    title: str = "",
    text: str = "",
    advice: str = "",
    case: Case | None = None,
    home: str = "",
    home_label: str = "",
) -> Response:
    """The page of a status, in its usual words or in those given: fixed English texts are translated here.

    `case` is what an application's developers read, closed at first. Without `home` a tenant's start page is offered.
    """
    if not home and request.environ.get("watchword.tenant") is not None:
        home, home_label = pages.url("start"), _("Go to the start page")
    words = _WORDS.get(status) or _WORDS[500 if status >= 500 else 400]
    return pages.page(
        "error.html",
        status,
        opener=True,
        title=_(title or words.title),
        text=_(text or words.text),
        advice=_(advice) if advice else "",
        tone=words.tone,
        drawing=words.drawing,
        case=case,
        home=home,
        home_label=home_label,
    )


def _problem(problem: Problem) -> Response:
    if problem.status >= 500 and not isinstance(problem, Unavailable):
        log.error("failed: %s", problem, extra={"request_id": pages.reference(), "reason": problem.code})
    else:
        note(problem.code, str(problem))
    if _wants_json():
        response = _details(problem.status, problem.code, problem.public)
    else:
        usual = problem.status in (429, 500, 503)
        response = error_page(problem.status, text="" if usual else problem.public)
    if isinstance(wait := getattr(problem, "retry_after_seconds", None), int):
        response.headers["Retry-After"] = str(wait)
    return response


def _http(fault: HTTPException) -> Response:
    status = fault.code or 500
    if status < 400:
        return make_response(fault.get_response())
    if request.endpoint == "static":
        # No person reads it, and whoever asks for many of them should cost little.
        response = make_response(HTTPStatus(status).phrase, status, {"Content-Type": "text/plain"})
    elif _wants_json():
        response = _details(status, f"http.{status}", HTTPStatus(status).phrase + ".")
    else:
        response = error_page(status)
    # Such as Allow (RFC 9110 section 15.5.6).
    for name, value in fault.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _fault(fault: Exception) -> Response:
    """The process boundary: whatever nobody foresaw is logged under the reference the person reads."""
    log.error("failed", exc_info=fault, extra={"request_id": pages.reference(), "reason": "service.fault"})
    if _wants_json():
        return _details(500, "service.fault", _WORDS[500].text)
    return error_page(500)


def _details(status: int, code: str, text: str) -> Response:
    """Problem details (RFC 9457 section 3)."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": text,
        "code": code,
        "reference": pages.reference(),
    }
    response = make_response(json.dumps(content), status)
    response.headers["Content-Type"] = PROBLEM_TYPE
    return response


def _wants_json() -> bool:
    if request.path.startswith(("/api/", "/health/", "/metrics")):
        return True
    accepted = request.accept_mimetypes
    return (
        bool(accepted)
        and accepted.best_match(("text/html", "application/json", PROBLEM_TYPE), "text/html") != "text/html"
    )


def note(reason: str, text: str) -> None:
    """Log and count a refusal with its reason code, under the request's id. Without a text, the reason's own."""
    metrics.refused(reason)
    said = text or REASONS.get(reason, reason)
    log.info("refused: %s", said, extra={"request_id": pages.reference(), "reason": reason})
