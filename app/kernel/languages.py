"""The languages pages and mails can be in: English, which the texts are written in, and one file of translations for
each of the others."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from app.kernel import paths

SOURCE = "en"
TAG_PATTERN = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
"""A language tag (RFC 5646): `de`, `pt-BR`, `zh-Hant`."""
MAX_WANTED = 20
"""More languages than a person reads."""


@lru_cache(maxsize=1)
def available() -> tuple[str, ...]:
    """The tags of all of them, English first."""
    return (SOURCE, *sorted(path.stem for path in paths.TRANSLATIONS.glob("*.po")))


def best(wanted: Iterable[str], offered: Sequence[str]) -> str | None:
    """The offered language that serves best, or None: each wanted one in turn, made less particular part by part
    (RFC 4647 section 3.4). `de_CH` is read as `de-CH`, as some profiles have it."""
    known = {tag.lower(): tag for tag in offered}
    for _, language in zip(range(MAX_WANTED), wanted, strict=False):
        parts = language.strip().replace("_", "-").lower().split("-")
        while parts:
            if (found := known.get("-".join(parts))) is not None:
                return found
            parts.pop()
    return None
