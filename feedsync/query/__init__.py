"""The query language of search and custom feeds: text to an expression, an expression held against an article. Pure."""

from feedsync.query.expression import And, Before, Expression, Field, Not, Or, Since, Text, words_of
from feedsync.query.language import QueryError, parse_query, quoted
from feedsync.query.match import Subject, fold, matches, subject_of
from feedsync.query.selection import Selection, selection_of
from feedsync.query.snippet import Piece, marked, snippet

__all__ = [
    "And",
    "Before",
    "Expression",
    "Field",
    "Not",
    "Or",
    "Piece",
    "QueryError",
    "Selection",
    "Since",
    "Subject",
    "Text",
    "fold",
    "marked",
    "matches",
    "parse_query",
    "quoted",
    "selection_of",
    "snippet",
    "subject_of",
    "words_of",
]
