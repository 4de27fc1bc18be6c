"""Letting a device in (RFC 8628 section 3.3): the page where its code is typed, and the one where it is compared.

Cross-device flows are phished: somebody else's device, and a link or a code sent to a person who is then asked to allow
it (RFC 10027). Hence: whoever comes sees which application asks, from where and when, and has to say that their own
device shows the code, also where the link brought it along; consent is asked for every time; wrong codes are counted.
"""

from dataclasses import replace

from flask import Flask, Response, make_response, request
from flask_babel import gettext as _

from app.domain import user_agents
from app.domain.client_metadata import DEVICE_CODE
from app.domain.devices_pending import PENDING, PendingDevice, normalized
from app.infra import audit, limits
from app.infra.audit import Event
from app.infra.limits import AUTHORIZE, DEVICE_CODES, DEVICE_CODES_ALL, network_of
from app.kernel import clock
from app.protocols.oauth.endpoints.device_authorization import PATH
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import branding, endings, errors, i18n, oauth, pages, qr, sign_in, turns
from app.web.page_forms import DeviceForm, make_token
from app.web.standings import Standing
from app.web.turns import Turn

QR_SECONDS = 600
_QR_TYPES = {"svg": "image/svg+xml", "txt": "text/plain; charset=utf-8"}


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule(PATH, "device", _enter, methods=["GET"])
    app.add_url_rule(f"{PATH}/done", "device_done", _done, methods=["GET"])
    app.add_url_rule(f"{PATH}/refused", "device_refused", _refused, methods=["GET"])
    app.add_url_rule(f"{PATH}/qr.<kind>", "device_qr", _qr, methods=["GET"])


def _enter() -> Response:
    """The form, or what the code in the address leads to: a page that asks, nothing is decided by coming here."""
    typed = request.args.get("user_code", "")
    if not typed.strip():
        return _form()
    where, parts, origin = pages.tenant(), pages.services(), pages.origin()
    network = network_of(origin.ip)
    looks = DEVICE_CODES.look(where.id, network), DEVICE_CODES_ALL.look(where.id)
    limits.require(parts.state.execute(*looks), DEVICE_CODES, DEVICE_CODES_ALL)
    found = parts.devices.by_user_code(where.id, typed)
    client = parts.clients.get(where.id, found.client_id) if found else None
    if found is None or client is None or DEVICE_CODE not in client.grant_types:
        parts.state.execute(
            DEVICE_CODES.fail(where.id, network),
            DEVICE_CODES_ALL.fail(where.id),
            audit.operation(
                Event(
                    "device.code.fail",
                    tenant_id=where.id,
                    outcome="failure",
                    reason="device.code_wrong",
                    ip=origin.ip,
                    user_agent=origin.user_agent,
                )
            ),
        )
        errors.note("device.code_wrong", "no device waits under the code")
        return _form(_("No device is waiting with this code. Compare it with what your device shows."), typed)
    code = normalized(typed) or ""
    asked = replace(
        AuthorizationRequest.from_json(found.request),
        device=found.id,
        user_code=f"{code[:4]}-{code[4:]}",
        # What was allowed once, on whatever device, says nothing of this one.
        prompt=frozenset({"consent"}),
    )
    return oauth.begin(where, asked)


def show(turn: Turn, standing: Standing) -> Response:
    """Everything the person can judge the request by."""
    asked, client, found = turn.asked, turn.client, waiting(turn)
    if asked is None or client is None or found is None:
        return turns.expired(turn.where, turn.found.id, turn.stub)
    created = clock.from_timestamp(found.created_at)
    return pages.page(
        "device/confirm.html",
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        client_name=i18n.client_name(client),
        client_logo=branding.client_logo(client),
        user_code=asked.user_code,
        ip=found.ip,
        asked_from=pages.services().places.name(found.ip, i18n.language()),
        device=_described(found.user_agent),
        when=i18n.in_words(created),
        when_iso=created.isoformat(),
        elsewhere=network_of(found.ip) != network_of(pages.origin().ip),
        links=sign_in.links(client),
    )


def take(turn: Turn, standing: Standing, form: DeviceForm) -> Response | Turn:
    """Compared, or not theirs."""
    asked = turn.asked
    if asked is None or waiting(turn) is None:
        return turns.expired(turn.where, turn.found.id, turn.stub)
    if form.answer.data == "continue":
        return turns.change(turn, request=replace(asked, device_confirmed=True).to_json())
    if form.answer.data != "deny":
        return errors.error_page(400)
    return endings.refuse(turn, asked, refusals.ACCESS_DENIED)


def waiting(turn: Turn) -> PendingDevice | None:
    """The device behind a turn, as long as it waits."""
    asked = turn.asked
    if asked is None or asked.device is None:
        return None
    found = pages.services().devices.find(turn.where.id, asked.device)
    return found if found is not None and found.status == PENDING and not found.expired else None


def _form(fault: str = "", typed: str = "") -> Response:
    return pages.page(
        "device/enter.html",
        400 if fault else 200,
        opener=True,
        action=pages.url("device"),
        fault=fault,
        typed=typed[:40],
    )


def _done() -> Response:
    return pages.page(
        "device/done.html",
        allowed=True,
        title=_("Your device is connected"),
        text=_(
            "Go back to it: it goes on by itself in a moment. You can disconnect it at any time in your account."
        ),
        account_url=pages.url("account"),
    )


def _refused() -> Response:
    return pages.page(
        "device/done.html",
        allowed=False,
        title=_("Your device is not connected"),
        text=_("Nothing was allowed. You can close this window."),
        account_url="",
    )


def _qr(kind: str) -> Response:
    """The address with a code in it, as a picture for pages or as text for terminals. Whether the code is any good is
    not looked at."""
    code = normalized(request.args.get("user_code", ""))
    if kind not in _QR_TYPES or code is None:
        return errors.error_page(404)
    where = pages.tenant()
    outcome = pages.services().state.execute(AUTHORIZE.count(where.id, network_of(pages.origin().ip)))
    limits.require(outcome, AUTHORIZE)
    address = f"{where.issuer}{PATH}?user_code={code[:4]}-{code[4:]}"
    body = qr.svg(address, is_document=True) if kind == "svg" else qr.terminal(address)
    response = make_response(body)
    response.headers["Content-Type"] = _QR_TYPES[kind]
    response.headers["Cache-Control"] = f"private, max-age={QR_SECONDS}"
    return response


def _described(user_agent: str) -> str:
    agent = user_agents.describe(user_agent)
    named = ", ".join(filter(None, (agent.device, agent.browser, agent.system)))
    return named or user_agent[:80]
