"""A list endpoint: its records, and each record's detail, to articles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.parse import jsontext
from feedsync.parse.apology import check_text
from feedsync.parse.credit import cut_headline
from feedsync.parse.dates import moment_of_day, read_web_moment
from feedsync.parse.document import BODY_FIELDS, CODE_FIELDS
from feedsync.parse.identity import code_in, day_of_key, key_of_code, key_of_text, key_of_url
from feedsync.parse.outlet import category_of_outlet, tag_of_outlet
from feedsync.parse.said import Said, compose
from feedsync.text import normalise, one_line
from feedsync.values import Struct, field, replace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from feedsync.model import Moment, Parsed, Response


class ListShape(Struct, frozen=True):
    """How a list endpoint's JSON maps to records. All paths are dotted (`data.list`).

    `fields` maps `info_code title published outlet digest page_url categories tags` to paths within a record.
    `body` is the path in the detail. `category` and `tag` are fixed for all records; without a category, it is
    derived from the outlet.
    """

    records: str
    fields: Mapping[str, str]
    body: str = "text"
    category: str = ""
    tag: str = ""


class Record(Struct, frozen=True):
    """One line of a list, before its detail is fetched. `code` is as given, `key` that of the article."""

    code: str
    key: str
    title: str
    published: Moment
    outlet: str = ""
    digest: str = ""
    page_url: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Listing(Struct, frozen=True):
    """The records of a list in its order, and what was refused, by its number from 1."""

    records: tuple[Record, ...]
    refused: tuple[tuple[int, Refused], ...] = field(default=())


def parse_list(content: bytes, media_type: str, shape: ListShape, zone: tzinfo) -> Listing:
    """The records of a list. A record that repeats another's code with the same title and time adds to it.

    Raises Refused (`not-json`, `list`, those of decoding) when there is no list at all.
    """
    root = jsontext.read_json(content, media_type)
    found = jsontext.at(root, shape.records)
    if not isinstance(found, list):
        said = jsontext.complaint(root)
        raise Refused(
            "list",
            f"there is no list at `{shape.records}`" + (f"; the server says: {said}" if said else ""),
            remedy="check the URL and `records`",
        )
    records: dict[str, tuple[int, Record]] = {}
    refused: list[tuple[int, Refused]] = []
    for number, line in enumerate(found, 1):
        try:
            record = _record(line, shape, zone)
            first, known = records.setdefault(record.key, (number, record))
            records[record.key] = first, _unite(known, record, first)
        except Refused as error:
            refused.append((number, Refused(error.code, f"record {number}: {error.message}", remedy=error.remedy)))
    return Listing(tuple(record for _, record in records.values()), tuple(refused))


def parse_detail(record: Record, response: Response, shape: ListShape, zone: tzinfo) -> Parsed:
    """The article of a record: its body from the detail, everything else from the record.

    Raises Refused: `mismatch` when the detail names another article, `no-text` when it has no text,
    `not-an-article` when its text is an error message, those of reading JSON and of `compose`.
    """
    detail = jsontext.read_json(response.content, response.media_type)
    body = _body(detail, shape.body)
    _check_same(record, detail, shape.body)
    parsed = compose(
        replace(
            _said(record),
            body=body,
            urls=(record.page_url, response.page_url),
            base=response.page_url or record.page_url or response.url,
        ),
        zone,
    )
    check_text(parsed)
    return parsed


def parse_record(record: Record, zone: tzinfo) -> Parsed:
    """What a record says of its article without the detail: everything but the text. Raises Refused."""
    return compose(_said(record), zone)


def _said(record: Record) -> Said:
    return Said(
        title=record.title,
        body="",
        published=record.published,
        summary=cut_headline(record.digest, record.title),
        # As in a file of the old site, an outlet that is in the tag is no credit line.
        outlet="" if tag_of_outlet(record.outlet) in record.tags else record.outlet,
        code=record.code,
        urls=(record.page_url,),
        categories=record.categories,
        tags=record.tags,
    )


def _record(line: object, shape: ListShape, zone: tzinfo) -> Record:
    if not isinstance(line, dict):
        raise Refused("record", "it is no object with fields", remedy="check `records`")
    given = {name: jsontext.text_at(line, path).strip() for name, path in shape.fields.items()}
    code, page_url = given.get("info_code", ""), given.get("page_url", "")
    for name in ("title", "published"):
        if name in given and not given[name]:
            raise Refused("record", f"its `{shape.fields[name]}` is missing or blank", remedy="check `fields`")
    key = key_of_code(code) or key_of_url(page_url)
    if not code and not page_url:
        path = shape.fields.get("info_code", "info_code")
        raise Refused("record", f"its `{path}` is missing or blank, and it names no page", remedy="check `fields`")
    title = one_line(given.get("title", ""))
    published = _published(given.get("published", ""), key, zone)
    outlet = one_line(given.get("outlet", ""))
    categories = _texts(line, shape, "categories") or ((shape.category,) if shape.category else ())
    tags = _texts(line, shape, "tags") or ((shape.tag,) if shape.tag else ())
    if not categories and outlet:
        derived = category_of_outlet(outlet)
        categories, tags = (derived.term,), tags or (tag_of_outlet(outlet),)
    return Record(
        code=code,
        key=key or key_of_text(title, published.at),
        title=title,
        published=published,
        outlet=outlet,
        digest=given.get("digest", ""),
        page_url=page_url,
        categories=categories,
        tags=tags,
    )


def _texts(line: object, shape: ListShape, name: str) -> tuple[str, ...]:
    return jsontext.texts_of(jsontext.at(line, shape.fields[name])) if name in shape.fields else ()


def _published(text: str, key: str | None, zone: tzinfo) -> Moment:
    if moment := read_web_moment(text, zone):
        return moment
    if key and (day := day_of_key(key)):
        return moment_of_day(day, zone)
    raise Refused("no-time", "it names no time", remedy="map `published` in `fields`")


def _unite(known: Record, later: Record, first: int) -> Record:
    """The earlier record with what only the later one says. Raises Refused when they contradict each other."""
    if (normalise(known.title), known.published) != (normalise(later.title), later.published):
        raise Refused(
            "record",
            f"it repeats the code {later.code or later.key} of record {first} with another title or time",
            remedy="the first is taken; report it to the publisher",
        )
    return replace(
        known,
        outlet=known.outlet or later.outlet,
        digest=known.digest or later.digest,
        page_url=known.page_url or later.page_url,
        categories=known.categories or later.categories,
        tags=known.tags or later.tags,
    )


def _body(detail: object, path: str) -> str:
    failed = jsontext.failure(detail)
    texts = (jsontext.text_at(detail, name) for name in dict.fromkeys((path, *BODY_FIELDS)))
    body = next((text for text in texts if text.strip()), "")
    if failed or not body:
        if words := failed or jsontext.complaint(detail):
            raise Refused("not-an-article", f"the server answered with an error: {words}", remedy="ask again later")
        raise Refused("no-text", f"the detail has no text at `{path}`", remedy="check `body`, or ask again later")
    return body


def _check_same(record: Record, detail: object, path: str) -> None:
    """Raise Refused when the detail, or the object that holds its body, names another article."""
    for holder in (detail, jsontext.at(detail, path.rpartition(".")[0])):
        if not isinstance(holder, dict):
            continue
        for name, value in holder.items():
            text = jsontext.as_text(value)
            named = name.lower()
            key = key_of_code(text) if named in CODE_FIELDS else code_in(text) if named in ("code", "id") else None
            if key and key != record.key:
                raise Refused(
                    "mismatch",
                    f"the detail of {record.code or record.key} is that of {key}",
                    remedy="check `detail_url`, or ask again later",
                )
