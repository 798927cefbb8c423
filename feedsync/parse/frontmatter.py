"""Front matter: the `key: value` lines between two `---` fences at the top of a post.

The old pipeline built these lines by joining strings, with nothing escaped, so a line is read as it was
written: everything after `key: `, or between the first and the last quote. YAML would cut `21世纪 #1新闻` at
the hash, refuse `@某号新闻` and turn `0123` into 83. Real YAML (lists, block scalars, nesting), which people
write by hand, goes to a YAML loader that keeps every scalar as text and refuses aliases and tags.
"""

from __future__ import annotations

import re
from textwrap import dedent

from feedsync.errors import Refused
from feedsync.values import Struct

MAX_LENGTH = 200_000
"""Characters of front matter; more is no front matter."""

_MAX_YAML = 32_000
_MAX_DEPTH = 64
_MAX_TITLE_LINES = 5
_FENCE = re.compile(r"-{3,}[ \t]*")
_CLOSING_FENCE = re.compile(r"\n-{3,}[ \t]*(?:\n|\Z)")
_LINE = re.compile(r"([A-Za-z_\u4e00-\u9fff][\w.-]{0,63})[ \t]*:(?:[ \t]+(.*)|(\".*)|[ \t]*)")
_TIGHT_LINE = re.compile(
    r"(layout|title|date|categor(?:y|ies)|tags?|info[_-]?code|url|link|source|outlet)[ \t]*[:：][ \t]*(.*)()",
    re.IGNORECASE,
)
"""Without a blank, or with a colon of full width: read only where we know what the field is."""

_TITLES = ("title", "标题")
_FIRST_FIELDS = ("layout:", "title:")
_LIST_LINE = re.compile(r"[ \t]*-[ \t]+(.*)")
_STRUCTURED = re.compile(r"[\[{]|[|>][-+0-9]{0,2}$|[&!]|\*\w")
_STRUCTURE_MARKS = frozenset("[{|>&!*")
_FLOW_OR_BLOCK = re.compile(r"[\[{]|[|>][-+0-9]{0,2}$")

Value = str | tuple[str, ...]


class FrontMatter(Struct, frozen=True):
    """The fields (names lower-cased) and the text after them. `closed` is false when no second fence came."""

    fields: dict[str, Value]
    body: str
    closed: bool = True

    def text(self, *names: str) -> str:
        """The first filled field of these names, as text."""
        for name in names:
            value = self.fields.get(name, "")
            if not isinstance(value, str):
                value = next(filter(None, map(str.strip, value)), "")
            if value := value.strip():
                return value
        return ""

    def texts(self, *names: str) -> tuple[str, ...]:
        """The values of the first filled field of these names."""
        for name in names:
            value = self.fields.get(name)
            if not value:
                continue
            values = (value,) if isinstance(value, str) else value
            if filled := tuple([v for given in values if (v := given.strip())]):
                return filled
        return ()


def split(text: str) -> FrontMatter | None:
    """The front matter of a document, None when it has none.

    Raises Refused (`front-matter`, `yaml-alias`, `yaml-tag`, `yaml-depth`) when it cannot be used at all.
    """
    text = text.lstrip("\ufeff \t\n")
    opening = text.partition("\n")[0]
    if not _FENCE.fullmatch(opening):
        return _unopened(text.split("\n"))
    inside = len(opening) + 1
    closing = _CLOSING_FENCE.search(text, len(opening))
    if closing is None:
        return _unclosed(text[inside:].split("\n"))
    return FrontMatter(_fields(text[inside : closing.start()].split("\n")), text[closing.end() :])


def unfinished(text: str) -> bool:
    """Whether the text breaks off inside its front matter: there are only fields so far.

    After a whole line that is believed only where a title would make an article of it: without one, the
    document is refused, which a complete copy heals.
    """
    lines = text.lstrip("\ufeff \t\n").split("\n")
    if not _FENCE.fullmatch(lines[0]):
        return lines == ["-"] or lines == ["--"]
    inside = lines[1:-1]
    if not lines[-1] and not any(line.startswith(("title:", "标题:")) for line in inside):
        return False
    return not any(_FENCE.fullmatch(line) for line in lines[1:]) and all(
        not line.strip() or _field(line) or line[0] in " \t-#" for line in inside
    )


def _unopened(lines: list[str]) -> FrontMatter | None:
    """Fields of a post whose first fence is gone: they begin with one that every post has, and a fence ends them."""
    if not lines[0].startswith(_FIRST_FIELDS):
        return None
    count = 0
    while count < len(lines) and _field(lines[count]):
        count += 1
    if count == len(lines) or not _FENCE.fullmatch(lines[count]):
        return None
    return FrontMatter(_fields(lines[:count]), "\n".join(lines[count + 1 :]))


