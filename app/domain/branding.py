"""What a tenant's pages and mails look like: name, pictures, colours, words (settings, block `branding`).

Every colour pair people read holds 4.5:1, or the setting is refused with the number and the nearest colour that does.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.domain import colours, custom_markup, pictures
from app.domain.colours import Rgb
from app.domain.models import TenantAsset
from app.infra import mail
from app.kernel import clock, languages, uris
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash

PICTURES = {"logo": "logo", "logo_dark": "logo-dark", "icon": "icon"}
"""Settings that are pictures, and what their assets are called."""
LOGO_DIGEST = 16
"""So many characters tell the addresses of one client's logos apart."""
STORED = "sha256:"
"""What a stored picture's setting begins with; the digest of the asset and its kind follow."""
KEPT = "kept"
"""The validation context of settings that were accepted once, by what was let through then: markup that would be
refused by now is left out, and the tenant, and all others, are served."""

LIGHT_GROUNDS: tuple[Rgb, ...] = ((0xF4, 0xF3, 0xEF), (0xFF, 0xFE, 0xFB), (0xFF, 0xFF, 0xFF))
DARK_GROUNDS: tuple[Rgb, ...] = ((0x12, 0x15, 0x17), (0x1A, 0x1E, 0x21))
"""Page, card and field of `static/watchword.css`: what the brand's colour is read on."""
WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)
_INK: Rgb = (0x0B, 0x0E, 0x10)
_TINTS = (0.12, 0.08, 0.05, 0.03, 0.0)

FONTS = {
    "system": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif',
    "humanist": 'Seravek, "Gill Sans Nova", Ubuntu, Calibri, "DejaVu Sans", source-sans-pro, sans-serif',
    "geometric": 'Avenir, Montserrat, Corbel, "URW Gothic", source-sans-pro, sans-serif',
    "rounded": 'ui-rounded, "Hiragino Maru Gothic ProN", Quicksand, Comfortaa, Manjari, Calibri, sans-serif',
    "serif": '"Iowan Old Style", "Palatino Linotype", "URW Palladio L", Palatino, Georgia, serif',
}
"""Font stacks of what systems bring along: nothing is fetched."""

LanguageTag = Annotated[str, Field(pattern=languages.TAG_PATTERN)]
Line = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
InLanguages = Annotated[dict[LanguageTag, Line], Field(max_length=50)]
"""A line of plain text per language."""


def _picture(text: str) -> str:
    if not text.startswith(STORED):
        try:
            pictures.read(text)
        except Problem as refusal:
            raise ValueError(refusal.public) from None
    return text


def _web_uri(uri: str) -> str:
    parts = uris.split(uri)
    if parts is None or parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise ValueError("an https URI is wanted")
    return uri


def _colour(text: str) -> str:
    found = colours.parse(text)
    if found is None:
        raise ValueError("a colour such as #0b5c62 is wanted")
    return colours.to_hex(found)


def _address(text: str) -> str:
    try:
        found = mail.normalized_address(text)
    except Problem as refusal:
        raise ValueError(refusal.public) from None
    if not found.isascii():
        raise ValueError("an address in ASCII is wanted: not every mail server takes another")
    return found


