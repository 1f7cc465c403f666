"""Zips as the releases are built, and as no release is."""

import io
import zipfile
from pathlib import Path


def films_of(folder: Path) -> dict[str, bytes]:
    """The films of a data folder: content by ``split/CLASS/name``."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.jpeg"))}


def zip_of(members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with these members, in this order."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return content.getvalue()


def kaggle_layout(films: dict[str, bytes], second: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """Members of a zip in Kaggle's layout: the set, macOS's litter, and the set again (``second`` if given)."""
    members = {"chest_xray/__MACOSX/._x": b"\0", "chest_xray/.DS_Store": b"Bud1"}
    for place, data in (films if second is None else second).items():
        members[f"chest_xray/chest_xray/{place}"] = data
    for place in films:
        folder, _, name = place.rpartition("/")
        members[f"chest_xray/__MACOSX/chest_xray/{folder}/._{name}"] = b"\0\5\26\7 resource fork"
        members[f"chest_xray/chest_xray/{folder}/.DS_Store"] = b"Bud1"
    for place, data in films.items():
        members[f"chest_xray/{place}"] = data
    return members


def kaggle_zip(films: dict[str, bytes], second: dict[str, bytes] | None = None) -> bytes:
    """The zip of the Kaggle release."""
    return zip_of(kaggle_layout(films, second))


def mendeley_zip(films: dict[str, bytes]) -> bytes:
    """The zip of the Mendeley release: once, without val."""
    members = {f"chest_xray/{place}": data for place, data in films.items() if not place.startswith("val/")}
    return zip_of({"chest_xray/.DS_Store": b"Bud1", **members})
