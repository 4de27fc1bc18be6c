"""The documentation as data: fenced blocks, links, headings and code spans of its pages."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]

_FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block without its indentation."""

    language: str
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        """What a reader types: the lines after the prompt of a console, every line of a script."""
        if self.language == "console":
            return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return self.text.splitlines() if self.language == "sh" else []


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path as people say it."""
        return str(self.path.relative_to(ROOT))

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks in order."""
        return [
            Block(found[2], _dedented(found[3], len(found[1])), self.text.count("\n", 0, found.start()) + 1)
            for found in _FENCE.finditer(self.text)
        ]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def spans(self) -> list[str]:
        """Code spans in the prose, each on one line."""
        return [" ".join(found.split()) for found in _SPAN.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        return _LINK.findall(_SPAN.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        """The fragments its headings make, as the usual renderers do."""
        return {
            re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
            for heading in _HEADING.findall(self.prose)
        }

    def of(self, language: str) -> list[Block]:
        """The blocks in a language."""
        return [block for block in self.blocks if block.language == language]


def _dedented(text: str, width: int) -> str:
    return "\n".join(line[width:] if not line[:width].strip() else line for line in text.split("\n"))


@lru_cache(maxsize=256)
def page(name: str) -> Page:
    """A page by its path within the repository."""
    path = ROOT / name
    return Page(path, path.read_text("utf-8"))


def every() -> list[Page]:
    """All of them: those of `docs/` and those at the top."""
    paths = [*FRONT, *sorted(DOCS.rglob("*.md"))]
    return [page(str(path.relative_to(ROOT))) for path in paths]


def written_by_hand() -> list[Page]:
    """All but the generated reference and the list of packages."""
    return [p for p in every() if "reference" not in p.path.parts and p.path.name != "dependencies.md"]
