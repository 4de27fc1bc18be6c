"""The edge: everything that comes in passes here first, and the protocol endpoints are answered here wholly.

It decides which tenant a host and path mean, reads bodies strictly, knows which proxies to believe, and refuses by
itself whatever it does not accept. What is left are pages and JSON APIs, which go on to Flask with their tenant.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol, runtime_checkable

from app.domain.tenants import TenantContext
from app.infra import metrics
from app.infra.certificates import Presented
from app.infra.page_slots import Busy, PageSlots
from app.kernel import ids
from app.kernel.errors import Problem, Unavailable
from app.kernel.settings import Settings
from app.protocols.oauth import errors, reply
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.reply import Reply
from app.protocols.oauth.request import ProtocolRequest
from app.web import forms, headers, strict_json
from app.web.client_certificates import ClientCertificates
from app.web.context import Locator, Place, Proxies
from app.web.endpoints import EDGE, ENDPOINTS, JSON, Endpoint

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
Handler = Callable[[ProtocolRequest], Reply]

WITHOUT_TENANT = ("/health/", "/metrics")
"""Probes and scrapers come by whatever address they know; nothing there names a host."""

STATIC = "/static/"
"""Files need no slot of a page: they are sent in no time, and many at once."""

_HEADERS = (
    ("HTTP_AUTHORIZATION", "authorization"),
    ("HTTP_DPOP", "dpop"),
    ("HTTP_IF_NONE_MATCH", "if-none-match"),
    ("HTTP_ACCEPT", "accept"),
)
_MAX_USER_AGENT = 400
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_NO_FORM: forms.Form = ({}, {})

log = logging.getLogger("watchword.edge")


Observer = Callable[[str, str, int, float, str | None, str, str], object]
"""Told of every answer, for metrics and the access log: endpoint, method, status, seconds it took, tenant, request id
and address. Has to be cheap and never raises."""


@runtime_checkable
class Repeating(Protocol):
    """A handler that may know the answer by the bare words of a request, before anything of them is read."""

    def again(
        self, tenant: TenantContext, authorization: str, address: str, user_agent: str, body: bytes
    ) -> Reply | None: ...


class Recorder(Protocol):
    """Puts on record that what a trusted proxy handed on as a certificate cannot be read. Never raises."""

    def __call__(
        self, error: OAuthError, *, tenant_id: str, address: str, user_agent: str | None
    ) -> None: ...


class Edge:
    """The WSGI application in front of Flask. One per process."""

    def __init__(
        self,
        inner: WsgiApp,
        *,
        settings: Settings,
        locator: Locator,
        handlers: Mapping[str, Handler],
        observe: Observer,
        slots: PageSlots,
        record: Recorder | None = None,
    ) -> None:
        self._record = record
        self._slots = slots
        self._inner = inner
        self._locator = locator
        self._proxies = Proxies(settings.trusted_proxies)
        self._certificates = ClientCertificates(settings, self._proxies)
        self._observe = observe
        self._wrong_host = _wrong_host(settings)
        self._security = headers.security(https=settings.is_https)
        self._routes = {e.path: (e, handlers[e.name]) for e in ENDPOINTS if e.answered_by == EDGE}
        self._again = _repeating(handlers)
        self._parents = {e.parent: (e, handlers[e.name]) for e in ENDPOINTS if e.parent}
        self._preflights = {e.path: headers.preflight(e) for e in ENDPOINTS if e.cors}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. What goes wrong unforeseen is logged under the request's id, and told only that."""
        started = time.perf_counter()
        peer = environ.get("REMOTE_ADDR") or ""
        address = self._proxies.address(peer, environ.get("HTTP_X_FORWARDED_FOR", ""))
        request_id = (
            self._proxies.request_id(peer, environ.get("HTTP_X_REQUEST_ID", "")) or ids.new_request_id()
        )
        turn = _Turn(environ, start_response, peer, address, request_id)
        try:
            body = self._route(turn)
        except Unavailable as problem:
            log.warning("unavailable: %s", problem, extra={"request_id": request_id})
            body = self._send(turn, reply.unavailable(problem))
        except Exception:
            log.exception("request failed", extra={"request_id": request_id})
            if turn.status:
                raise
            body = self._send(turn, reply.failure(request_id))
        self._observe(
            turn.endpoint,
            environ.get("REQUEST_METHOD", ""),
            turn.status,
            time.perf_counter() - started,
            turn.tenant,
            request_id,
            address,
        )
        return body

    def _route(self, turn: "_Turn") -> Iterable[bytes]:
        host, path = turn.environ.get("HTTP_HOST", ""), turn.environ.get("PATH_INFO") or "/"
        if path.startswith(WITHOUT_TENANT):
            return self._pass_on(turn, None)
        place = self._locator.locate(host, path)
        if place is None:
            known = self._locator.serves(host)
            return self._send(turn, _NO_TENANT if known else self._wrong_host)
        turn.tenant = place.tenant.id
        route = self._routes.get(place.path) or self._parents.get(place.path[: place.path.rfind("/") + 1])
        if route is not None and route[0].beside_pages and not place.without_pages:
            method = turn.environ["REQUEST_METHOD"]
            route = route if method in (*route[0].methods, "OPTIONS") else None
        if route is None:
            if place.without_pages and not place.path.startswith("/api/"):
                return self._send(turn, _NO_TENANT)
            return self._pass_on(turn, place)
        endpoint, handler = route
        turn.endpoint, turn.cors = endpoint.name, endpoint.cors
        with self._slots.kept_clear():
            reply = self._answer(turn, place, endpoint, handler)
        return self._send(turn, reply)

    def _answer(self, turn: "_Turn", place: Place, endpoint: Endpoint, handler: Handler) -> Reply:
        environ = turn.environ
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS" and endpoint.cors:
            return Reply(204, self._preflights[endpoint.path], b"")
        try:
            if method not in endpoint.methods:
                raise errors.METHOD_NOT_ALLOWED(
                    method[:20], headers=(("Allow", ", ".join(endpoint.methods)),)
                )
            takes_json, body, form = endpoint.body == JSON, b"", _NO_FORM
            certificate = self._certificate(turn, place) if self._certificates.is_on else None
            if method == "POST" and not takes_json:
                body = _body(environ, forms.is_form, errors.CONTENT_TYPE)
                known = self._known(turn, place, body) if certificate is None else None
                if known is not None:
                    return known
                form = forms.parse(body) if body else _NO_FORM
            request = ProtocolRequest(
                method=method,
                endpoint=endpoint.name,
                tenant=place.tenant,
                form=form[0],
                headers={name: environ[key] for key, name in _HEADERS if key in environ},
                remote_address=turn.address,
                request_id=turn.request_id,
                repeated=form[1],
                user_agent=_user_agent(environ),
                body=body,
                path=place.path,
                certificate=certificate,
                content=_object(environ) if method in ("POST", "PUT") and takes_json else None,
                segment=place.path.rpartition("/")[2] if endpoint.parent else "",
            )
            return handler(request)
        except OAuthError as error:
            return _refuse(turn, error, error)
        except Unavailable:
            raise
        except Problem as problem:
            return _refuse(turn, problem, as_oauth_error(problem))

    def _known(self, turn: "_Turn", place: Place, body: bytes) -> Reply | None:
        again, environ = self._again.get(turn.endpoint), turn.environ
        if again is None or "HTTP_DPOP" in environ:
            return None
        user_agent = _user_agent(environ) or ""
        return again(place.tenant, environ.get("HTTP_AUTHORIZATION", ""), turn.address, user_agent, body)

    def _certificate(self, turn: "_Turn", place: Place | None) -> Presented | None:
        """The certificate of the request. Raises `OAuthError`, put on record, for what is none."""
        try:
            return self._certificates.of(turn.peer, turn.environ)
        except OAuthError as error:
            if self._record is not None and place is not None:
                self._record(
                    error,
                    tenant_id=place.tenant.id,
                    address=turn.address,
                    user_agent=_user_agent(turn.environ),
                )
            raise

    def _send(self, turn: "_Turn", answer: Reply) -> Iterable[bytes]:
        """Start the response and give its body: none for HEAD, whose length is all the same that of GET."""
        turn.status = answer.status
        sent = [*answer.headers, *self._security, ("X-Request-Id", turn.request_id)]
        if turn.cors and headers.CORS_HEADERS[0] not in answer.headers:
            sent += headers.CORS_HEADERS
        if answer.status not in (204, 304):
            sent.append(("Content-Length", str(len(answer.body))))
        turn.start_response(_STATUS_LINES[answer.status], sent)
        return [] if turn.environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]

    def _pass_on(self, turn: "_Turn", place: Place | None) -> Iterable[bytes]:
        """Hand over to Flask, which sees the tenant's prefix as the place it is mounted at."""
        environ = turn.environ
        scheme = environ.get("wsgi.url_scheme", "http")
        environ["wsgi.url_scheme"] = self._proxies.scheme(
            turn.peer, scheme, environ.pop("HTTP_X_FORWARDED_PROTO", "")
        )
        for name in ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX"):
            environ.pop(name, None)
        environ["REMOTE_ADDR"] = environ["watchword.address"] = turn.address
        environ["watchword.request_id"] = turn.request_id
        environ["watchword.tenant"] = place.tenant if place else None
        if self._certificates.is_on:
            try:
                environ["watchword.certificate"] = self._certificate(turn, place)
            except OAuthError as error:
                return self._send(turn, _refuse(turn, error, error))
        if place is not None:
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = place.prefix, place.path

        def start(status: str, sent: list[tuple[str, str]], *rest: Any) -> Any:
            turn.status = int(status[:3])
            return turn.start_response(status, [*sent, ("X-Request-Id", turn.request_id)], *rest)

        if place is None or place.path.startswith(STATIC):
            return self._inner(environ, start)
        try:
            with self._slots.held():
                return self._inner(environ, start)
        except Busy as problem:
            return self._send(turn, _put_off(turn, problem))


