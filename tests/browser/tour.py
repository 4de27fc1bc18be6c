"""Every hosted page, and how to get there: the list behind the accessibility checks and the screenshots."""

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page, Route

from app.domain import authenticators, tenants, users
from app.infra.tenancy import SystemReason
from app.web.brand_preview import make_link
from tests.browser.second_factor import add_app, new_app
from tests.browser.site import API, PASSWORD, PAYMENTS, Site
from tests.browser.virtual_key import Key
from tests.protocol import mailbag

Stop = Callable[[Page, Site], None]
TWO_FACTOR = "urn:watchword:acr:two-factor"


def sign_in(page: Page, username: str = "alice", password: str = PASSWORD) -> None:
    """Fill in the sign-in page and send it."""
    page.fill("#username", username)
    page.fill("#password", password)
    page.click("#sign-in")


def _sign_in(page: Page, site: Site) -> None:
    page.goto(site.authorize_url())


def _wrong(page: Page, site: Site) -> None:
    page.goto(site.authorize_url())
    sign_in(page, password="not the one")


def _too_many(page: Page, site: Site) -> None:
    page.goto(site.authorize_url())
    for _ in range(11):
        sign_in(page, username="nobody at all")


def _again(page: Page, site: Site) -> None:
    page.goto(site.authorize_url("own"))
    sign_in(page)
    page.wait_for_url("**/cb?**")
    page.goto(site.authorize_url("own", prompt="login"))


def _consent(page: Page, site: Site) -> None:
    page.goto(site.authorize_url(scope="openid profile email offline_access read write"))
    sign_in(page)
    page.wait_for_selector("#allow")


def _consent_sensitive(page: Page, site: Site) -> None:
    page.goto(site.authorize_url("tool", scope="openid read history pay", resource=[API, PAYMENTS]))
    sign_in(page)
    page.wait_for_selector("#allow")


def _not_allowed(page: Page, site: Site) -> None:
    page.goto(site.authorize_url("board"))
    sign_in(page, username="bob")


def _expired(page: Page, site: Site) -> None:
    page.goto(site.authorize_url())
    _forget_interaction(page, site)
    page.reload()


