"""The words of a command line, and the names that they choose out of what there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workloads.reading import SpecError, nearest


def words(texts: Iterable[str], what: str) -> list[str]:
    """Return the words asked for; each of `texts` may hold several with commas between them.

    Raises:
        SpecError: a word is empty, and names no `what`.
    """
    pairs = [(word.strip(), text) for text in texts for word in text.split(",")]
    for word, text in pairs:
        if not word:
            raise SpecError(f'"{text}": an empty word names no {what}; leave it out, or name one')
    return [word for word, _ in pairs]


def choose(texts: Iterable[str], available: Sequence[str], what: str) -> list[str]:
    """Return the names asked for, in the order of `available`; "all" means every one.

    `texts` as of `words`; `what` a name is, for an error.

    Raises:
        SpecError: a name is unknown; the message has the nearest one.
    """
    names = words(texts, what)
    for word in names:
        if word != "all" and word not in available:
            raise SpecError(
                f'no {what} "{word}"{nearest(word, available)}; known: {", ".join(available)}, or all'
            )
    return [name for name in available if name in names or "all" in names]
