"""What a person does on the pages of second factors."""

from playwright.sync_api import Page

from tests.authenticator_app import AuthenticatorApp


def new_app(page: Page) -> AuthenticatorApp:
    """Choose an authenticator app where the page asks for a second factor, and scan its key."""
    page.locator("#way-totp, #totp-key").first.wait_for(state="attached")
    if page.locator("#totp-key").count() == 0:
        page.click("#way-totp")
    app = AuthenticatorApp()
    # A page on its way has no content at all; a locator waits for what it is to find.
    app.enter(page.locator("#totp-key").text_content() or "")
    return app


def add_app(page: Page) -> tuple[AuthenticatorApp, list[str]]:
    """Add an authenticator app where the page asks for a second factor; gives it and the recovery codes."""
    app = new_app(page)
    page.fill("#code", app.code())
    page.click("#verify")
    page.wait_for_selector(".codes")
    codes = page.locator(".codes code").all_inner_texts()
    page.click("#continue")
    page.wait_for_load_state()
    return app, codes
