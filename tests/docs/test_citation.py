"""docs/CITATION.cff has the fields that the Citation File Format 1.2.0 asks for, and the package's version."""

from pathlib import Path

import yaml

import pneumocli

FILE = Path(__file__).parents[2] / "docs" / "CITATION.cff"
KEYS = {
    "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords",
    "license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "title", "type", "url", "version",
}  # fmt: skip


def test_the_citation_file_is_valid_and_current():
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert {"authors", "cff-version", "message", "title"} <= set(content) <= KEYS
    assert content["cff-version"] == "1.2.0"
    assert content["type"] == "software"
    assert str(content["version"]) == pneumocli.__version__
    (films,) = content["references"]
    assert {"authors", "title", "type"} <= set(films)
    assert all({"family-names", "given-names"} <= set(author) for author in films["authors"])
