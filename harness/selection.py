"""The words of a command line, and the names that they choose out of what there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workloads.reading import SpecError, nearest


def words(asked: Iterable[str], what: str) -> list[str]:
    """Return the words asked for; each of `asked` may hold several with commas between them.

    Raises:
        SpecError: a word is empty, and names no `what`.
    """
    pairs = [(word.strip(), text) for text in asked for word in text.split(",")]
    for word, text in pairs:
        if not word:
            raise SpecError(f'"{text}": an empty word names no {what}; leave it out, or name one')
    return [word for word, _ in pairs]


def choose(asked: Iterable[str], known: Sequence[str], what: str) -> list[str]:
    """Return the names asked for, in the order of `known`; "all" means every one.

    `asked` as of `words`; `what` a name is, for an error.

    Raises:
        SpecError: a name is not known; the message has the nearest one.
    """
    names = words(asked, what)
    for word in names:
        if word != "all" and word not in known:
            raise SpecError(
                f'no {what} "{word}"{nearest(word, known)}; known: {", ".join(known)}, or all'
            )
    return [name for name in known if name in names or "all" in names]
