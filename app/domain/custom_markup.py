"""A tenant's own HTML and CSS around the card (contracts 13): what of them is let through, and nothing else.

It is for tenants with a host of their own, so that whatever got through would stand in their own origin. Within it the
form is still the server's: HTML makes no forms, no scripts and no ids; a stylesheet reads no attributes, fetches
nothing, and lays nothing over the form.
"""

import html
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html.parser import HTMLParser

from jinja2 import TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.kernel import uris

MAX_CHARACTERS = 10_000
VARIABLES = ("tenant", "language", "direction")
"""What the HTML may name: `{{ tenant }}`, and `{% if language == "de" %}`."""

# ---- templates

_NODES: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)
"""No calls, attributes, filters, loops or arithmetic: what a template can say is bounded by its own length."""


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(autoescape=True)
    environment.globals.clear()
    environment.filters.clear()
    environment.tests.clear()
    return environment


_ENVIRONMENT = _environment()


def checked_html(text: str) -> str:
    """The HTML as it was given. Raises `ValueError` for a template that does more than name `VARIABLES`, and for
    elements and attributes that are not let through."""
    try:
        tree = _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as fault:
        raise ValueError(f"line {fault.lineno}: {fault.message}") from None
    for node in _walk(tree):
        if not isinstance(node, _NODES):
            raise ValueError(f"line {node.lineno}: {type(node).__name__} is not for these templates")
        if isinstance(node, nodes.Name) and (node.name not in VARIABLES or node.ctx != "load"):
            raise ValueError(f"line {node.lineno}: there is no {node.name}; there are {', '.join(VARIABLES)}")
    for language in ("en", "de"):
        _sanitised(_rendered(text, {"tenant": "t", "language": language, "direction": "ltr"}), strict=True)
    return text


def render(text: str, values: Mapping[str, str]) -> str:
    """The HTML of a page, safe to stand in it. Whatever is not let through is left out."""
    return _made(text, tuple(values[name] for name in VARIABLES))


@lru_cache(maxsize=512)
def _made(text: str, values: tuple[str, ...]) -> str:
    """Kept: every page has it, and it says the same until its words do."""
    return _sanitised(_rendered(text, dict(zip(VARIABLES, values, strict=True))), strict=False)


def _rendered(text: str, values: Mapping[str, str]) -> str:
    try:
        return str(_ENVIRONMENT.from_string(text).render(values))
    except (SecurityError, UndefinedError, TemplateSyntaxError):
        return ""


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)


# ---- HTML

_VOID = frozenset({"br", "hr", "img"})
_ELEMENTS = _VOID | frozenset(
    "a abbr address b div em figcaption figure i li nav ol p section small span strong ul".split()
)
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "a": frozenset({"href"}),
    "img": frozenset({"src", "alt", "width", "height"}),
}
_EVERYWHERE = frozenset({"class", "dir", "lang", "title"})
_DROPPED_WHOLE = frozenset(
    "script style template iframe object embed svg math noscript textarea title".split()
)
_CLASS = re.compile(r"x-[a-z0-9-]{1,40}")
_OWN_PICTURE = re.compile(r"brand/(logo|logo-dark)")
_PLAIN = {
    "dir": re.compile(r"ltr|rtl|auto"),
    "lang": re.compile(r"[A-Za-z0-9-]{2,35}"),
    "title": re.compile(r"[^\x00-\x1f]{0,200}"),
    "alt": re.compile(r"[^\x00-\x1f]{0,200}"),
    "width": re.compile(r"[0-9]{1,4}"),
    "height": re.compile(r"[0-9]{1,4}"),
}