def _expired_elsewhere(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/interaction/of-another-browser")


def _continue(page: Page, site: Site) -> None:
    # The page as it is before it goes on by itself.
    page.route("**/interaction/*", _staying)
    page.goto(site.authorize_url())
    page.click("#cancel")
    page.wait_for_selector("#continue")


def _staying(route: Route) -> None:
    response = route.fetch()
    text = response.text().replace('http-equiv="refresh"', 'name="refresh"').replace("data-onward", "")
    route.fulfill(response=response, body=text)


def _bad_redirect(page: Page, site: Site) -> None:
    page.goto(site.authorize_url(redirect_uri="https://elsewhere.example/cb"))


def _first_admin(page: Page, site: Site) -> None:
    page.goto(site.admin_link())


def _first_admin_faults(page: Page, site: Site) -> None:
    page.goto(site.admin_link())
    page.fill("#username", "root")
    page.fill("#email", "root@example.com")
    page.fill("#password", "too short")
    page.click("#continue")


def _first_admin_gone(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/first-admin/used-before")


def _start(page: Page, site: Site) -> None:
    page.goto(site.base_url)
    sign_in(page)


def _start_signed_out(page: Page, site: Site) -> None:
    page.goto(site.base_url)


def _account(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/account")
    sign_in(page)


def _account_security(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/account/security")
    sign_in(page)


def _account_sessions(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/account/sessions")
    sign_in(page)


def _account_data(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/account/data")
    sign_in(page)


def _two_accounts(page: Page, site: Site) -> None:
    page.goto(site.base_url)
    sign_in(page)
    page.goto(site.authorize_url("own", prompt="login"))
    sign_in(page, "bob")
    page.wait_for_url("**/cb?**")


def _account_switcher(page: Page, site: Site) -> None:
    _two_accounts(page, site)
    page.goto(f"{site.base_url}/account")
    page.click("#accounts")


def _choose_account(page: Page, site: Site) -> None:
    _two_accounts(page, site)
    page.goto(site.authorize_url("own", prompt="select_account"))


def _signed_out_of_one(page: Page, site: Site) -> None:
    _two_accounts(page, site)
    page.goto(site.base_url)
    page.click("#accounts")
    page.click("#sign-out")


def _account_applications(page: Page, site: Site) -> None:
    site.allow_everything("alice")
    site.stay_signed_in("alice")
    page.goto(f"{site.base_url}/account/applications")
    sign_in(page)


def _account_applications_empty(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/account/applications")
    sign_in(page, username="carol")


def _sign_out(page: Page, site: Site) -> None:
    _start(page, site)
    page.goto(f"{site.base_url}/sign-out")


def _signed_out(page: Page, site: Site) -> None:
    _sign_out(page, site)
    page.click("#confirm-logout")


def _signed_out_and_on(page: Page, site: Site) -> None:
    page.goto(site.authorize_url("framed"))
    sign_in(page, "carol")
    page.wait_for_url("**/cb?**")
    page.goto(f"{site.base_url}/logout?client_id=framed&post_logout_redirect_uri={quote(site.demo.callback)}")
    # The page as it is while applications sign out in its frames.
    page.route("**/logout", _staying)
    page.click("#confirm-logout")
    page.wait_for_selector("#continue")


def _sign_out_refused(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/logout?post_logout_redirect_uri=https://elsewhere.example/")


def _not_found(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/nowhere")


def _mailbox(page: Page, site: Site) -> None:
    site.keep_mail()
    page.goto(f"{site.base_url}/dev/mailbox")


def _right_to_left(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/t/rtl/")


def _branded(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/t/loud/")


def _own_markup(page: Page, site: Site) -> None:
    page.goto(f"{site.own_origin}/sign-in")


def _brand_preview(page: Page, site: Site) -> None:
    proposed = {"name": "Northwind Traders", "colours": {"brand": "#7a1fa2"}, "radius": 2}
    page.goto(make_link(site.services, site.demo.tenant, proposed))


def _brand_preview_consent(page: Page, site: Site) -> None:
    _brand_preview(page, site)
    page.click("#preview-consent")
    page.wait_for_selector("#preview-sign-in")


def _forget_interaction(page: Page, site: Site) -> None:
    site.forget_interaction(page.url.rpartition("/")[2])


def _register(page: Page, site: Site) -> None:
    page.goto(site.people_url(prompt="create"))


def _register_sent(page: Page, site: Site) -> None:
    _register(page, site)
    page.fill("#email", f"new-{secrets.token_hex(4)}@example.com")
    page.click("#continue")
    page.wait_for_url("**?sent=**")


def _new_account(page: Page, site: Site) -> None:
    page.goto(site.link("registration", "/register", email="new@example.com", interaction=None))


def _new_account_faults(page: Page, site: Site) -> None:
    _new_account(page, site)
    page.fill("#username", "gina")
    page.fill("#password", "short")
    page.fill("#profile-name", "Somebody")
    page.select_option("#profile-team", "Pilots")
    page.check("#agreed")
    page.click("#continue")
    page.wait_for_selector("[role=alert]")


def _new_account_passkey(page: Page, site: Site) -> None:
    """Somebody who has a passkey instead of a password, on their way to it."""
    name = f"new-{secrets.token_hex(4)}"
    Key(page)
    page.goto(site.link("registration", "/register", email=f"{name}@example.com", interaction=None))
    page.fill("#username", name)
    page.fill("#profile-name", "Somebody")
    page.select_option("#profile-team", "Pilots")
    page.check("#agreed")
    page.click("#by-passkey")
    page.wait_for_selector("#passkey")


def _new_account_password(page: Page, site: Site) -> None:
    _new_account_passkey(page, site)
    page.click("#back")
    page.wait_for_selector("#password")


def _way_back(page: Page, site: Site) -> None:
    """A recovery link where people have passkeys alone."""
    _settle_people(site, {"methods": ["passkey"]})
    try:
        _recover(page, site)
    finally:
        _settle_people(site, {"methods": ["password", "passkey", "email"]})


def _settle_people(site: Site, authentication: dict[str, Any]) -> None:
    with site.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, "people")
        assert row is not None
        tenants.update_settings(row, {"authentication": authentication})
    site.services.versions.touch()


def _invitation(page: Page, site: Site) -> None:
    data = {"email": "new@example.com", "roles": [], "groups": [], "by_mail": True}
    page.goto(site.link("invitation", "/invitation", **data))


def _link_gone(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/t/people/invitation/{'x' * 43}")


def _forgot(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/t/people/forgot")


def _forgot_sent(page: Page, site: Site) -> None:
    _forgot(page, site)
    page.fill("#login", "nobody")
    page.click("#continue")
    page.wait_for_url("**?sent=**")


def _reset(page: Page, site: Site) -> None:
    page.goto(site.link("reset_password", "/reset", "gina"))


def _recover(page: Page, site: Site) -> None:
    page.goto(site.link("recover", "/recover", "gina"))


def _password_set(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/t/people/password-set")


def _verify_email(page: Page, site: Site) -> None:
    page.goto(site.people_url())
    sign_in(page, "dana")
    page.wait_for_selector("#resend")


def _confirm_email(page: Page, site: Site) -> None:
    page.goto(site.link("verify_email", "/email/confirm", "gina", email="gina@example.com"))


def _email_confirmed(page: Page, site: Site) -> None:
    _confirm_email(page, site)
    page.click("#continue")
    page.wait_for_selector(".note")


def _undo_email(page: Page, site: Site) -> None:
    page.goto(site.link("undo_email", "/email/undo", "gina", email="gina@example.com", verified=True))


def _password(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/account/password")
    sign_in(page, username="carol")
    page.wait_for_selector("#current")


def _password_faults(page: Page, site: Site) -> None:
    _password(page, site)
    page.fill("#current", PASSWORD)
    page.fill("#password", "too short")
    page.click("#continue")
    page.wait_for_selector("#password-fault")


def _terms(page: Page, site: Site) -> None:
    page.goto(site.people_url())
    sign_in(page, "erin")
    page.wait_for_selector("#decline")


def _keep_account(page: Page, site: Site) -> None:
    page.goto(site.people_url())
    sign_in(page, "finn")
    page.wait_for_selector("h1:has-text('?'), h1:has-text('؟')")


def _gina(page: Page, site: Site, path: str) -> None:
    page.goto(f"{site.base_url}/t/people{path}")
    sign_in(page, "gina")
    page.wait_for_selector("#accounts")


def _account_profile(page: Page, site: Site) -> None:
    _gina(page, site, "/account/profile")


def _account_email(page: Page, site: Site) -> None:
    _gina(page, site, "/account/email")


def _account_delete(page: Page, site: Site) -> None:
    _gina(page, site, "/account/delete")


def _newcomer(site: Site) -> str:
    """Somebody without a second factor, so that every visit finds the page that asks for one."""
    name = f"nora-{secrets.token_hex(4)}"
    services = site.services
    with services.tenancy.session(site.demo.tenant.id, write=True) as session:
        users.create(session, username=name, password_hash=services.passwords.hash(PASSWORD))
    return name


def _enrol(page: Page, site: Site) -> None:
    page.goto(site.authorize_url("own", acr_values=TWO_FACTOR))
    sign_in(page, _newcomer(site))
    page.wait_for_selector("h1")


def _enrol_app(page: Page, site: Site) -> None:
    _enrol(page, site)
    new_app(page)
    page.click("summary")


def _recovery_codes(page: Page, site: Site) -> None:
    _enrol(page, site)
    app = new_app(page)
    page.fill("#code", app.code())
    page.click("#verify")
    page.wait_for_selector(".codes")


def _protected(page: Page, site: Site) -> str:
    """Somebody with an authenticator app, signed in."""
    name = _newcomer(site)
    page.goto(f"{site.base_url}/account/factors/totp")
    sign_in(page, name)
    add_app(page)
    return name


def _factor(page: Page, site: Site) -> None:
    name = _protected(page, site)
    page.context.clear_cookies()
    page.goto(site.authorize_url("own"))
    sign_in(page, name)
    page.wait_for_selector("#code")


def _factor_wrong(page: Page, site: Site) -> None:
    _factor(page, site)
    page.fill("#code", "000000")
    page.click("#verify")
    page.wait_for_selector("[role=alert]")


def _factor_recovery(page: Page, site: Site) -> None:
    _factor(page, site)
    page.click("#way-recovery")


def _account_factors(page: Page, site: Site) -> None:
    _protected(page, site)


def _account_trusted(page: Page, site: Site) -> None:
    _protected(page, site)
    page.goto(f"{site.base_url}/account/factors/trusted-devices")


def _account_new_codes(page: Page, site: Site) -> None:
    _protected(page, site)
    page.goto(f"{site.base_url}/account/factors/recovery-codes")
    page.wait_for_selector("h1")


def _email_code(page: Page, site: Site) -> None:
    page.goto(site.people_url())
    page.fill("#username", "nobody in particular")
    page.click("#by-email")
    page.wait_for_selector("#code")


def _email_elsewhere(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/interaction/{'x' * 43}/email/{'x' * 43}")


def _way(page: Page, site: Site, way: str) -> None:
    _enrol(page, site)
    page.click(f"#way-{way}")


def _enrol_passkey(page: Page, site: Site) -> None:
    _way(page, site, "passkey")
    page.wait_for_selector("#passkey")


def _enrol_telephone(page: Page, site: Site) -> None:
    _way(page, site, "sms")
    page.wait_for_selector("#number")


def _enrol_telephone_code(page: Page, site: Site) -> None:
    _enrol_telephone(page, site)
    page.fill("#number", "+49 170 1234567")
    page.click("#send")
    page.wait_for_selector("#code")


def _with_telephone(page: Page, site: Site) -> None:
    name = _newcomer(site)
    with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
        user = users.find_by_login(session, name)
        assert user is not None
        authenticators.add_phone(session, user.id, number="+491701234567")
    page.goto(site.authorize_url("own"))
    sign_in(page, name)
    page.wait_for_selector("#send")


def _factor_sent(page: Page, site: Site) -> None:
    _with_telephone(page, site)
    page.click("#send")
    page.wait_for_selector("#code")


def _with_passkey(page: Page, site: Site) -> str:
    """Somebody with a passkey in this browser, looking at their passkeys. Nothing is filled in by itself any more."""
    name = _newcomer(site)
    Key(page)
    page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    page.goto(f"{site.base_url}/account/passkeys")
    sign_in(page, name)
    page.click("#add")
    page.fill("#name", "My laptop")
    page.click("#passkey")
    page.click("[value=saved]")
    page.wait_for_selector("#add")
    return name


def _account_passkeys(page: Page, site: Site) -> None:
    _with_passkey(page, site)


def _factor_passkey(page: Page, site: Site) -> None:
    name = _with_passkey(page, site)
    page.context.clear_cookies()
    page.goto(site.authorize_url("own"))
    sign_in(page, name)
    page.wait_for_selector("#passkey")


def _factor_password(page: Page, site: Site) -> None:
    _email_here(page, site)
    page.click("#verify")
    page.click("#way-password")
    page.wait_for_selector("#password")


def _change_password(page: Page, site: Site) -> None:
    name = _newcomer(site)
    with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
        user = users.find_by_login(session, name)
        assert user is not None
        user.must_change_password = True
    page.goto(site.authorize_url("own"))
    sign_in(page, name)
    page.wait_for_selector(".strength", state="attached")


def _email_here(page: Page, site: Site) -> None:
    name = f"hana-{secrets.token_hex(4)}"
    with site.services.tenancy.session(site.people().id, write=True) as session:
        password = site.services.passwords.hash(PASSWORD)
        user = users.create(
            session, username=name, email=f"{name}@example.com", email_verified=True, password_hash=password
        )
        authenticators.add_phone(session, user.id, number="+491701234567")
    page.goto(site.people_url())
    page.fill("#username", name)
    page.click("#by-email")
    page.wait_for_selector("#code")
    letter = mailbag.newest(site.services, site.people(), f"{name}@example.com")
    page.goto(next(word for word in letter.text.split() if "/interaction/" in word))


def _form_post(page: Page, site: Site) -> None:
    # The page as it is where no script sends it on.
    page.route("**/form_post.js*", lambda route: route.abort())
    page.goto(site.authorize_url("own", response_mode="form_post"))
    sign_in(page)
    page.wait_for_selector("#form-post")


def _device(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/device")


def _device_wrong(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/device")
    page.fill("#user_code", "BBBB-BBBB")
    page.click("#continue")


def _device_confirm(page: Page, site: Site) -> None:
    page.goto(site.device()["verification_uri_complete"])


def _device_done(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/device/done")


def _device_refused(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/device/refused")


TOUR: dict[str, Stop] = {
    "device": _device,
    "device-wrong": _device_wrong,
    "device-confirm": _device_confirm,
    "device-done": _device_done,
    "device-refused": _device_refused,
    "sign-in": _sign_in,
    "sign-in-wrong": _wrong,
    "sign-in-too-many": _too_many,
    "sign-in-again": _again,
    "enrol": _enrol,
    "enrol-app": _enrol_app,
    "recovery-codes": _recovery_codes,
    "factor": _factor,
    "factor-wrong": _factor_wrong,
    "factor-recovery": _factor_recovery,
    "email-code": _email_code,
    "email-elsewhere": _email_elsewhere,
    "email-here": _email_here,
    "enrol-passkey": _enrol_passkey,
    "enrol-telephone": _enrol_telephone,
    "enrol-telephone-code": _enrol_telephone_code,
    "factor-passkey": _factor_passkey,
    "factor-telephone": _with_telephone,
    "factor-sent": _factor_sent,
    "factor-password": _factor_password,
    "change-password": _change_password,
    "account-passkeys": _account_passkeys,
    "account-new-codes": _account_new_codes,
    "form-post": _form_post,
    "account-factors": _account_factors,
    "account-trusted-devices": _account_trusted,
    "consent": _consent,
    "consent-sensitive": _consent_sensitive,
    "not-allowed": _not_allowed,
    "expired": _expired,
    "expired-elsewhere": _expired_elsewhere,
    "one-moment": _continue,
    "bad-redirect": _bad_redirect,
    "first-admin": _first_admin,
    "first-admin-faults": _first_admin_faults,
    "first-admin-gone": _first_admin_gone,
    "start": _start,
    "start-signed-out": _start_signed_out,
    "account": _account,
    "account-security": _account_security,
    "account-sessions": _account_sessions,
    "account-data": _account_data,
    "account-switcher": _account_switcher,
    "choose-account": _choose_account,
    "signed-out-of-one": _signed_out_of_one,
    "account-applications": _account_applications,
    "account-applications-empty": _account_applications_empty,
    "sign-out": _sign_out,
    "signed-out": _signed_out,
    "signed-out-and-on": _signed_out_and_on,
    "sign-out-refused": _sign_out_refused,
    "not-found": _not_found,
    "register": _register,
    "register-sent": _register_sent,
    "new-account": _new_account,
    "new-account-faults": _new_account_faults,
    "new-account-passkey": _new_account_passkey,
    "new-account-password": _new_account_password,
    "invitation": _invitation,
    "link-gone": _link_gone,
    "forgot": _forgot,
    "forgot-sent": _forgot_sent,
    "reset": _reset,
    "recover": _recover,
    "way-back": _way_back,
    "password-set": _password_set,
    "verify-email": _verify_email,
    "confirm-email": _confirm_email,
    "email-confirmed": _email_confirmed,
    "undo-email": _undo_email,
    "password": _password,
    "password-faults": _password_faults,
    "terms": _terms,
    "keep-account": _keep_account,
    "account-profile": _account_profile,
    "account-email": _account_email,
    "account-delete": _account_delete,
    "mailbox": _mailbox,
    "right-to-left": _right_to_left,
    "branded": _branded,
    "own-markup": _own_markup,
    "brand-preview": _brand_preview,
    "brand-preview-consent": _brand_preview_consent,
}


def visit(page: Page, site: Site, name: str) -> None:
    """Go to a stop, and note which page it is."""
    site.rendered.clear()
    TOUR[name](page, site)
    page.wait_for_load_state("load")
    if site.rendered:
        site.toured |= site.rendered[-1]
