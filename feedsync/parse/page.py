"""A fetched page to the article on it: JSON, HTML or plain text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from feedsync.errors import Refused
from feedsync.parse import apology, clean, jsontext
from feedsync.parse.charset import decode_web
from feedsync.parse.credit import cut_headline
from feedsync.parse.dates import read_web_moment
from feedsync.parse.document import BODY_FIELDS, said_in_fields
from feedsync.parse.frontmatter import FrontMatter
from feedsync.parse.identity import key_of_name
from feedsync.parse.maintext import find, marked, parse_page_tree, select, split_scripts
from feedsync.parse.metadata import read_metadata
from feedsync.parse.plain import read_plain
from feedsync.parse.said import Said, compose
from feedsync.text import normalise, one_line, strip_illegal
from feedsync.values import replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from lxml.html import HtmlElement

    from feedsync.model import Parsed, Response
    from feedsync.parse.metadata import Metadata

MIN_UNMARKED = 200
"""Characters of text a page needs to be taken for an article when it names no time and does not call itself one."""

MIN_WORDS = 10
"""Characters of text outside links that any page needs."""

_LINK = re.compile(r"<a\b[^<>]{0,2000}>[^<]{0,2000}</a>", re.IGNORECASE)
_JSON_TYPE = re.compile(r"[^;]*\b(?:json|javascript|ecmascript)\b", re.IGNORECASE)
_HTML_TYPE = re.compile(r"\s*(?:text/html|application/xhtml\+xml)", re.IGNORECASE)
_OTHER_TYPE = re.compile(r"\s*(?:image|audio|video|font)/|\s*application/(?:pdf|zip|msword|vnd)", re.IGNORECASE)
_FEED = re.compile(r"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*)?<(?:rss|feed|rdf:RDF)\b", re.DOTALL)
_JSON_START = re.compile(
    r"\s*(?:[\[{]\s*[\"{\[\]}]|(?:(?:var|let|const)\s+)?[A-Za-z_$][\w$.]{0,100}\s*[(=]\s*[\[{]\s*[\"{\[])", re.ASCII
)
_MAX_NESTING = 4
_CODES = ("code", "id", "newsid", "news_id", "art_code", "artcode", "newscode")
_BLOCKERS = re.compile(
    r"cf[-_]chl|challenge-platform|cf-browser-verification|g-recaptcha|hcaptcha|geetest|aliyun_waf|_waf_|acw_sc__v2"
    r"|TencentCaptcha|turing-captcha|<input[^>]{0,200}type\s*=\s*[\"']?password",
    re.IGNORECASE,
)


def parse_page(response: Response, zone: tzinfo, content_selector: str = "") -> Parsed:
    """The article on a page. `zone` is the zone of times without one.

    Raises Refused with the reason and a remedy when there is none: `not-an-article` for error pages, captchas,
    logins and the like, `no-text`, `no-time`, `selector`, and those of decoding and of `compose`.
    """
    if _OTHER_TYPE.match(response.media_type):
        kind = response.media_type.partition(";")[0].strip()[:60]
        raise Refused("not-an-article", f"it is {kind}, not a page", remedy="check the URL")
    text = strip_illegal(decode_web(response.content, response.media_type))
    if _FEED.match(text):
        raise Refused("not-an-article", "it is a feed, not a page", remedy='make it a source of kind = "feed"')
    as_json = _JSON_TYPE.match(response.media_type) is not None and not text.lstrip().startswith("<")
    if as_json or _JSON_START.match(text):  # some servers call their JSON text/html
        said = _said_in_json(jsontext.load(text), zone)
    elif _HTML_TYPE.match(response.media_type) or clean.looks_like_html(text[:5000]):
        said = _said_in_html(text, response, zone, content_selector)
    else:
        plain = read_plain(text)
        said = Said(plain.title, plain.body, plain.date, outlet=plain.outlet)
    parsed = compose(
        replace(
            said,
            urls=(response.page_url,),
            aliases=(response.url, *said.urls, *said.aliases),
            base=said.base or response.page_url or response.url,
        ),
        zone,
    )
    apology.check_text(parsed)
    return parsed


def _said_in_json(root: object, zone: tzinfo) -> Said:
    found = next(_holders(root, 0), None)
    if words := jsontext.failure(root) or jsontext.failure(found) or ("" if found else jsontext.complaint(root)):
        raise Refused("not-an-article", f"the server answered with an error: {words}", remedy="ask again later")
    if found is None:
        raise Refused("no-text", "the JSON has no `text` and no `content`", remedy="check the URL")
    given = {str(name).lower(): jsontext.texts_of(value) for name, value in found.items()}
    body = next(text for name in BODY_FIELDS if (text := jsontext.as_text(_field(found, name))).strip())
    said = said_in_fields(FrontMatter({name: values for name, values in given.items() if values}, ""), body)
    code = next((key for name in _CODES for v in given.get(name, ()) if (key := key_of_name(v))), "")
    return replace(said, published=read_web_moment(str(said.published), zone) or "", name=code)


def _holders(value: object, depth: int) -> Iterator[dict[str, object]]:
    """The objects that have a text, the outermost first."""
    if isinstance(value, dict) and any(jsontext.as_text(_field(value, name)).strip() for name in BODY_FIELDS):
        yield value
    if depth < _MAX_NESTING:
        inner = (
            value.values() if isinstance(value, dict) else value if isinstance(value, list) and len(value) == 1 else ()
        )
        for one in inner:
            yield from _holders(one, depth + 1)


def _field(value: dict[str, object], name: str) -> object:
    return next((found for key, found in value.items() if str(key).lower() == name), None)


def _said_in_html(text: str, response: Response, zone: tzinfo, content_selector: str) -> Said:
    stripped, scripts = split_scripts(text)
    page = parse_page_tree(stripped)
    if page is None:
        raise Refused("no-text", "the page is blank", remedy="check the URL")
    metadata = read_metadata(page, scripts, zone)
    base = _base(page, response.url)
    if content_selector:
        body = select(page, content_selector)
    else:
        body = marked(page) or find(page, stripped, metadata.title) or metadata.body
        _check_article(text, body, metadata)
    return Said(
        title=metadata.title,
        body=body,
        published=metadata.published or "",
        summary=cut_headline(metadata.summary, metadata.title),
        outlet=metadata.outlet,
        publisher=metadata.publisher,
        aliases=metadata.urls,
        base=base,
    )


def _check_article(text: str, body: str, metadata: Metadata) -> None:
    """Raise Refused for a page that is none of an article: a shell of scripts, a captcha, an error page, an index."""
    words = normalise(clean.text_of(_LINK.sub("", body)))  # a list of links tells nothing
    named = metadata.article or metadata.published is not None
    if apology.is_message_title(metadata.title) and not (named and len(words) >= MIN_UNMARKED):
        raise apology.refuse(metadata.title)
    if len(words) >= (MIN_WORDS if named else MIN_UNMARKED):
        return
    if _BLOCKERS.search(text):
        raise Refused("not-an-article", "it asks who we are: a captcha or a login", remedy="ask the publisher")
    if len(words) < MIN_WORDS:
        raise Refused(
            "no-text",
            "there is no text on the page; it may be a shell filled by scripts",
            remedy="set `content_selector`, or `rewrite` it to where its text lives",
        )
    raise Refused(
        "not-an-article",
        f"it names no time, does not call itself an article, and says little: {one_line(words)[:60]}",
        remedy="set `content_selector` if it is one",
    )


def _base(page: HtmlElement, url: str) -> str:
    for element in page.iter("base"):
        if href := element.get("href", "").strip():
            try:
                return str(urljoin(url, href))
            except ValueError:
                return url
    return url
