"""The English words that titles of work on software are made of, as `similar_text` compares them. Pure."""

_MIN_STEM = 3
_SUFFIXES = (
    *("ations", "ation", "ingly", "edly", "ments", "ment", "ings", "ing"),
    *("ers", "ies", "ied", "ed", "es", "er", "ly", "s", "e"),
)


def stem_of(word: str) -> str:
    """Return a word without its ending, so that its forms are one; numbers and short words stay as they are."""
    if len(word) > _MIN_STEM and not word[0].isdigit():
        for suffix in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= _MIN_STEM:
                word = word.removesuffix(suffix) + ("y" if suffix in {"ies", "ied"} else "")
                word = word[:-1] if word[-1] == word[-2] and len(word) > _MIN_STEM else word
                break
    return word[:-1] if word.endswith("e") and len(word) > _MIN_STEM + 1 else word


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _stems(text: str) -> tuple[str, ...]:
    return tuple(stem_of(word) for word in text.split())


SILENT = frozenset(
    _words(
        """
        a an and are as at be been before by can cannot do does don't for from get gets had has have how if in into is
        it its itself let like make makes made more must need needs no non not now of off on only or our out over own
        shall should so some such than that the their them then there they this those though to today too under until up
        us use used uses using very was we were what when where which while who whose why will with without would you
        your also any all each every instead rather may way these he she his her still again already just whether nor
        never after during since"""
    )
)
"""Words as they are written that say nothing about what is to be done."""

POLAR = frozenset(_words("not no never off without don't cannot nicht kein keine keinen nie ohne"))
"""Words as they are written that turn a title of the same words into its opposite."""

_SYNONYMS = tuple(
    _stems(group)
    for group in (
        "delete remove drop",
        "upgrade bump update",
        "crash panic segfault die",
        "doc documentation document docs",
        "config configuration",
        "param parameter argument",
        "repo repository",
        "auth authentication",
        "db database",
        "dependency deps dep",
        "performance speed fast slow",
        "login signin",
        "password passphrase",
        "empty blank",
        "picture image",
        "wrong incorrect",
        "lack miss absent",
        "reject refuse",
    )
)

FIRST_OF_SYNONYMS = {stem: group[0] for group in _SYNONYMS for stem in group}
"""The stem that stands for a stem of the same meaning."""

GENERIC = frozenset(
    FIRST_OF_SYNONYMS.get(stem, stem)
    for stem in _stems(
        """
        fix add support update improve change handle implement allow create error issue bug problem feature feat chore
        refactor resolve deal set new page form file field function code module component command option setting default
        value data user text line work run time show display lack miss wrong correct fail accept replace migrate break
        case behave behavior behaviour proper better"""
    )
)
"""Stems that stand in so many titles that they tell little of one."""

OPPOSITES = tuple(
    (pair[0], pair[1])
    for pair in map(
        _stems,
        (
            "enable disable",
            "add remove",
            "allow forbid",
            "accept reject",
            "increase decrease",
            "raise lower",
            "show hide",
            "optional required",
            "import export",
            "encrypt decrypt",
            "pin unpin",
            "always never",
            "open close",
            "start stop",
            "lock unlock",
            "upload download",
            "first last",
            "upgrade downgrade",
            "read write",
            "public private",
            "collapse expand",
            "grant revoke",
            "before after",
        ),
    )
)
"""Pairs of stems of which a title has one and the title of other work the other one."""

EXCLUSIVE = tuple(
    frozenset(_words(group))
    for group in (
        "windows macos linux android ios freebsd",
        "safari firefox chrome edge",
        "postgresql postgres mysql sqlite mariadb mongodb",
        "german spanish french italian japanese chinese portuguese",
        "get post put patch delete",
        "arm64 amd64 x86 riscv musl",
    )
)
"""Words as they are written, of each group of which a title has one: what is done for one is not done for another."""

KINDS_OF_WORK = tuple(
    frozenset(_stems(group))
    for group in (
        "document documentation docs doc tutorial readme",
        "test tests coverage flaky",
        "refactor",
        "benchmark",
        "logging metrics",
    )
)
"""Stems of what is done to a thing: to document it is not to build it."""
