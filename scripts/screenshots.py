"""Photograph every hosted page, phone and desktop, light and dark, in English and Arabic, into docs/screenshots/."""

import argparse
import base64
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import chromium  # noqa: E402
from tests.browser.site import Site, temporary_site  # noqa: E402
from tests.browser.tour import TOUR, visit  # noqa: E402

SIZES = {"phone": (390, 720), "desktop": (1280, 760)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
VIEWS = {"en": ("desktop", "phone"), "ar": ("phone",)}
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
            for language in VIEWS:
                ending = "" if language == "en" else f"-{language}"
                for size, scheme, picture in photographs(browser, site, name, language):
                    file = options.into / f"{name}-{size}-{scheme}{ending}.png"
                    file.write_bytes(quantized(workshop, picture))
            print(name, flush=True)


def photographs(browser: Browser, site: Site, name: str, language: str) -> Iterator[tuple[str, str, bytes]]:
    """One page, whole: its size, its scheme, the picture. It is gone to once, and then looked at in every way."""
    sizes = VIEWS[language]
    width, height = SIZES[sizes[0]]
    context = browser.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce", locale=language
    )
    try:
        page = context.new_page()
        visit(page, site, name)
        for size in sizes:
            width, height = SIZES[size]
            page.set_viewport_size({"width": width, "height": height})
            tall = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": width, "height": max(height, min(tall, LONGEST))})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                yield size, scheme, page.screenshot()
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
