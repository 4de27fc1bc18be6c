"""Photograph every hosted page, phone and desktop, light and dark, in English and Arabic, into docs/screenshots/."""

import argparse
import base64
import struct
import sys
import zlib
from pathlib import Path

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import chromium  # noqa: E402
from tests.browser.site import Site, temporary_site  # noqa: E402
from tests.browser.tour import TOUR  # noqa: E402

SIZES = {"phone": (390, 720), "desktop": (1280, 760)}
SCHEMES = ("light", "dark")
VIEWS = (("en", "phone"), ("en", "desktop"), ("ar", "phone"))
LONGEST = 1800
QUANTIZE = (ROOT / "scripts" / "png8.js").read_text()


def main() -> None:
    """Photograph, and remove pictures of pages that are gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="only these pages")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "screenshots")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    if not options.pages:
        for old in options.into.glob("*.png"):
            old.unlink()
    folder, site = temporary_site()
    with folder, site, chromium() as browser:
        workshop = browser.new_page()
        for name in options.pages or TOUR:
            for language, size in VIEWS:
                for scheme in SCHEMES:
                    picture = photograph(browser, site, name, size, scheme, language)
                    ending = "" if language == "en" else f"-{language}"
                    file = options.into / f"{name}-{size}-{scheme}{ending}.png"
                    file.write_bytes(quantized(workshop, picture))
            print(name, flush=True)


def photograph(browser: Browser, site: Site, name: str, size: str, scheme: str, language: str) -> bytes:
    """One page, whole."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        locale=language,
    )
    try:
        page = context.new_page()
        TOUR[name](page, site)
        tall = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": max(height, min(tall, LONGEST))})
        return page.screenshot()
    finally:
        context.close()


def quantized(workshop: Page, picture: bytes) -> bytes:
    """The same picture with a palette: a fifth of the size."""
    found = workshop.evaluate(QUANTIZE, base64.b64encode(picture).decode())
    width, height = found["width"], found["height"]
    indices = base64.b64decode(found["indices"])
    rows = b"".join(b"\0" + indices[y * width : (y + 1) * width] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", bytes(found["palette"])),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


if __name__ == "__main__":
    main()