def _unclosed(lines: list[str]) -> FrontMatter:
    """Fields up to the first line that is none; the rest is the text, less a fence glued to it."""
    count = 0
    while count < len(lines) and _field(lines[count]):
        count += 1
    body = re.sub(r"^(?:-{3,}(?=\S)|\.{3}[ \t]*(?:\n|$))", "", "\n".join(lines[count:]))
    return FrontMatter(_fields(lines[:count]), body, closed=False)


def _field(line: str) -> re.Match[str] | None:
    """The name and the value of a field, the latter in the second group or the third."""
    return _LINE.fullmatch(line) or _TIGHT_LINE.fullmatch(line)


def _fields(lines: list[str]) -> dict[str, Value]:
    if sum(map(len, lines)) > MAX_LENGTH:
        raise Refused("front-matter", "the front matter is far too long", remedy="close it with a line ---")
    if lines and lines[0][:1] in (" ", "\t"):
        lines = dedent("\n".join(lines)).split("\n")
    fields: dict[str, Value] = {}
    items: dict[str, list[str]] = {}
    structured = False
    name = ""
    for number, line in enumerate(lines):
        if not line.strip() or line.startswith("#"):
            continue
        if match := _field(line):
            name, value = match.group(1).lower(), (match.group(2) or match.group(3) or "").strip()
            structured = structured or (value[:1] in _STRUCTURE_MARKS and bool(_STRUCTURED.match(value)))
            if value[:1] == '"' and (len(value) == 1 or value[-1] != '"'):
                value = _continued(value, lines[number + 1 : number + _MAX_TITLE_LINES])
            # A repeated key keeps its first filled value: an empty one never overwrites.
            if not fields.get(name):
                fields[name] = _scalar(value)
        elif (match := _LIST_LINE.fullmatch(line)) and name and (name in items or not fields[name]):
            items.setdefault(name, []).append(_scalar(match.group(1).strip()))
        else:
            structured = True
    fields |= {name: tuple(values) for name, values in items.items()}
    if structured:
        fields |= _yaml_fields("\n".join(lines), fields)
    return fields


def _continued(value: str, following: list[str]) -> str:
    """A quoted value that goes on over the next lines, put together; as it is when no line ends it."""
    parts = [value]
    for line in following:
        if _field(line):
            break
        parts.append(line.strip())
        if line.rstrip().endswith('"'):
            return " ".join(parts)
    return value


def _scalar(value: str) -> str:
    """A value as written, less one pair of enclosing quotes; backslashes are text."""
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        inner = value[1:-1]
        if value[0] == "'":
            return inner.replace("''", "'")
        # Escaped throughout: somebody wrote YAML. Raw quotes anywhere: the pipeline did.
        return inner.replace('\\"', '"') if '"' not in inner.replace('\\"', "") else inner
    return value


def _yaml_fields(text: str, flat: dict[str, Value]) -> dict[str, Value]:
    """The values that need YAML: lists and blocks. Broken YAML leaves the flat reading as it is."""
    import yaml  # a tenth of a worker process's start; few posts need it

    if len(text) > _MAX_YAML:
        raise Refused("front-matter", "the front matter is far too long for YAML", remedy="write plain fields")
    try:
        _forbid(text)
        loaded = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 - builds text, lists and maps only
    except yaml.YAMLError:
        return {}
    except RecursionError as error:
        raise Refused("yaml-depth", "the front matter is nested too deep", remedy="write plain fields") from error
    if isinstance(loaded, list) and not flat:
        raise Refused("front-matter", "the front matter is a list, not fields", remedy="write `title: ...` lines")
    if not isinstance(loaded, dict):
        return {}
    found: dict[str, Value] = {}
    for key, value in loaded.items():
        name = str(key).lower()
        if isinstance(value, list) and (name not in _TITLES or not flat.get(name)):
            found[name] = tuple(v for v in value if isinstance(v, str))
        elif isinstance(value, str) and (not flat.get(name) or _FLOW_OR_BLOCK.match(str(flat[name]))):
            found[name] = value
    return found


def _forbid(text: str) -> None:
    """Refuse aliases (they can grow without bound) and tags that name code, from the event stream alone.

    An alias to nothing is no YAML but an outlet whose name begins with a star.
    """
    import yaml

    anchors: set[str] = set()
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CBaseLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:  # what builds the values recurses, in C
            raise Refused("yaml-depth", "the front matter is nested too deep", remedy="write plain fields")
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent) and anchor in anchors:
            raise Refused("yaml-alias", "the front matter uses YAML aliases", remedy="write each value out")
        if anchor:
            anchors.add(anchor)
        tag = str(getattr(event, "tag", None))
        if tag.startswith("tag:yaml.org,2002:python"):
            raise Refused("yaml-tag", f"the front matter uses the YAML tag {tag}", remedy="remove the tag")
