"""HTML elements by what is done with them."""

DROPPED = (
    "script style iframe applet noframes template svg math input select textarea audio video canvas head title "
    "meta link base frame frameset xmp plaintext noembed area"
).split()
"""Removed with all they hold."""

UNWRAPPED = (
    "span font label form fieldset legend button dialog map object embed noscript details summary main header footer "
    "nav aside"
).split()
"""Removed; what they hold stays. What follows `<embed>` is not its own, but our parser takes it for that."""

BLOCKS = frozenset(
    "p div figure figcaption blockquote pre ul ol li dl dt dd table caption thead tbody tfoot tr td th hr "
    "h1 h2 h3 h4 h5 h6 section article center".split()
)
INLINE = frozenset("a b strong i em u s del ins sub sup small big code q cite mark".split())

CONTAINERS = frozenset("body div figure blockquote ul ol dl table thead tbody tfoot tr section article center".split())
"""White space directly inside means nothing."""

WRAPPERS = frozenset("div section article center main blockquote".split())
"""What may stand around all paragraphs of an article."""

TRIMMED = frozenset("p li td th dt dd figcaption figure div blockquote h1 h2 h3 h4 h5 h6 strong b em i u a".split())
"""White space at the edges means nothing, and an empty one is none."""

PUBLISHED = (BLOCKS | INLINE | {"br", "img", "colgroup", "col"}) - {"section", "article", "center", "big"}

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
SELF_CLOSING = frozenset("p li dt dd tr td th option thead tbody tfoot".split())
"""Their end tags may be left out."""