PictureText = Annotated[str, Field(max_length=pictures.MAX_BYTES * 2), AfterValidator(_picture)]
WebUri = Annotated[str, Field(max_length=2048), AfterValidator(_web_uri)]
Colour = Annotated[str, AfterValidator(_colour)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColourSettings(_Block):
    """The brand's colour."""

    brand: Colour | None = None
    """Buttons, links and focus, on light ground."""
    brand_dark: Colour | None = None
    """The same on dark ground; made from `brand` when absent."""

    @model_validator(mode="after")
    def _can_be_read(self) -> "ColourSettings":
        for name, value, grounds, towards in (
            ("brand", self.brand, LIGHT_GROUNDS, BLACK),
            ("brand_dark", self.brand_dark, DARK_GROUNDS, WHITE),
        ):
            colour = colours.parse(value) if value else None
            if colour is None:
                continue
            found = colours.least_contrast(colour, grounds)
            if found < colours.READABLE:
                better = colours.to_hex(colours.readable(colour, grounds, towards))
                raise ValueError(
                    f"{name}: {value} has a contrast of {int(found * 100) / 100}:1, and {colours.READABLE}:1 is "
                    f"the least; {better} has it"
                )
        return self


class LinkSettings(_Block):
    """A link at the foot of every page."""

    text: InLanguages
    uri: WebUri


class IntroSettings(_Block):
    """The tenant's own words on a page whose heading says what it is about."""

    intro: InLanguages = {}
    """A line under the heading."""


class PageTextSettings(IntroSettings):
    """The tenant's own words on a page."""

    title: InLanguages = {}
    """Instead of the usual heading."""


class MailTextSettings(_Block):
    """The tenant's own words in every mail."""

    greeting: InLanguages = {}
    """The first line, such as "Dear customer,"."""
    footer: InLanguages = {}
    """The last line, above the name."""


class TextSettings(_Block):
    """The tenant's own words: plain text per language. `title` and `intro` are those of the sign-in page."""

    title: InLanguages = {}
    """Instead of "Sign in", where no application is named."""
    intro: InLanguages = {}
    """A line under the heading."""
    registration: PageTextSettings = PageTextSettings()
    """Where an account is begun."""
    recover: PageTextSettings = PageTextSettings()
    """Where a new password is asked for."""
    factor: IntroSettings = IntroSettings()
    """Where a second factor is shown."""
    consent: IntroSettings = IntroSettings()
    signed_out: PageTextSettings = PageTextSettings()
    error: IntroSettings = IntroSettings()
    """Where something went wrong."""
    mail: MailTextSettings = MailTextSettings()


class MailSettings(_Block):
    """Whom mails come from. The address itself is the deployment's."""

    from_name: Name | None = None
    """The name beside the address; absent: that on pages."""
    reply_to: Annotated[str, Field(max_length=254), AfterValidator(_address)] | None = None
    """Where answers go; absent: nowhere else."""


class LegalSettings(_Block):
    """Pages the law asks for, linked at the foot of every page."""

    imprint: WebUri | None = None
    privacy: WebUri | None = None
    terms: WebUri | None = None


class BrandingSettings(_Block):
    """What pages and mails look like."""

    name: Name | None = None
    """The name on pages and mails; absent: the tenant's."""
    logo: PictureText | None = None
    """PNG, WebP, JPEG or SVG of at most 100 KB: a `data:` URL, the SVG's text, or `{file: PATH}`."""
    logo_dark: PictureText | None = None
    """The logo on dark ground."""
    icon: PictureText | None = None
    """What browsers show in tabs; ICO as well."""
    show_name: bool = True
    """Whether the name stands beside the logo."""
    colours: ColourSettings = ColourSettings()
    radius: Annotated[int, Field(ge=0, le=24)] | None = None
    """Of corners, in pixels."""
    font: Literal["system", "humanist", "geometric", "rounded", "serif"] = "system"
    texts: TextSettings = TextSettings()
    mail: MailSettings = MailSettings()
    links: Annotated[tuple[LinkSettings, ...], Field(max_length=8)] = ()
    legal: LegalSettings = LegalSettings()
    header_html: Annotated[str, Field(max_length=custom_markup.MAX_CHARACTERS)] | None = None
    """HTML above the card; only for a tenant with a host of its own."""
    footer_html: Annotated[str, Field(max_length=custom_markup.MAX_CHARACTERS)] | None = None
    """HTML below the card; only for a tenant with a host of its own."""
    css: Annotated[str, Field(max_length=custom_markup.MAX_CHARACTERS)] | None = None
    """A stylesheet for them; only for a tenant with a host of its own."""

    @field_validator("header_html", "footer_html")
    @classmethod
    def _markup(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text and info.context != KEPT:
            custom_markup.checked_html(text)
        return text or None

    @field_validator("css")
    @classmethod
    def _css(cls, text: str | None, info: ValidationInfo) -> str | None:
        try:
            return text if text and custom_markup.stylesheet(text) else None
        except ValueError:
            if info.context != KEPT:
                raise
            return None

    @property
    def is_custom(self) -> bool:
        """Whether it has HTML or CSS of its own, which needs a host of its own (contracts 13)."""
        return any((self.header_html, self.footer_html, self.css))


def keep_pictures(session: Session, tenant_id: str, said: dict[str, Any]) -> dict[str, Any]:
    """The settings a file says, with its pictures put where they are served from and named by their digest.

    In the session of whoever writes the settings; system sessions as well. Raises `Problem` (`picture.refused`).
    """
    branding = said.get("branding", {})
    if branding is None:
        branding = dict.fromkeys(PICTURES)
    given = {member: branding[member] for member in PICTURES if member in branding}
    kept = {member: keep(session, tenant_id, PICTURES[member], text) for member, text in given.items()}
    if not kept or said.get("branding") is None:
        return said
    return {**said, "branding": {**branding, **kept}}


def without_pictures(said: dict[str, Any]) -> dict[str, Any]:
    """The settings a file says, without its pictures."""
    branding = said.get("branding")
    if not isinstance(branding, dict):
        return said
    return {**said, "branding": {name: value for name, value in branding.items() if name not in PICTURES}}


def keep(
    session: Session, tenant_id: str, name: str, text: str | None, *, source: str | None = None
) -> str | None:
    """Store one picture, or with None take it away. Gives what its setting says."""
    row = session.scalar(
        select(TenantAsset).where(TenantAsset.tenant_id == tenant_id, TenantAsset.name == name)
    )
    if text is None:
        if row is not None:
            session.delete(row)
        return None
    if text.startswith(STORED):
        if row is None or stored_name(row.digest, row.content_type) != text:
            raise pictures.refused("there is no picture of this digest here; give the picture itself")
        return text
    picture = pictures.read(text)
    put(session, tenant_id, name, picture, row=row, source=source)
    return stored_name(picture.digest, picture.content_type)


def stored_name(digest: str, content_type: str) -> str:
    """What the setting of a stored picture says."""
    return f"{STORED}{digest}.{pictures.EXTENSIONS[content_type]}"


def put(
    session: Session,
    tenant_id: str,
    name: str,
    picture: pictures.Picture,
    *,
    row: TenantAsset | None,
    source: str | None = None,
) -> None:
    """Write a picture's row anew."""
    if row is None:
        row = TenantAsset(tenant_id=tenant_id, name=name)
        session.add(row)
    if getattr(row, "digest", None) != picture.digest:
        row.content_type, row.content, row.digest = picture.content_type, picture.content, picture.digest
    row.source, row.updated_at = source, clock.now()


def client_logo_asset(client_id: str, uri: str) -> str:
    """What the picture fetched from a client's `logo_uri` is kept as."""
    return f"client:{client_id}:{lookup_hash(uri)[:LOGO_DIGEST]}"


def forget_client_logos(session: Session, tenant_id: str, client_id: str) -> None:
    """Delete the pictures fetched for a client, once its row was deleted or changed in this transaction."""
    start = client_logo_asset(client_id, "")[:-LOGO_DIGEST]
    # Another client's id may begin with this one's and a colon; what is kept for it is longer.
    mine = (
        TenantAsset.name.startswith(start, autoescape=True),
        func.length(TenantAsset.name) == len(start) + LOGO_DIGEST,
    )
    session.execute(
        delete(TenantAsset)
        .where(TenantAsset.tenant_id == tenant_id, *mine)
        .execution_options(synchronize_session=False)
    )


def logos_of(metadata: Mapping[str, Any]) -> frozenset[str]:
    """The addresses of a client's logo, in every language."""
    return frozenset(str(uri) for name, uri in metadata.items() if name.partition("#")[0] == "logo_uri")


def stylesheet(branding: BrandingSettings, *, with_custom: bool) -> str:
    """The tenant's stylesheet over ours; empty for a tenant that looks like we do."""
    light, dark = _palettes(branding.colours)
    if branding.radius is not None:
        light["--radius"] = f"{branding.radius}px"
    if branding.font != "system":
        light["--font"] = FONTS[branding.font]
    parts = []
    if light:
        parts.append(f":root {{ {_declarations(light)} }}")
    if dark:
        # Not on paper, which is always light.
        parts.append(
            f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_declarations(dark)} }} }}"
        )
    if with_custom and branding.css:
        parts.append(custom_markup.stylesheet(branding.css))
    return "\n".join(parts) + "\n" if parts else ""


