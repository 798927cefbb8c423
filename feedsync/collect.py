"""Fetch what has to be fetched: pages, lists and their details, upstream feeds, texts that files lack.

For each source: what is due is asked for, many URLs at once; what comes is parsed and stored in batches, together
with what politeness needs to remember. A URL that fails is reported, left alone for a while, and harms nothing.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from feedsync.errand import Errand
from feedsync.errors import Refused, SourceError
from feedsync.load import FAULTS
from feedsync.model import Origin, Parsed, Response
from feedsync.parse import key_of_url, text_url
from feedsync.parse.listing import Record, parse_detail, parse_list, parse_record
from feedsync.parse.page import parse_page
from feedsync.parse.upstream import parse_upstream
from feedsync.sources import FeedSource, FileSource, ListSource, UrlSource
from feedsync.sources.address import shown
from feedsync.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from feedsync.ingest import Ingest
    from feedsync.model import Known
    from feedsync.parse.listing import Listing
    from feedsync.report import SourceReport
    from feedsync.sources import Source
    from feedsync.sources.exchange import Answer, Ask

log = logging.getLogger("feedsync.fetch")

_NEVER = timedelta()
_EMPTY = "it named articles before and names none now; they stay published"


class Collector:
    """Goes round the sources of one run."""

    def __init__(
        self,
        ingest: Ingest,
        lock: Callable[[], AbstractContextManager[None]],
        stored: Callable[[], None],
    ) -> None:
        """`lock` gives the right to store; `stored` is called after something was."""
        self._ingest = ingest
        self._lock = lock
        self._stored = stored
        self._open: list[tuple[Errand, str | None]] = []

    def collect(self, source: Source, report: SourceReport) -> None:
        """Fetch for one source; its faults are in its report."""
        files = isinstance(source, FileSource)
        policy = source.fetch if isinstance(source, FileSource) else source.policy
        assert policy is not None, "a source of files without a policy has nothing to fetch"
        errand = Errand(
            self._ingest,
            source.name,
            policy,
            # What completes an article says nothing of where it belongs.
            "" if files else source.default_category,
            report,
            lock=self._lock,
            stored=self._stored,
        )
        failed_before = report.failed
        error = None
        try:
            match source:
                case UrlSource():
                    _collect_pages(errand, source)
                case ListSource():
                    _collect_list(errand, source)
                case FeedSource():
                    _collect_feed(errand, source)
                case FileSource():
                    _complete(errand)
                case _:
                    assert_never(source)
        except SourceError as fault:
            error = str(fault)
        except FAULTS as fault:
            log.exception("source failed", extra={"fields": {"source": source.name}})
            error = f"source {source.name}: {type(fault).__name__}: {fault} (report this as a bug)"
        finally:
            if error:
                report.error = error
                report.failed += 1
                log.error("source failed", extra={"fields": {"source": source.name, "reason": error}})
            self._open.append((errand, error or _trouble(report, failed_before)))
            if not self._ingest.request.dry_run:
                self.close()

    def close(self) -> None:
        """Store what is still to be stored: in a dry run, everything, now that nothing is waited for."""
        while self._open:
            errand, error = self._open.pop(0)
            report = errand.report
            errand.close(error)
            report.add_up()


def _trouble(report: SourceReport, failed_before: int) -> str | None:
    """In one line, what failed of a source that as a whole could be read."""
    failed = report.failed - failed_before
    if not failed or not report.faults:
        return None
    first = report.faults[0]
    return f"{failed} failed; {first.url}: {first.reason}"


def _collect_pages(errand: Errand, source: UrlSource) -> None:
    pages = {shown(url): url for url in _urls_of(source)}
    with errand.ingest.reading() as reader:
        if not pages and errand.source_id is not None and reader.has_documents(errand.source_id):
            raise SourceError(f"source {source.name}: {_EMPTY}", remedy="list its URLs again, or remove the source")
        keys = {key for key in errand.ingest.keys.values() if key}
        named = {location for key in keys for location in reader.locations(source.name, key)}
    asks: list[Ask] = []
    for location, url in pages.items():
        if errand.ingest.request.codes and location not in named and key_of_url(url) not in keys:
            continue
        failed = errand.report.failed
        if errand.due(location):
            asks.append(errand.ask(location, text_url(url, source.rewrite)))
        elif errand.report.failed == failed:
            errand.report.unchanged += 1
    again = timedelta(seconds=source.interval_s)
    for answer in errand.answers(asks):
        if answer.unchanged or errand.same(answer):
            errand.report.unchanged += 1
        else:
            response = _response(errand, answer, page_url=answer.ask.name)
            try:
                with _guarded(errand, answer):
                    parsed = parse_page(response, errand.ingest.zone, source.content_selector)
            except Refused as refused:
                errand.refuse(answer.ask.name, answer.ask.url, refused)
                continue
            errand.arrive(answer.ask.name, parsed)
        errand.succeed(answer, again, 1)
    if not errand.ingest.request.codes:
        for location in errand.rows.keys() - pages.keys():
            errand.forget(location)


def _urls_of(source: UrlSource) -> list[str]:
    """The URLs of a source: from the configuration, then from its file, each once. Raises SourceError."""
    urls = list(source.urls)
    if source.path is not None:
        try:
            text = source.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"source {source.name}: its list of URLs {source.path} cannot be read: {error}",
                remedy="write one URL a line, in UTF-8",
            ) from error
        lines = (line.strip() for line in text.splitlines())
        urls += [line.split(" #")[0].rstrip() for line in lines if line and not line.startswith("#")]
    return list(dict.fromkeys(urls))


def _collect_list(errand: Errand, source: ListSource) -> None:
    listing = _listing(errand, source)
    if listing is None:
        return
    request = errand.ingest.request
    wanted = {key for key in errand.ingest.keys.values() if key}
    records = [record for record in listing.records if not request.codes or record.key in wanted]
    records += _records_gone(errand, wanted - {record.key for record in records})
    errand.ingest.progress.start(source.name, None)
    asks: list[Ask] = []
    by_location: dict[str, Record] = {}
    for start in range(0, len(records), 500):
        chunk = records[start : start + 500]
        with errand.ingest.reading() as reader:
            known = reader.known([record.key for record in chunk])
        for record in chunk:
            place = record.code or record.key
            here = Origin(source.name, place)
            if not errand.forced and (parsed := _known_already(errand, record, known.get(record.key), here)):
                errand.arrive(place, parsed)
                errand.forget(place)
            elif errand.due(place):
                by_location[place] = record
                asks.append(errand.ask(place, _detail_url(source, record), conditional=False))
    for answer in errand.answers(asks):
        record = by_location[answer.ask.name]
        try:
            with _guarded(errand, answer):
                response = _response(errand, answer, page_url=record.page_url)
                parsed = parse_detail(record, response, source.shape, errand.ingest.zone)
        except Refused as refused:
            errand.refuse(answer.ask.name, answer.ask.url, refused)
            continue
        errand.arrive(answer.ask.name, parsed)
        errand.forget(answer.ask.name)


def _records_gone(errand: Errand, keys: Iterable[str]) -> list[Record]:
    """Articles asked for that the list named once: their records as they were taken then."""
    records = []
    with errand.ingest.reading() as reader:
        for key, known in reader.known(sorted(keys)).items():
            for origin, said in sorted(known.documents.items()):
                if origin.source == errand.name:
                    records.append(
                        Record(
                            code=origin.location,
                            key=key,
                            title=said.title.text,
                            published=said.published,
                            outlet=said.credit.outlet if said.credit else "",
                            digest=said.summary,
                            page_url=next(iter(said.urls), ""),
                            categories=tuple(category.term for category in said.categories),
                            tags=said.tags,
                        )
                    )
    return records


def _listing(errand: Errand, source: ListSource) -> Listing | None:
    """The list, when there is one to work on. Raises SourceError when there should be one and is not."""
    location = shown(source.url)
    details_failed = any(row.failures for place, row in errand.rows.items() if place != location)
    failed = errand.report.failed
    if not errand.due(location):
        if errand.report.failed == failed:
            errand.report.unchanged += errand.rows[location].documents
        return None
    # A list that did not change names no articles; they are needed when some of their details are still to come.
    for answer in errand.answers([errand.ask(location, source.url, conditional=not details_failed)]):
        if answer.unchanged:
            errand.report.unchanged += errand.rows[location].documents
            errand.succeed(answer, _NEVER)
            return None
        try:
            with _guarded(errand, answer):
                listing = parse_list(answer.content, answer.media_type, source.shape, errand.ingest.zone)
        except Refused as refused:
            errand.refuse(location, source.url, refused)
            return None
        if not listing.records and not listing.refused:
            with errand.ingest.reading() as reader:
                if errand.source_id is not None and reader.has_documents(errand.source_id):
                    errand.fail(location, source.url, "empty", _EMPTY)
                    return None
        for position, reason in listing.refused:
            errand.tell(f"{location}#{position}", reason.code, str(reason))
        errand.succeed(answer, _NEVER, len(listing.records))
        return listing
    return None


def _detail_url(source: ListSource, record: Record) -> str:
    return source.detail_url.replace("{info_code}", record.code).replace("{key}", record.key)


def _known_already(errand: Errand, record: Record, known: Known | None, here: Origin) -> Parsed | None:
    """What a record adds to an article whose text is known, under the title and time the record gives."""
    if known is None or known.article.body.empty:
        return None
    said = parse_record(record, errand.ingest.zone).article
    mine = known.documents.get(here)
    measure = mine or known.article
    if (measure.title, measure.published) != (said.title, said.published):
        return None
    if mine is None:
        return Parsed(said, "")
    return Parsed(replace(said, body=mine.body, symbols=mine.symbols, credit=mine.credit or said.credit), "")


def _collect_feed(errand: Errand, source: FeedSource) -> None:
    location = shown(source.url)
    failed = errand.report.failed
    if not errand.due(location):
        if errand.report.failed == failed:
            errand.report.unchanged += errand.rows[location].documents
        return
    for answer in errand.answers([errand.ask(location, source.url)]):
        if answer.unchanged or errand.same(answer):
            errand.report.unchanged += errand.rows[location].documents
            errand.succeed(answer, _NEVER)
            return
        try:
            with _guarded(errand, answer):
                upstream = parse_upstream(_response(errand, answer, page_url=""), errand.ingest.zone)
        except Refused as refused:
            errand.refuse(location, source.url, refused)
            return
        if not upstream.entries and not upstream.refused:
            with errand.ingest.reading() as reader:
                if errand.source_id is not None and reader.has_documents(errand.source_id):
                    errand.fail(location, source.url, "empty", _EMPTY)
                    return
        wanted = set(errand.ingest.keys.values())
        for entry in upstream.entries:
            if not wanted or entry.parsed.article.key in wanted:
                errand.arrive(entry.location, entry.parsed)
        for entry_id, reason in upstream.refused:
            errand.tell(f"{location}#{entry_id}", reason.code, str(reason))
        errand.succeed(answer, _NEVER, len(upstream.entries))


def _complete(errand: Errand) -> None:
    """Fetch the texts of articles whose files have none, from their source URLs."""
    if errand.source_id is None:
        return
    with errand.ingest.reading() as reader:
        lacking = reader.without_text(errand.source_id)
        completed_before = reader.fetched_documents(errand.source_id) if errand.forced else {}
    pages = completed_before | {url: article.key for article in lacking for url in article.urls[:1]}
    if wanted := {key for key in errand.ingest.keys.values() if key}:
        pages = {url: key for url, key in pages.items() if key in wanted}
    asks = [errand.ask(page, text_url(page, ())) for page in pages if errand.due(page)]
    for answer in errand.answers(asks):
        page = answer.ask.name
        try:
            with _guarded(errand, answer):
                parsed = parse_page(_response(errand, answer, page_url=page), errand.ingest.zone)
                completed = _for_article(parsed, pages[page])
        except Refused as refused:
            errand.refuse(page, answer.ask.url, refused)
            continue
        errand.arrive(page, completed)
        errand.forget(page)


def _for_article(parsed: Parsed, key: str) -> Parsed:
    """A page taken for the article whose source it is. Raises Refused when it says that it is another one."""
    found = parsed.article.key
    if found not in (key,) and not found.startswith("t-"):
        raise Refused("mismatch", f"the page is of the article {found}, not of {key}", remedy="correct the source URL")
    if parsed.article.body.empty:
        raise Refused("no-text", "the page has no text", remedy="nothing: it is tried again later")
    return replace(parsed, article=replace(parsed.article, key=key, categories=(), tags=()))


@contextmanager
def _guarded(errand: Errand, answer: Answer) -> Iterator[None]:
    """A fault of ours, on input nobody thought of, must not cost the other documents anything."""
    try:
        yield
    except FAULTS as error:
        log.exception("parser failed", extra={"fields": {"source": errand.name, "url": shown(answer.ask.url)}})
        reason = f"the parser failed on it: {type(error).__name__}: {error}"
        raise Refused("parser", reason[:300], remedy="report this as a bug, with the page") from error


def _response(errand: Errand, answer: Answer, *, page_url: str) -> Response:
    return Response(
        source=errand.name,
        location=answer.ask.name,
        url=answer.url,
        page_url=page_url,
        media_type=answer.media_type,
        content=answer.content,
    )
