"""Tries every fault of a download against a server on this machine: ``python -m docs.download_faults``.

Prints the two parts of ``docs/download.md`` that are measured: what the user sees of each fault, and a download that is
interrupted three times. With ``full-size`` behind it: a zip as large as the release, with its 5,856 names (needs 6 GB
of memory and 5 GB of disk). The command line runs as it is; only the address in kagglesdk's table is replaced.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pneumocli.data.phantom import write_phantoms
from pneumocli.data.release_lists import kaggle_films
from tests.helpers.kaggle_server import Fault, ReleaseServer
from tests.helpers.zips import films_of, kaggle_zip, zip_of

ROOT = Path(__file__).parents[1]
PLACE = "chest_xray/train/NORMAL/IM-0115-0001.jpeg"


@dataclass
class Trial:
    """One fault: its name, the order to the server, and the command's arguments and environment."""

    name: str
    order: Callable[[ReleaseServer], object]
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    archive: bytes | None = None


def faults(good: bytes) -> list[Trial]:
    """Every fault; ``good`` is a whole zip."""

    def always(**settings: object) -> Callable[[ReleaseServer], object]:
        return lambda server: server.faults.extend([Fault(**settings)] * 20)  # type: ignore[arg-type]

    middle = len(good) // 3
    damaged = good[:middle] + bytes(300) + good[middle + 300 :]
    page = b"<!doctype html><title>Hotel WiFi</title>"
    broken = [Fault(drop_after=len(good) // 2)] + [Fault(drop_after=0)] * 20
    token = {"KAGGLE_API_TOKEN": "KGAT_expired"}
    legacy = {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "KGAT_new_token"}
    bomb = zip_of({PLACE: bytes(20_000_000)}, compression=zipfile.ZIP_DEFLATED)
    own = ("--archive", "mine.zip")
    return [
        Trial("no credentials, and Kaggle wants them", lambda server: setattr(server, "accept", set())),
        Trial("token expired", lambda server: setattr(server, "accept", set()), environment=token),
        Trial("new token used as a key", lambda server: setattr(server, "accept", set()), environment=legacy),
        Trial("403: consent missing", always(status=403)),
        Trial("404: set renamed", always(status=404)),
        Trial("429: too many requests", always(status=429, headers={"Retry-After": "600"})),
        Trial("503", always(status=503)),
        Trial("no network", lambda server: setattr(server, "url", "http://api.kaggle.invalid")),
        Trial("nobody listens", lambda server: setattr(server, "url", "http://127.0.0.1:9")),
        Trial(
            "proxy refuses",
            lambda server: setattr(server, "url", "https://api.kaggle.invalid"),
            environment={"HTTPS_PROXY": "PROXY"},
        ),
        Trial("login page of a network", always(status=200, headers={"Content-Type": "text/html"}, body=page)),
        Trial("connection breaks for good", lambda server: server.faults.extend(broken)),
        Trial("zip damaged on the server", lambda server: setattr(server, "content", damaged)),
        Trial("zip cut off on the server", lambda server: setattr(server, "content", good[:-100])),
        Trial("zip of another set", lambda server: setattr(server, "content", zip_of({"cats/1.jpeg": b"x"}))),
        Trial("Mendeley: 404", always(status=404), ("--source", "mendeley")),
        Trial("own zip missing", bool, own),
        Trial("own file is no zip", bool, own, archive=b"Rar!\x1a\x07\x01"),
        Trial("own zip cut off", bool, own, archive=good[:-100]),
        Trial("path leads out of the folder", bool, own, archive=zip_of({PLACE: b"x", "../../evil.jpeg": b"x"})),
        Trial("zip bomb", bool, own, archive=bomb),
        Trial("a part of the release", bool, own, archive=good),
        Trial("other films in the layout", bool, own, archive=zip_of({"x/train/NORMAL/a.png": b"x"})),
    ]


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a user without credentials and proxy, whose home is in ``folder``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KAGGLE_") and not name.lower().endswith("_proxy")
    }
    (folder / "home").mkdir()
    return kept | {"HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def pneumo(server: ReleaseServer, folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Starts ``pneumo download`` with the sources pointed at ``server``."""
    command = [
        sys.executable,
        str(ROOT / "tests" / "helpers" / "download_driver.py"),
        server.url,
        "download",
        *arguments,
    ]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def row_of(trial: Trial, good: bytes) -> str:
    """The table's row of one fault."""
    with tempfile.TemporaryDirectory() as name, ReleaseServer(good).running() as server:
        folder = Path(name)
        proxy = server.url
        trial.order(server)
        environment = surroundings(folder) | {
            key: proxy if value == "PROXY" else value for key, value in trial.environment.items()
        }
        if trial.archive is not None:
            (folder / "mine.zip").write_bytes(trial.archive)
        process = pneumo(server, folder, environment, *trial.arguments)
        _, words = process.communicate(timeout=120)
        lines = [line for line in words.splitlines() if re.match("error:|hint:|warning:", line)]
        shown = "<br>".join(lines).replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "").replace("|", "\\|")
        shown = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", shown)
        return f"| {trial.name} | {process.returncode} | {shown} |"


def demonstrate(films: dict[str, bytes]) -> None:
    """A download that is killed once and whose connection breaks twice."""
    content = kaggle_zip(films)
    with tempfile.TemporaryDirectory() as name, ReleaseServer(content).running() as server:
        folder = Path(name)
        environment = surroundings(folder)
        server.redirect = True
        server.faults.extend([Fault(), Fault(drop_after=len(content) // 4), Fault(drop_after=len(content) // 4)])
        server.pause = 0.002
        process = pneumo(server, folder, environment)
        while server.body_bytes < len(content) // 4:
            pass
        process.kill()
        process.communicate()
        print(f"1. kill -9 after {server.body_bytes:,} of {len(content):,} bytes; data/chest_xray exists: ", end="")
        print((folder / "data" / "chest_xray").exists())
        server.pause = 0
        out, words = pneumo(server, folder, environment).communicate(timeout=120)
        print("2. the same command:\n")
        print("".join(f"    {line}\n" for line in (words + out).splitlines()))
        print(f"bytes sent by the server in both: {server.body_bytes:,}, of {len(content):,} in the zip")
        print(f"films as they were: {films_of(folder / 'data' / 'chest_xray') == films}")
        shutil.rmtree(folder / "data")


def full_size() -> None:
    """A zip of 2.3 GB in Kaggle's layout, its connection broken three times; time and memory of the whole process."""
    rng = random.Random(1)
    noise = rng.randbytes(1 << 22)
    films = {}
    for split, label, file in sorted(kaggle_films()):
        start = rng.randrange(1 << 21)
        films[f"{split}/{label}/{file}"] = file.encode() + noise[start : start + 198_000]
    content = kaggle_zip(films)
    with tempfile.TemporaryDirectory() as name, ReleaseServer(content).running() as server:
        server.redirect = True
        server.faults.extend([Fault(drop_after=500_000_000)] * 3)
        began = time.monotonic()
        process = pneumo(server, Path(name), surroundings(Path(name)))
        peak = 0
        while process.poll() is None:  # its usage as reported at the end would count this process, which it began as
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak, *(int(kilobytes) for kilobytes in re.findall(r"VmHWM:\s+(\d+)", status))])
            time.sleep(0.1)
        seconds = time.monotonic() - began
        out, words = process.communicate()
    print(words + out)
    print(f"{seconds:.1f} s, peak memory {peak / 1000:.0f} MB")
    print(f"sent by the server: {server.body_bytes:,} bytes, of {len(content):,} in the zip")


def main() -> None:
    """Prints both parts, or the one at full size."""
    if sys.argv[1:] == ["full-size"]:
        full_size()
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "phantoms"
        write_phantoms(folder, num_train=240, num_val=16, num_test=80, short_sides=(220, 380))
        pictures = list(films_of(folder).values())
    places = [f"{split}/{label}/{file}" for split, label, file in sorted(kaggle_films())][:: 5856 // len(pictures)]
    films = dict(zip(places, pictures, strict=False))
    good = kaggle_zip(films)
    print("| fault | exit code | what the user sees |\n| --- | --- | --- |")
    for trial in faults(good):
        print(row_of(trial, good), flush=True)
    print()
    demonstrate(films)


if __name__ == "__main__":
    main()
