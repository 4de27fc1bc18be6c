"""QR codes as a camera sees them: photographed on the page, then read."""

import io
from collections.abc import Iterator

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from tests.browser.second_factor import add_app
from tests.browser.site import Site
from tests.browser.tour import visit

pytestmark = pytest.mark.browser

_MODULES_AROUND = 4
"""The quiet zone (ISO/IEC 18004 section 6.3.8)."""


def scan(picture: Locator) -> str:
    """What a photograph of the picture says. Nothing is taken for granted of a code whose edges are cut."""
    shot = Image.open(io.BytesIO(picture.screenshot())).convert("L")
    found = zxingcpp.read_barcodes(shot, formats=zxingcpp.BarcodeFormat.QRCode)
    assert len(found) == 1, "no QR code can be read"
    corners = found[0].position
    width, height = shot.size
    module = (corners.top_right.x - corners.top_left.x) / 21
    for edge in (
        corners.top_left.x,
        corners.top_left.y,
        width - corners.bottom_right.x,
        height - corners.bottom_right.y,
    ):
        # Of the widest module, that of the smallest code, a fraction is left on every side at least.
        assert edge > module / _MODULES_AROUND, f"the quiet zone is cut: {corners} in {shot.size}"
    return found[0].text


@pytest.fixture(params=[390, 1280])
def tab(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A telephone's tab and a desk's."""
    context = browser.new_context(viewport={"width": request.param, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_authenticator_app_from_the_account(tab: Page, site: Site) -> None:
    visit(tab, site, "enrol-app")
    secret = tab.locator("#totp-key").inner_text().replace(" ", "")
    said = scan(tab.locator(".qr svg"))
    assert said.startswith("otpauth://totp/")
    assert f"secret={secret}" in said


def test_authenticator_app_of_the_first_administrator(tab: Page, site: Site) -> None:
    tab.goto(site.admin_link())
    tab.fill("#username", f"scanned{tab.viewport_size['width'] if tab.viewport_size else 0}")
    tab.fill("#password", "a long sentence nobody says")
    tab.click("#continue")
    tab.locator("#way-totp, #totp-key").first.wait_for(state="attached")
    if tab.locator("#totp-key").count() == 0:
        tab.click("#way-totp")
    said = scan(tab.locator(".qr svg"))
    assert f"secret={tab.locator('#totp-key').inner_text().replace(' ', '')}" in said
    add_app(tab)


@pytest.mark.parametrize("width", [160, 208, 400])
def test_address_of_a_device_in_a_box_of_any_size(tab: Page, site: Site, width: int) -> None:
    picture = tab.request.get(f"{site.base_url}/device/qr.svg?user_code=WDJB-MJHT").text()
    tab.set_content(f"<style>svg {{ width: {width}px; height: auto; overflow: hidden }}</style>{picture}")
    assert scan(tab.locator("svg")) == f"{site.base_url}/device?user_code=WDJB-MJHT"
