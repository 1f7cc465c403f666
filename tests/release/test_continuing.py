"""Downloads whose connection breaks, and parts of earlier calls that are continued."""

from pathlib import Path

import pytest

from pneumocli.core.errors import DownloadError
from pneumocli.core.events import Event
from tests.helpers.downloads import Serve, get, left_beside, remarks
from tests.helpers.kaggle_server import Fault
from tests.helpers.zips import films_of, kaggle_zip


def test_interrupted_three_times(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = kaggle_zip(films)
    server = serve(content)
    server.redirect = True
    block = 1 << 13
    share = len(content) // 4
    server.faults.extend([Fault(drop_after=share), Fault(drop_after=share), Fault(drop_after=share)])
    result = get(target)
    assert films_of(target) == films
    assert result.num_breaks == 3
    assert result.num_bytes_fetched == len(content)
    assert server.body_bytes <= len(content) + 3 * block


def test_part_of_an_earlier_call_is_continued(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    content = kaggle_zip(films)
    server = serve(content)
    server.faults.extend([Fault(drop_after=len(content) // 2)] + [Fault(status=503)] * 9)
    with pytest.raises(DownloadError, match=r"Kaggle is out of order at the moment \(HTTP 503\)") as caught:
        get(target)
    assert "it continues after" in str(caught.value.hint)
    assert not target.exists()
    server.faults.clear()
    events: list[Event] = []
    result = get(target, events.append)
    assert 0 < result.num_bytes_fetched < len(content) * 0.75
    assert any("continuing after the first" in text for text in remarks(events, "note"))
    assert films_of(target) == films
    assert left_beside(target) == []


def test_file_that_changed_between_two_calls_is_fetched_anew(
    serve: Serve, target: Path, films: dict[str, bytes]
) -> None:
    server = serve(kaggle_zip(films))
    server.faults.extend([Fault(drop_after=100_000)] + [Fault(status=500)] * 9)
    with pytest.raises(DownloadError):
        get(target)
    server.faults.clear()
    other = dict(list(films.items())[:12])
    server.content = kaggle_zip(other)
    events: list[Event] = []
    result = get(target, events.append)
    assert films_of(target) == other
    assert result.num_bytes_fetched == len(server.content)
    assert any("has another file than before: starting over" in text for text in remarks(events, "note"))


def test_file_that_changes_during_the_call(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    other = dict(list(films.items())[:12])
    server.faults.extend([Fault(drop_after=100_000), Fault(swap=kaggle_zip(other))])
    get(target)
    assert films_of(target) == other


def test_server_without_ranges_or_validators_or_length(serve: Serve, target: Path, films: dict[str, bytes]) -> None:
    server = serve(kaggle_zip(films))
    server.ranges = server.validators = False
    server.faults.append(Fault(drop_after=100_000))
    get(target)
    assert films_of(target) == films
    server.length = False
    get(target, force=True)
    assert films_of(target) == films