class _Rebuilder(HTMLParser):
    """Writes anew what is let through: nothing of the given text is copied but as escaped text and checked values."""

    def __init__(self, *, strict: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._open: list[str] = []
        self._skipping: list[str] = []
        self._strict = strict

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element, if it is one of ours."""
        if self._skipping or tag not in _ELEMENTS:
            self._refuse(f"the element {tag[:40]}")
            if tag in _DROPPED_WHOLE:
                self._skipping.append(tag)
            return
        kept = [f' {name}="{html.escape(value)}"' for name, value in self._attributes(tag, attrs)]
        rel = ' rel="noreferrer noopener"' if tag == "a" else ""
        self.out.append(f"<{tag}{''.join(kept)}{rel}>")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Closes what was opened, and nothing of ours around it."""
        if self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.pop()
        elif tag in self._open:
            while self._open:
                closed = self._open.pop()
                self.out.append(f"</{closed}>")
                if closed == tag:
                    return

    def handle_data(self, data: str) -> None:
        """Text."""
        if not self._skipping:
            self.out.append(html.escape(data, quote=False))

    def handle_comment(self, data: str) -> None:
        """Left out."""

    def handle_decl(self, decl: str) -> None:
        """Left out."""
        self._refuse("a declaration")

    def unknown_decl(self, data: str) -> None:
        """Left out."""
        self._refuse("a declaration")

    def handle_pi(self, data: str) -> None:
        """Left out."""
        self._refuse("an instruction")

    def finished(self) -> str:
        """The HTML, with whatever was left open closed."""
        if self.rawdata.startswith("<"):
            self._refuse("a tag that does not end")
        # Not `close`, which takes every `<` of an unfinished tag for another beginning, and reads on to the end from
        # each of them.
        self.handle_data(html.unescape(self.rawdata))
        return "".join(self.out) + "".join(f"</{tag}>" for tag in reversed(self._open))

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
        allowed = _EVERYWHERE | _ATTRIBUTES.get(tag, frozenset())
        seen: set[str] = set()
        for name, given in attrs:
            value = (given or "").strip()
            if name not in allowed or name in seen:
                self._refuse(f"the attribute {name[:40]} of {tag}")
            elif name == "class":
                words = [word for word in value.split() if _CLASS.fullmatch(word)]
                if words != value.split():
                    self._refuse("a class that does not begin with x-")
                yield name, " ".join(words)
            elif _is_fit(name, value):
                yield name, value
            else:
                self._refuse(f"this {name}: {value[:60]}")
            seen.add(name)

    def _refuse(self, what: str) -> None:
        if self._strict:
            raise ValueError(f"line {self.getpos()[0]}: {what} is not let through")


def _is_fit(name: str, value: str) -> bool:
    if name == "href":
        parts = uris.split(value)
        return parts is not None and (
            (parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc)
            or (parts.scheme == "mailto" and "?" not in value)
        )
    if name == "src":
        return _OWN_PICTURE.fullmatch(value.removeprefix("/")) is not None
    return _PLAIN[name].fullmatch(value) is not None


def _sanitised(text: str, *, strict: bool) -> str:
    rebuilder = _Rebuilder(strict=strict)
    rebuilder.feed(text)
    return rebuilder.finished()


# ---- CSS

_PLAIN_TEXT = re.compile(r"[\x20-\x5b\x5d-\x7e\t\n\f\r]*")
"""No backslash: a name is written as it is compared."""
_MEDIA = re.compile(
    r"@media\s*(\((?:min-width|max-width):\s*[0-9.]+r?em\)|\(prefers-color-scheme:\s*(?:dark|light)\)|print)"
)
_OWN_SELECTOR = re.compile(
    r"(?:[a-z]+[1-6]?)?\.x-[a-z0-9-]+(?::hover|:focus-visible|:first-child|:last-child)?"
)
_INNER_SELECTOR = re.compile(
    r"(?:a|b|div|em|hr|i|img|li|ol|p|section|small|span|strong|ul)(?::hover|:focus-visible)?"
)
_COMBINATOR = re.compile(r" ?> ?| ")
_OUR_SELECTOR = re.compile(r"body|\.card|\.tenant|\.button|\.input|h1|h2")

_FRAME = frozenset(
    """border-radius border-width border-style font-family font-weight font-style letter-spacing text-align
    padding padding-block padding-inline""".split()
)
"""What may be changed of the server's own elements: how they look, not whether and where they are seen."""
_OWN = _FRAME | frozenset(
    """color background background-color border border-color border-block border-inline border-block-start
    border-block-end border-inline-start border-inline-end display flex-direction flex-wrap gap row-gap column-gap
    align-items justify-content font-size line-height margin margin-block margin-inline margin-block-start
    margin-block-end margin-inline-start margin-inline-end padding-block-start padding-block-end
    padding-inline-start padding-inline-end max-inline-size inline-size block-size list-style list-style-type
    text-decoration text-transform""".split()
)
_FUNCTIONS = ("rgb", "rgba", "hsl", "hsla", "linear-gradient", "radial-gradient", "var")
_TOKEN = re.compile(
    rf"""(?P<opens>(?:{"|".join(_FUNCTIONS)})\()
    | (?P<closes>\))
    | [ ,/]
    | (?: "[A-Za-z0-9 #%.,()/_-]*" | '[A-Za-z0-9 #%.,()/_-]*'
        | \#[0-9A-Fa-f]{{3,8}}
        | (?P<number>[0-9]*\.?[0-9]+)(?:%|[A-Za-z]+)?
        | -{{0,2}}[A-Za-z_][A-Za-z0-9_-]*
      ) (?=[ ,/)]|$)""",
    re.VERBOSE | re.IGNORECASE,
)
"""What a value is made of, and where each ends: whole strings, no negative numbers, no powers of ten. A browser reads
on from a token that does not end, over the end of the rule and into others."""
_MAX_VALUE = 300
_MAX_NUMBER = 1000


@lru_cache(maxsize=256)
def stylesheet(text: str) -> str:
    """The stylesheet, written anew rule by rule. Raises `ValueError` naming what is not let through."""
    plain = _without_comments(text)
    if not _PLAIN_TEXT.fullmatch(plain):
        raise ValueError("css: plain ASCII without backslashes is wanted")
    return "\n".join(_rules(plain, inside=False))


def _without_comments(text: str) -> str:
    parts = []
    while text:
        before, opening, rest = text.partition("/*")
        _, closing, text = rest.partition("*/")
        if opening and not closing:
            raise ValueError("css: a comment is not closed")
        parts.append(before)
    return " ".join(parts)


def _rules(text: str, *, inside: bool) -> Iterator[str]:
    at = 0
    while (text[at:]).strip():
        opening = text.find("{", at)
        if opening < 0:
            raise ValueError(f"css: a rule is wanted, not {text[at:].strip()[:60]}")
        prelude = " ".join(text[at:opening].split())
        closing = _end_of(text, opening)
        body = text[opening + 1 : closing]
        if prelude.startswith("@"):
            if inside or not _MEDIA.fullmatch(prelude):
                raise ValueError(f"css: {prelude[:60]} is not let through")
            yield "\n".join((f"{prelude} {{", *_rules(body, inside=True), "}"))
        else:
            yield _rule(prelude, body)
        at = closing + 1


def _end_of(text: str, opening: int) -> int:
    depth = 0
    for index in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
    raise ValueError("css: a brace is not closed")


def _rule(prelude: str, body: str) -> str:
    selectors = [" ".join(part.split()) for part in prelude.split(",")]
    own = [_is_own(selector) for selector in selectors]
    allowed = _OWN if all(own) else _FRAME
    declarations = []
    for declaration in body.split(";"):
        if not declaration.strip():
            continue
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), " ".join(value.split())
        if not colon or name not in allowed:
            raise ValueError(f"css: {name[:40]} is not let through for {prelude[:60]}")
        _check_value(name, value)
        declarations.append(f"{name}: {value};")
    return f"{', '.join(selectors)} {{ {' '.join(declarations)} }}"


