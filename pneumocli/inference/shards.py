"""Which films of a list are a shard's, and where the mark of its table is kept."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pneumocli.inference.inputs import Named


class Share:
    """Every N-th film of a list, beginning with the I-th; the list is hashed as it passes.

    Args:
        shard: ``I/N``.

    Attributes:
        shard: ``I/N``.
        num_listed: Films of the whole list that have passed.
    """

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self._index, self._count = numbers(shard)
        self._hash = hashlib.sha256()
        self.num_listed = 0

    def of(self, films: Iterable[Named]) -> Iterator[Named]:
        """The share's films."""
        for film in films:
            name = film.image.encode()
            self._hash.update(len(name).to_bytes(8, "big") + name)
            self.num_listed += 1
            if self.num_listed % self._count == self._index % self._count:
                yield film

    @property
    def list_sha256(self) -> str:
        """Of the names of all films that have passed, in their order."""
        return self._hash.hexdigest()


def numbers(shard: str) -> tuple[int, int]:
    """I and N of ``I/N``.

    >>> numbers("2/8")
    (2, 8)
    """
    index, count = map(int, shard.split("/"))
    return index, count


def mark_of(table: Path) -> Path:
    """Where the mark of a shard's table is kept."""
    return table.with_name(f"{table.name}.shard.json")
