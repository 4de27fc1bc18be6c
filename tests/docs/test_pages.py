"""What the pages say exists: links, commands, settings, files, reason codes, events."""

import re
import shlex
from pathlib import Path

import click
import pytest

from app.cli import cli
from app.infra.events import EVENTS
from app.kernel.reasons import REASONS
from app.kernel.settings import PREFIX, SETTING_NAMES
from tests.docs import pages
from tests.docs.pages import Page

PAGES = pages.every()
BY_HAND = pages.written_by_hand()
MEASURED = {"docs/bench.md", "docs/fuzz.md"}
"""`make bench` and the long form of fuzzing write them, by hand and not in every clone; the pages say so."""

MADE_BY_OPERATORS = {"deploy/master.key", "deploy/tls/cert.pem", "deploy/tls/key.pem"}

OPTIONAL = re.compile(r"\[[^\]]*\]")
PATH = re.compile(
    r"(?:app|deploy|docs|tests|templates|static|migrations|requirements|scripts|bench)/[\w./-]*[\w/]"
)
VARIABLE = re.compile(rf"\b{PREFIX}[A-Z_]*[A-Z]")


def rows(page: Page) -> list[list[str]]:
    """The rows of the page's tables, cells without their margins."""
    lines = [line for line in page.text.splitlines() if line.startswith("|")]
    rules = {number for number, line in enumerate(lines) if line.startswith("|-")}
    body = [line for number, line in enumerate(lines) if not {number, number + 1} & rules]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body]


def named(page: Page) -> str:
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        target, _, fragment = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        there = (page.path.parent / target).resolve() if target else page.path
        if not there.exists():
            assert str(there.relative_to(pages.ROOT)) in MEASURED, f"{page.name}: {link}"
            continue
        if fragment:
            assert fragment in pages.page(str(there.relative_to(pages.ROOT))).anchors, f"{page.name}: {link}"


def test_every_page_can_be_reached_from_the_first() -> None:
    seen, waiting = set(), [pages.DOCS / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen or path.suffix != ".md" or not path.exists():
            continue
        seen.add(path)
        links = pages.page(str(path.relative_to(pages.ROOT))).links
        there = [(path.parent / link.partition("#")[0]).resolve() for link in links if "://" not in link]
        waiting += [
            page for each in there for page in (sorted(each.glob("*.md")) if each.is_dir() else [each])
        ]
    assert not [page.name for page in PAGES if pages.DOCS in page.path.parents and page.path not in seen]


@pytest.mark.parametrize("page", BY_HAND, ids=named)
def test_commands_are_ours(page: Page) -> None:
    """Spans may leave arguments out; what is to be typed has to parse as a whole."""
    spans = [OPTIONAL.sub("", span) for span in page.spans if span.startswith("watchword ")]
    for span in spans:
        parse(span, whole=False)
    for block in page.blocks:
        for line in block.commands:
            for part in re.split(r"[|;&()]+", line):
                if part.split()[:1] in (["watchword"], [".venv/bin/watchword"]):
                    parse(part.partition(" >")[0], whole=True)


def parse(line: str, *, whole: bool) -> None:
    _, *arguments = shlex.split(line)
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        command = command.commands[arguments.pop(0)]
    assert not isinstance(command, click.Group) or not (whole or arguments), f"{line}: no such command"
    try:
        command.make_context("watchword", arguments, parent=context, resilient_parsing=not whole)
    except click.UsageError as fault:
        pytest.fail(f"{line}: {fault.message}")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_settings_exist(page: Page) -> None:
    deployment = (pages.ROOT / "compose.yaml").read_text() + (
        pages.ROOT / "deploy/postgres-roles.sql"
    ).read_text()
    ours = {*SETTING_NAMES, *(name + "_FILE" for name in SETTING_NAMES), PREFIX + "CONFIG"}
    for variable in VARIABLE.findall(page.text):
        assert variable in ours or variable in deployment, f"{page.name}: {variable}"


@pytest.mark.parametrize("page", BY_HAND, ids=named)
def test_files_exist(page: Page) -> None:
    for span in page.spans:
        if (found := PATH.fullmatch(span.partition("::")[0])) is not None:
            # The table of specifications names tests by their path below `tests/`.
            places = (pages.ROOT / found[0], pages.ROOT / "tests" / found[0])
            exists = any(map(Path.exists, places)) or found[0] in MEASURED | MADE_BY_OPERATORS
            assert exists, f"{page.name}: {span}"


@pytest.mark.parametrize("row", rows(pages.page("CONTRIBUTING.md")), ids=lambda row: row[0])
def test_the_places_to_add_things_exist(row: list[str]) -> None:
    """Each cell with a name and a file: the file has the name."""
    for cell in row[1:]:
        for symbol, path in re.findall(r"`(\w+)` in `([\w/.]+)`", cell):
            text = (pages.ROOT / path).read_text("utf-8")
            assert re.search(rf"^(?:class |def )?{symbol}\b", text, re.MULTILINE), f"{symbol} in {path}"
    assert any(PATH.search(cell) for cell in row[1:])


def test_every_line_of_the_status_names_what_shows_it() -> None:
    found = rows(pages.page("docs/status.md"))
    assert {row[0] for row in found} == set("123456789")
    for _, capability, shown_by, state in found:
        assert "`" in shown_by or "](" in shown_by or "by hand" in shown_by, capability
        assert re.match(r"shown|measured|made|written", state), capability


def test_reason_codes_and_events_exist() -> None:
    settings = pages.page("docs/reference/settings.md").text
    known = {*REASONS, *(event.id for event in EVENTS), *(event.alias for event in EVENTS)}
    areas = {name.partition(".")[0] for name in known}
    for name in ("docs/how-to/troubleshooting.md", "docs/how-to/audit.md", "docs/how-to/keys.md"):
        spans = [s for s in pages.page(name).spans if re.fullmatch(r"[a-z_]+\.[a-z_.]+", s)]
        assert [s for s in spans if s.partition(".")[0] in areas]
        for span in spans:
            if span.partition(".")[0] in areas:
                assert span in known or f"`{span}`" in settings, f"{name}: {span}"


@pytest.mark.parametrize("page", BY_HAND, ids=named)
def test_the_tone(page: Page) -> None:
    """No courtesies, no chains of dashes."""
    if pages.DOCS in page.path.parents:
        assert not re.findall(r"\b(?:please|simply|obviously)\b| — ", page.prose, re.IGNORECASE)
