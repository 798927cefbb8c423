"""The payloads, how they are put into articles, and what no published markup may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from lxml import html as lxml_html

from tests.conftest import post

HOME = "evil.test"
"""The host payloads call; nothing may be asked of it."""

FORBIDDEN = frozenset(
    "script style iframe frame frameset object embed applet base meta link form input button select textarea keygen "
    "svg math template noscript noembed noframes xmp plaintext listing portal video audio source track param layer "
    "bgsound isindex dialog marquee map area title".split()
)
ATTRIBUTES = frozenset("href src alt width height colspan rowspan start".split())


def payloads() -> list[str]:
    """Every payload, its script spelt out."""
    lines = (Path(__file__).parent / "payloads.txt").read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(line for line in lines if line and not line.startswith("# ")):
        for written, meant in (("\\n", "\n"), ("\\t", "\t"), ("\\0", "\0"), ("\\x0c", "\x0c"), ("\\x01", "\x01")):
            line = line.replace(written, meant)
        found.append(line.replace("RUN", f"(new(Image)).src='http://{HOME}/ran-{number}'"))
    return found


def articles() -> Iterator[tuple[str, str]]:
    """A file name and a post for each payload: in the body, as plain text, in the title, the category and the tag."""
    for number, payload in enumerate(payloads()):
        one_line = payload.replace("\n", " ").replace("\0", "").replace('"', "'")
        code = f"20250314{number:010d}"
        yield f"body-{number}.md", post(code, f"正文 {number}", f"<p>前。</p>{payload}<p>后。</p>")
        code = f"20250315{number:010d}"
        yield f"text-{number}.md", post(code, f"文本 {number}", f"\n前面一句。\n{payload}\n后面一句。")
        code = f"20250316{number:010d}"
        yield f"head-{number}.md", post(code, one_line, "<p>正文。</p>", category=one_line[:60], tag=one_line[:60])


def dangers(markup: str) -> list[str]:
    """What two parsers, which disagree where mutations thrive, find in a fragment that must not be there."""
    found = list(_elements(markup))
    return [
        f"<{name} {attribute}={value!r}>"
        for name, attributes in found
        for attribute, value in [("", ""), *attributes]
        if name in FORBIDDEN
        or (attribute and (attribute not in ATTRIBUTES or attribute.startswith("on")))
        or (attribute in ("href", "src") and urlsplit(value.strip()).scheme.lower() not in ("http", "https", "mailto"))
        or (attribute == "src" and (urlsplit(value.strip()).hostname or "").endswith(HOME))
    ]


def _elements(markup: str) -> Iterator[tuple[str, Iterable[tuple[str, str]]]]:
    for element in lxml_html.fragment_fromstring(markup, create_parent="div").iterdescendants():
        if not isinstance(element.tag, str):
            yield "script", []  # a comment or an instruction has no place either
            continue
        yield element.tag, list(element.items())
    try:
        import html5lib
    except ImportError:  # not installed: one parser less
        return
    for element in html5lib.parseFragment(markup, treebuilder="lxml", namespaceHTMLElements=False):
        if isinstance(element, str):
            continue
        for below in element.iter():
            name = below.tag.rpartition("}")[2] if isinstance(below.tag, str) else "script"
            yield name, [(str(k), str(v)) for k, v in below.attrib.items()]
