"""The Form Post Basic plan: the modules of the Basic plan with `response_mode=form_post`.

The modules themselves are in `test_basic`, each of which runs once with each response mode; here is that none was left
out, and what is particular to the page that posts.
"""

import inspect
import re
from urllib.parse import urlsplit

from tests.profiles import test_basic
from tests.profiles.browser import Browser
from tests.profiles.relying_party import RelyingParty

MODULES = """
    server response-type-missing idtoken-signature idtoken-unsigned userinfo-get userinfo-post-header
    userinfo-post-body ensure-request-without-nonce-succeeds-for-code-flow scope-profile scope-email scope-address
    scope-phone scope-all alternate-happy-flow display-page display-popup prompt-login prompt-none-not-logged-in
    prompt-none-logged-in max-age-1 max-age-10000 ensure-request-with-unknown-parameter-succeeds id-token-hint
    login-hint ui-locales claims-locales ensure-request-with-acr-values-succeeds codereuse codereuse-30seconds
    ensure-registered-redirect-uri ensure-post-request-succeeds server-client-secret-post
    request-uri-unsigned-supported-correctly-or-rejected-as-unsupported
    unsigned-request-object-supported-correctly-or-rejected-as-unsupported claims-essential
    ensure-request-object-with-redirect-uri refresh-token ensure-request-with-valid-pkce-succeeds
    """.split()


def test_every_module_of_the_basic_plan_is_there_and_runs_by_form_post() -> None:
    """38 modules, each a test of its name, each with every response mode."""
    tests = {n: f for n, f in vars(test_basic).items() if n.startswith("test_oidcc_")}
    assert len(MODULES) == 38
    assert set(tests) == {"test_oidcc_" + module.replace("-", "_") for module in MODULES}
    for name, function in tests.items():
        assert {"party", "mode"} & set(inspect.signature(function).parameters), name


def test_success_is_a_page_that_posts_itself(first_client: RelyingParty, browser: Browser) -> None:
    """Form Post Response Mode section 2: 200, HTML, an auto-submitted POST with the parameters in its fields."""
    visit = first_client.answering_by("form_post").visit(browser)
    assert visit.response.status_code == 200
    assert visit.response.mimetype == "text/html"
    assert "no-store" in visit.response.headers["Cache-Control"]
    arrived = visit.arrival
    assert arrived is not None
    assert arrived.method == "POST"
    assert arrived.query == {}
    assert set(arrived.body) == {"code", "state", "iss"}


def test_script_of_the_page_submits_the_form(first_client: RelyingParty, browser: Browser) -> None:
    """What posts it: the one script its policy allows, from our own origin."""
    visit = first_client.answering_by("form_post").visit(browser)
    found = re.search(r'<script src="([^"]+form_post\.js[^"]*)" defer>', visit.response.text)
    assert found
    script = first_client.wire.get(browser.origin + urlsplit(found[1]).path)
    assert script.status_code == 200
    assert 'getElementById("form-post").submit()' in script.text


def test_error_is_a_page_that_posts_itself(first_client: RelyingParty, browser: Browser) -> None:
    """Errors go the same way."""
    visit = first_client.answering_by("form_post").visit(browser, prompt="none")
    arrived = visit.arrival
    assert visit.response.status_code == 200
    assert arrived is not None
    assert arrived.method == "POST"
    assert arrived.query == {}
    assert arrived.body["error"] == "login_required"


def test_error_for_a_missing_response_type_is_posted(first_client: RelyingParty, browser: Browser) -> None:
    """The programme accepts it as a POST."""
    arrived = first_client.answering_by("form_post").visit(browser, response_type=None).arrival
    assert arrived is not None
    assert arrived.method == "POST"
    assert arrived.body["error"] == "invalid_request"


def test_bad_redirect_uri_posts_nothing(first_client: RelyingParty, browser: Browser) -> None:
    """A page of ours, with no form on it that leads away."""
    visit = first_client.answering_by("form_post").visit(browser, redirect_uri="https://evil.example/")
    assert visit.arrival is None
    assert visit.page.forms == []
    assert visit.response.status_code == 400
