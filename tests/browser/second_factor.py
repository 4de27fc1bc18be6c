"""What a person does on the pages of second factors."""

from playwright.sync_api import Page

from tests.authenticator_app import AuthenticatorApp


def add_app(page: Page) -> tuple[AuthenticatorApp, list[str]]:
    """Add an authenticator app where the page asks for a second factor; gives it and the recovery codes."""
    page.locator("#way-totp, #totp-key").first.wait_for(state="attached")
    if page.locator("#totp-key").count() == 0:
        page.click("#way-totp")
        page.locator("#totp-key").wait_for(state="attached")
    app = AuthenticatorApp()
    app.scan(page.content())
    page.fill("#code", app.code())
    page.click("#verify")
    page.wait_for_selector(".codes")
    codes = page.locator(".codes code").all_inner_texts()
    page.click("#continue")
    page.wait_for_load_state()
    return app, codes