def palette(brand: Rgb, *, dark: bool) -> dict[str, str]:
    """Every colour made of the brand's: for hovering, for what stands on it, and as a tint beneath text."""
    surface = DARK_GROUNDS[1] if dark else LIGHT_GROUNDS[1]
    tint = next(
        found
        for share in _TINTS
        if colours.contrast(brand, found := colours.mix(brand, surface, share)) >= colours.READABLE
        or share == 0.0
    )
    return {
        "--brand": colours.to_hex(brand),
        "--brand-strong": colours.to_hex(colours.mix(WHITE if dark else BLACK, brand, 0.18)),
        "--brand-contrast": colours.to_hex(_INK if dark else WHITE),
        "--brand-tint": colours.to_hex(tint),
    }


def _palettes(said: ColourSettings) -> tuple[dict[str, str], dict[str, str]]:
    brand = colours.parse(said.brand) if said.brand else None
    brand_dark = colours.parse(said.brand_dark) if said.brand_dark else None
    if brand_dark is None and brand is not None:
        brand_dark = colours.readable(brand, DARK_GROUNDS, WHITE)
    return (
        palette(brand, dark=False) if brand else {},
        palette(brand_dark, dark=True) if brand_dark else {},
    )


def _declarations(values: dict[str, str]) -> str:
    return " ".join(f"{name}: {value};" for name, value in values.items())
