"""The words of a command line, and the names that they choose out of what there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workloads.reading import SpecError, nearest


def words(texts: Iterable[str]) -> list[str]:
    """Return the words asked for; each of `texts` may hold several with commas between them."""
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def choose(texts: Iterable[str], available: Sequence[str], what: str) -> list[str]:
    """Return the names asked for, in the order of `available`; "all" means every one.

    `texts` as of `words`; `what` a name is, for an error.

    Raises:
        SpecError: a name is not known; the message has the nearest one.
    """
    names = words(texts)
    for word in names:
        if word != "all" and word not in available:
            raise SpecError(
                f'no {what} "{word}"{nearest(word, available)}; known: {", ".join(available)}, or all'
            )
    return [name for name in available if name in names or "all" in names]
