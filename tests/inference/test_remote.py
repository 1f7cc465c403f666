"""Films in an object store: a real S3 server on this machine, its objects listed, streamed, gone, and out of reach."""

import csv
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from pneumocli.cli.app import app
from pneumocli.inference.remote import is_remote, remote_items, shown_address
from pneumocli.run_folder import RunFolder

ROOT = Path(__file__).parents[2]


def predict(*argv: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pneumocli", "predict", *map(str, argv)], env={**os.environ, **environment},
        capture_output=True, text=True, cwd=ROOT, timeout=200, check=False,
    )  # fmt: skip


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def films(phantoms: Path) -> list[Path]:
    return sorted((phantoms / "test").rglob("*.jpeg"))[::8]


@pytest.fixture(scope="module")
def store(films: list[Path]) -> Iterator[dict[str, str]]:
    """An S3 server with a bucket of films, which wants credentials; the environment that leads to it."""
    pytest.importorskip("s3fs")
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "topsecret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true", "no_proxy": "127.0.0.1",
    }  # fmt: skip
    client = boto3.client(
        "s3", endpoint_url=given["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id="me", aws_secret_access_key="topsecret",
    )  # fmt: skip
    client.create_bucket(Bucket="films")
    for number, film in enumerate(films):
        client.put_object(Bucket="films", Key=f"ward/{'ab'[number % 2]}/{number}.jpeg", Body=film.read_bytes())
    for key in ("ward/notes.txt", "ward/.hidden.jpeg", "ward/a/", "ward/broken.png"):
        client.put_object(Bucket="films", Key=key, Body=b"" if key.endswith("/") else b"no film")
    yield given
    server.stop()


@pytest.mark.slow
def test_a_bucket(store: dict[str, str], films: list[Path], trained: RunFolder, tmp_path: Path):
    table = tmp_path / "answers.csv"
    done = predict("s3://films/ward", "--run", trained.path, "--csv", table, **store)
    assert done.returncode == 1, done.stderr
    found = rows(table)
    names = [
        f"s3://films/ward/{name}" for name in ("broken.png", "a/0.jpeg", "a/2.jpeg", "a/4.jpeg", "b/1.jpeg", "b/3.jpeg")
    ]
    assert [row["image"] for row in found] == names
    assert [bool(row["error"]) for row in found] == [True] + [False] * 5
    assert "2 objects are no films" in done.stderr

    own = tmp_path / "own.csv"
    assert predict(*films, "--run", trained.path, "--csv", own).returncode == 0
    probability = {Path(row["image"]): float(row["probability"]) for row in rows(own)}
    for row in found[1:]:
        expected = probability[films[int(Path(row["image"]).stem)]]
        assert float(row["probability"]) == pytest.approx(expected, abs=1e-5)

    parts = [tmp_path / f"part-{number}.csv" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        predict("s3://films/ward/", "--run", trained.path, "--csv", part, "--shard", f"{number}/2", **store)
    assert predict("--merge", tmp_path / "all.csv", *parts).returncode == 0
    assert [row["image"] for row in rows(tmp_path / "all.csv")] == names


@pytest.mark.slow
def test_an_object_that_vanishes_is_a_row_with_an_error(store: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    import boto3

    for name, value in store.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.put_object(Bucket="films", Key="gone/1.jpeg", Body=b"film")
    (item,) = remote_items("s3://films/gone")
    client.delete_object(Bucket="films", Key="gone/1.jpeg")
    from pneumocli.data.film import UnreadableFilm

    assert item.film is not None
    with pytest.raises(UnreadableFilm, match="there is no such object"):
        item.film.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "environment", "message"),
    [
        ("s3://films/none", {}, "there is nothing at s3://films/none"),
        ("s3://nobucket/a", {}, "there is nothing at s3://nobucket/a"),
        ("s3://films/ward", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials for it"),
        ("s3://films/ward", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "does not answer"),
    ],
)
def test_what_cannot_be_reached_is_one_sentence(
    address: str, environment: dict[str, str], message: str, store: dict[str, str], trained: RunFolder, tmp_path: Path
):
    done = predict(address, "--run", trained.path, "--csv", tmp_path / "x.csv", **{**store, **environment})
    assert done.returncode == 1
    assert message in done.stderr.replace("\n", " ")
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert "topsecret" not in done.stderr + done.stdout
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.slow
def test_a_film_on_a_web_server(films: list[Path], trained: RunFolder, tmp_path: Path):
    """https:// and http:// are one system of fsspec; a certificate of this machine's own would be refused."""
    pytest.importorskip("aiohttp")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=films[0].parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        table = tmp_path / "answers.csv"
        addresses = [f"{place}/{films[0].name}?signature=hidden", f"{place}/none.jpeg"]
        done = predict(*addresses, "--run", trained.path, "--csv", table, no_proxy="127.0.0.1")
        server.shutdown()
    assert done.returncode == 1
    found = rows(table)
    assert [row["image"] for row in found] == [f"{place}/{films[0].name}", f"{place}/none.jpeg"]
    assert found[0]["prediction"]
    assert found[1]["error"] == "cannot be opened: there is no such object"
    assert "hidden" not in table.read_text() + done.stderr + done.stdout


@pytest.mark.slow
def test_films_that_a_query_tells_apart_are_all_scored(films: list[Path], trained: RunFolder, tmp_path: Path):
    """As WADO servers address them; what signs an address tells nothing apart."""
    pytest.importorskip("aiohttp")
    content = {str(number): film.read_bytes() for number, film in enumerate(films[:2])}

    class Wado(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            film = content[parse_qs(urlsplit(self.path).query)["objectUID"][0]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(film)))
            self.end_headers()
            self.wfile.write(film)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wado) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}/wado"
        table = tmp_path / "answers.csv"
        addresses = [f"{place}?objectUID={number}&token=hidden{number}" for number in content]
        done = predict(*addresses, "--run", trained.path, "--csv", table, no_proxy="127.0.0.1")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    found = rows(table)
    assert [row["image"] for row in found] == [
        shown_address(f"{place}?objectUID=0"), shown_address(f"{place}?objectUID=1")
    ]  # fmt: skip
    assert found[0]["image"] != found[1]["image"]
    assert found[0]["probability"] != found[1]["probability"]
    assert "hidden" not in table.read_text() + done.stderr + done.stdout


def test_without_its_package_an_address_is_one_sentence(trained: RunFolder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    done = CliRunner().invoke(app, ["predict", "gs://bucket/films", "--run", str(trained.path)])
    assert done.exit_code == 1
    assert "gs:// needs gcsfs, which is not installed" in done.stderr
    assert "pip install 'pneumocli[cloud]' 'gcsfs'" in done.stderr


def test_addresses():
    assert is_remote("gs://b/x")
    assert is_remote("S3://b/x")
    assert not is_remote("folder://x")
    assert shown_address("https://u:p@host:8000/a/b.png?X-Amz-Signature=s#f") == "https://host:8000/a/b.png"