def _is_own(selector: str) -> bool:
    """Whether a selector means the tenant's own HTML; else it has to be one of the server's elements."""
    parts = _COMBINATOR.split(selector)
    if _OWN_SELECTOR.fullmatch(parts[0]):
        if all(_OWN_SELECTOR.fullmatch(p) or _INNER_SELECTOR.fullmatch(p) for p in parts[1:]):
            return True
    elif len(parts) == 1 and _OUR_SELECTOR.fullmatch(parts[0]):
        return False
    raise ValueError(f"css: the selector {selector[:60]} is not let through")


def _check_value(name: str, value: str) -> None:
    depth = at = 0
    while at < len(value) <= _MAX_VALUE and (found := _TOKEN.match(value, at)):
        at = found.end()
        depth += (found["opens"] is not None) - (found["closes"] is not None)
        if depth < 0:
            break
        if found["number"] and float(found["number"]) > _MAX_NUMBER:
            raise ValueError(f"css: {value[:60]} of {name} is too far out")
    if not value or at < len(value) or depth != 0:
        raise ValueError(f"css: the value {value[:60]} of {name} is not let through")
    if name == "display" and value not in ("block", "inline", "inline-block", "flex", "inline-flex"):
        raise ValueError(f"css: display {value[:40]} is not let through")
