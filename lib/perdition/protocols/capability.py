"""Adding and hiding words of a capability list (reference: protocols.md sections 2.3, 3.2, 4.1)."""

import functools


@functools.lru_cache(maxsize=64)
def capabilities(configured: str, separator: str, **words: bool | None) -> tuple[str, ...]:
    """The words to announce.

    Args:
        configured: the operator's list, one string.
        separator: what stands between its words.
        words: for each word, whether it has to be there (True), must not (False), or stays as
            configured (None). A word that is to be there and is not comes last.

    Returns:
        The words in the order of the list. Words are compared as they are, case included.
    """
    result = configured.split(separator) if configured else []
    for word, wanted in words.items():
        if wanted is None:
            continue
        if wanted and word not in result:
            result.append(word)
        elif not wanted:
            result = [each for each in result if each != word]
    return tuple(result)
