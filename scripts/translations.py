"""Bring translations/*.po up to date with the texts of pages and mails, and say what is not translated yet.

Exit status 1 when German or Arabic is incomplete. `--new TAG` begins another language; `--check` writes nothing.
"""

import argparse
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel import Locale
from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.domain.password_policy import SENTENCES  # noqa: E402

FOLDER = ROOT / "translations"
COMPLETE = ("de", "ar")
"""The languages that are kept complete; a text that lacks one of them fails the tests."""

_SAID = {"_": None, "gettext": None, "ngettext": (1, 2), "later": None}
_REFUSALS = {**_SAID, "Problem": (2,), "_case": (2,), "_invalid": (2,), "Case": (3,), "ScopeRecord": (2,)}
"""Fixed English texts below the web layer that pages show: the arguments they stand in."""
_NOT_SHOWN = (
    "app/commands",
    "app/domain/apply",
    "app/domain/client",
    "app/domain/initial_tokens",
    "app/domain/registered_clients",
    "app/web/api",
    "app/infra",
    "app/serving",
)
"""Their refusals are read in a terminal or by programs, which are spoken to in English."""
_JINJA = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false", "extensions": "jinja2.ext.i18n"}
_SHOWN_OF_PROTOCOLS = ("app/protocols/oauth/steps/refusals.py", "app/protocols/oauth/logout.py")
_FOR_CLIENTS = "# Sent to the redirect URI."
"""From this line on refusals are for programs, which are spoken to in English."""
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|({})|%%")


def main() -> int:
    """Update, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--new", metavar="TAG", help="begin a language, such as fr or pt-BR")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    texts = template()
    tags = [path.stem for path in sorted(FOLDER.glob("*.po"))]
    if options.new and options.new not in tags:
        tags.append(options.new)
    failed = False
    for tag in tags:
        catalog = updated(tag, texts)
        if not options.check:
            path_of(tag).write_text(written(tag, catalog), "utf-8")
        faults = list(faults_of(catalog))
        print(f"{tag}: {len(catalog)} texts, {len(faults)} to translate or mend")
        if tag in COMPLETE:
            failed |= bool(faults)
            for fault in faults:
                print(f"  {fault}", file=sys.stderr)
    return 1 if failed else 0


def path_of(tag: str) -> Path:
    """A language's file."""
    return FOLDER / f"{tag}.po"


def template() -> Catalog:
    """Every text in the source."""
    found = Catalog(charset="utf-8")
    for path, text, comments in _texts():
        found.add(text, None, [(path, 0)], auto_comments=comments)
    for text in SENTENCES.values():
        found.add(text, None, [("app/domain/password_policy.py", 0)])
    return found


def _texts() -> Iterator[tuple[str, str | tuple[str, ...], list[str]]]:
    for path in sorted((ROOT / "app").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if "_bundle" in name:
            continue
        shown = not name.startswith(_NOT_SHOWN) and (
            not name.startswith("app/protocols/oauth") or name in _SHOWN_OF_PROTOCOLS
        )
        lines = path.read_text("utf-8").splitlines()
        end = next((number for number, line in enumerate(lines) if line == _FOR_CLIENTS), len(lines))
        for line, text, comments, _ in extract_from_file(
            "python", path, keywords=_REFUSALS if shown else _SAID, comment_tags=("Translators:",)
        ):
            if line <= end:
                yield name, text, comments
    for path in sorted(p for p in (ROOT / "templates").rglob("*") if p.suffix in (".html", ".txt")):
        name = path.relative_to(ROOT).as_posix()
        for _, text, comments, _ in extract_from_file(
            "jinja2.ext:babel_extract", path, options=_JINJA, comment_tags=("Translators:",)
        ):
            yield name, text, comments


def updated(tag: str, texts: Catalog) -> Catalog:
    """A language's catalogue with exactly the texts there are, keeping what is translated."""
    catalog = stored(tag)
    catalog.update(texts, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    for message in catalog:
        message.locations = sorted({(path, 0) for path, _ in message.locations})
        message.flags -= {"python-format", "fuzzy"}
    return catalog


def stored(tag: str) -> Catalog:
    """A language's catalogue as it is in its file."""
    locale = Locale.parse(tag, sep="-")
    if not path_of(tag).exists():
        return Catalog(locale=locale, charset="utf-8")
    with path_of(tag).open("rb") as file:
        return read_po(file, locale=locale)


def written(tag: str, catalog: Catalog) -> str:
    """The file of a catalogue: no dates and no line numbers, so that it changes only with what it says."""
    body = io.BytesIO()
    write_po(body, catalog, width=0, omit_header=True, sort_output=True, include_lineno=False)
    head = {
        "Language": tag,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": catalog.plural_forms,
    }
    lines = "".join(f'"{name}: {value}\\n"\n' for name, value in head.items())
    title = Locale.parse(tag, sep="-").get_display_name("en")
    return f'# {title} translation of Watchword.\nmsgid ""\nmsgstr ""\n{lines}\n' + body.getvalue().decode()


def faults_of(catalog: Catalog) -> Iterator[str]:
    """What is not translated, doubtful, or says a variable the text does not have."""
    for message in catalog:
        if message.id and (fault := _fault(message, catalog.num_plurals)):
            yield f"{fault}: {message.id!r}"


def _fault(message: Message, forms: int) -> str | None:
    said = message.string if isinstance(message.string, tuple) else (message.string,)
    if isinstance(message.id, tuple) and len(said) != forms:
        return f"{forms} plural forms are wanted"
    if not all(said):
        return "not translated"
    if message.fuzzy:
        return "fuzzy"
    wanted = placeholders(message.id[-1] if isinstance(message.id, tuple) else message.id)
    # A plural form may leave the number out where its word says it.
    optional = {"num"} if isinstance(message.id, tuple) else set()
    if any(not (wanted - optional <= placeholders(text) <= wanted) for text in said):
        return "other variables than the text"
    return None


def placeholders(text: str) -> set[str]:
    """The variables of a text."""
    return {found[1] or found[2] for found in PLACEHOLDER.finditer(text) if found[1] or found[2]}


if __name__ == "__main__":
    sys.exit(main())