class _Turn:
    """What is known of the request in hand."""

    __slots__ = (
        "address",
        "cors",
        "endpoint",
        "environ",
        "peer",
        "request_id",
        "start_response",
        "status",
        "tenant",
    )

    def __init__(
        self, environ: Environ, start_response: StartResponse, peer: str, address: str, request_id: str
    ) -> None:
        self.environ = environ
        self.start_response = start_response
        self.peer = peer
        self.address = address
        self.request_id = request_id
        self.endpoint = "page"
        self.cors = False
        self.status = 0
        self.tenant: str | None = None


_NO_TENANT = Reply(404, headers.PLAIN_TEXT, b"There is nothing here.\n")
_BUSY = b"Too many people are here at the moment. Please try again in a few seconds.\n"


def _repeating(handlers: Mapping[str, object]) -> Mapping[str, Callable[..., Reply | None]]:
    return {name: each.again for name, each in handlers.items() if isinstance(each, Repeating)}


def _wrong_host(settings: Settings) -> Reply:
    """What a host is told that is none of ours; whoever develops here is told which one is."""
    said = "This server is not known by that name.\n"
    if settings.is_loopback:
        said += f"Its address is {settings.base_url}\n"
    return Reply(400, headers.PLAIN_TEXT, said.encode())


def _refuse(turn: _Turn, problem: Problem, error: OAuthError) -> Reply:
    """The detail is for the log; the client gets the fixed text."""
    log.info("refused: %s", problem, extra={"request_id": turn.request_id, "reason": problem.code})
    metrics.refused(problem.code)
    return reply.refusal(error)


