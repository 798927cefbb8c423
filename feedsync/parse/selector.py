"""CSS selectors, by which the configuration says where the text of a page is."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import XPath


def selector_fault(selector: str) -> str:
    """What is wrong with a CSS selector, for whoever reads the configuration; "" when nothing is."""
    return compiled(selector)[1]


@lru_cache(maxsize=64)
def compiled(selector: str) -> tuple[XPath | None, str]:
    """The selector as an XPath expression, or what is wrong with it."""
    from cssselect import HTMLTranslator, SelectorError  # few configurations have a selector
    from lxml import etree

    try:
        return etree.XPath(HTMLTranslator().css_to_xpath(selector)), ""
    except (SelectorError, etree.XPathSyntaxError) as error:
        return None, str(error)
