"""Chromium's virtual authenticator, as a person holds it."""

from typing import Any

from playwright.sync_api import Page


class Key:
    """A virtual authenticator of a page."""

    def __init__(self, page: Page, **options: Any) -> None:
        self.cdp = page.context.new_cdp_session(page)
        self.cdp.send("WebAuthn.enable")
        asked = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
            **options,
        }
        self.id = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": asked})["authenticatorId"]

    def credentials(self) -> list[dict[str, Any]]:
        """What it holds."""
        found: list[dict[str, Any]] = self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.id})[
            "credentials"
        ]
        return found