def _put_off(turn: _Turn, problem: Busy) -> Reply:
    """Said without Flask and without a store, so that it costs next to nothing; to a browser in words."""
    log.warning("unavailable: %s", problem, extra={"request_id": turn.request_id})
    metrics.refused(problem.code)
    answer = reply.unavailable(problem)
    if "text/html" not in turn.environ.get("HTTP_ACCEPT", ""):
        return answer
    again = ("Retry-After", str(problem.retry_after_seconds))
    return Reply(answer.status, (*headers.PLAIN_TEXT, again), _BUSY)


def _object(environ: Environ) -> dict[str, Any]:
    """The JSON object of the body. Raises `OAuthError` for whatever is not one plain, small object."""
    body = _body(environ, forms.is_json, errors.JSON_TYPE)
    try:
        found = strict_json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise errors.JSON_MALFORMED(ascii(str(fault))[:200]) from None
    if not isinstance(found, dict):
        raise errors.JSON_MALFORMED("no object")
    return found


def _body(environ: Environ, is_of_type: Callable[[str], bool], other_type: errors.Case) -> bytes:
    """The whole body; empty where there is none."""
    if environ.get("QUERY_STRING"):
        raise errors.QUERY_REFUSED()
    if environ.get("HTTP_TRANSFER_ENCODING"):
        raise errors.LENGTH_REQUIRED("chunked body")
    announced = environ.get("CONTENT_LENGTH") or "0"
    if not (announced.isascii() and announced.isdigit()) or len(announced) > 9:
        raise errors.INVALID_REQUEST("Content-Length is no number")
    length = int(announced)
    if length > forms.MAX_BODY_BYTES:
        raise errors.BODY_TOO_LARGE(f"{length} bytes")
    if length == 0:
        return b""
    if not is_of_type(environ.get("CONTENT_TYPE", "")):
        raise other_type()
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) != length:
        raise errors.INVALID_REQUEST("the body is shorter than announced")
    return body


def _user_agent(environ: Environ) -> str | None:
    """The User-Agent header, fit for a log line and a database."""
    given: str | None = environ.get("HTTP_USER_AGENT")
    if not given:
        return None
    given = given[:_MAX_USER_AGENT]
    return given if given.isprintable() else "".join(c if c.isprintable() else "?" for c in given)


def as_oauth_error(problem: Problem) -> OAuthError:
    """A refusal of a lower floor in OAuth's words."""
    case = errors.RATE_LIMITED if problem.status == HTTPStatus.TOO_MANY_REQUESTS else errors.INVALID_REQUEST
    return case(str(problem), retry_after_seconds=getattr(problem, "retry_after_seconds", None))
