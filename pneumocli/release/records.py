"""What a download leaves beside the films."""

from typing import Literal

from pydantic import Field

from pneumocli.core.records import ClassName, Count, Record, Split


class PartialDownload(Record):
    """Beside a file that is being fetched: which file the bytes belong to."""

    schema_version: Literal[1] = 1
    validator: str | None
    """The server's ETag or date of the file; ``None`` where it sends neither, and the bytes cannot be continued."""
    num_bytes: Count | None
    """Size of the whole file; ``None`` where the server does not send it."""


class DataSource(Record):
    """``SOURCE.json`` in a downloaded data folder: where the films came from, under which licence."""

    schema_version: Literal[1] = 1
    source: str
    """``kaggle``, ``mendeley``, ``phantom``, or the name of the zip that was given."""
    title: str
    """What the films are by their names: ``the Kaggle release`` ..."""
    licence: str
    citation: str
    retrieved_utc: str
    """ISO 8601."""
    archive_sha256: str | None
    """Of the zip; ``None`` for phantoms."""
    seed: Count | None = None
    """What the phantoms were drawn from; ``None`` for films, and in sets of before."""
    counts: dict[Split, dict[ClassName, Count]]
    """Films by split and class."""
    differing: tuple[str, ...] = ()
    """Films of which the zip held two versions: the second one's place in the folder."""
    renamed: dict[str, str] = Field(default_factory=dict)
    """New place by name in the zip, for names that some system cannot have."""
