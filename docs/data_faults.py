"""Tries every fault of data and prints the table of ``docs/data.md``: ``python -m docs.data_faults``.

Each fault is planted in a small part of the release (its names, pictures drawn here), and the real command line looks
at it. The films that such a part lacks are left out of the answers.
"""

import io
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.uid import JPEGLSLossless, RLELossless

from tests.data.test_dicom import radiograph, ramp, saved
from tests.helpers.released import film_bytes, some_of, write_films

FILM = some_of("train", "NORMAL", 1)[0]
TWIN = some_of("train", "NORMAL", 2)[1]
TEST = some_of("test", "NORMAL", 1)[0]
ILL = some_of("train", "PNEUMONIA", 1)[0]


def bomb() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def frames() -> bytes:
    pictures = [Image.open(io.BytesIO(film_bytes(seed, form="PNG"))) for seed in (1, 2)]
    content = io.BytesIO()
    pictures[0].save(content, "TIFF", save_all=True, append_images=pictures[1:])
    return content.getvalue()


def compressed(syntax: str) -> bytes:
    dataset = radiograph(ramp())
    dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = syntax
    return saved(dataset)


def corrupt() -> bytes:
    content = bytearray(film_bytes(99, width=300, height=300))
    middle = len(content) // 2
    del content[middle : middle + 200]
    return bytes(content)


def wrong_checksum() -> bytes:
    content = bytearray(film_bytes(1, form="PNG"))
    content[content.index(b"IDAT") + 40] ^= 1
    return bytes(content)


def content_is(content: bytes, name: str = FILM) -> Callable[[Path], object]:
    def plant(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return plant


def table(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "films.csv").write_text(text)


def faults() -> list[tuple[str, Callable[[Path], object], list[str]]]:
    """What is wrong, how it is planted, and what stands behind the folder on the command line."""
    own = ["--manifest", "{}/films.csv"]
    small = Image.new("L", (20, 20))
    tiny = io.BytesIO()
    small.save(tiny, "PNG")
    photograph = io.BytesIO()
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(colours).resize((90, 70)).save(photograph, "JPEG")
    return [
        ("folder missing", shutil.rmtree, []),
        ("folder empty", lambda folder: [shutil.rmtree(folder), folder.mkdir()], []),
        ("zip unpacked by hand, one folder too deep", deeper, []),
        (
            ".DS_Store and ._ files",
            lambda folder: [(folder / "train/NORMAL" / name).touch() for name in (".DS_Store", "._x.jpeg")],
            [],
        ),
        (
            "copies that a notebook made",
            content_is(film_bytes(1), "train/NORMAL/.ipynb_checkpoints/x-checkpoint.jpeg"),
            [],
        ),
        ("a third class", lambda folder: shutil.copytree(folder / "train/NORMAL", folder / "train/COVID19"), []),
        ("WebP among the films", content_is(film_bytes(99, form="WEBP"), "train/NORMAL/x.webp"), []),
        ("link that leads nowhere", lambda folder: (folder / "train/NORMAL/x.jpeg").symlink_to("../gone.jpeg"), []),
        (
            "splits and classes in another case",
            lambda folder: (folder / "train/NORMAL").rename(folder / "train/normal"),
            [],
        ),
        ("two folders of a class", content_is(film_bytes(1), "train/Normals/x.jpeg"), []),
        ("the train folder alone", bool, ["IN train"]),
        ("classes without splits", flat, []),
        ("folders per patient, as Horos exports", exported, []),
        ("the same patients in train and val", lambda folder: exported(folder, splits=("train", "val")), []),
        ("somebody's own folder", foreign, []),
        ("film in another split", lambda folder: (folder / FILM).rename(folder / FILM.replace("train", "test")), []),
        (
            "film in the other class",
            lambda folder: (folder / FILM).rename(folder / FILM.replace("NORMAL", "PNEUMONIA")),
            [],
        ),
        ("film that the release does not have", content_is(film_bytes(99), "train/NORMAL/mine.jpeg"), []),
        (
            "film copied into test",
            lambda folder: shutil.copy(folder / FILM, folder / FILM.replace("train", "test")),
            [],
        ),
        ("identical pictures across classes", lambda folder: shutil.copy(folder / FILM, folder / ILL), []),
        ("identical pictures within a class", lambda folder: shutil.copy(folder / FILM, folder / TWIN), []),
        (
            "the same picture saved anew in another split",
            lambda folder: Image.open(folder / FILM).save(folder / TEST, quality=40),
            [],
        ),
        ("empty file", content_is(b""), []),
        ("text in a .jpeg", content_is(b"<!doctype html><title>404</title>"), []),
        ("JPEG cut off", content_is(film_bytes(1)[:-200]), []),
        ("JPEG with damaged data", content_is(corrupt()), []),
        ("PNG with a wrong checksum", content_is(wrong_checksum()), []),
        ("PNG in a .jpeg", content_is(film_bytes(99, form="PNG")), []),
        ("decompression bomb", content_is(bomb()), []),
        ("icon", content_is(tiny.getvalue()), []),
        ("TIFF of two pages", content_is(frames()), []),
        ("photograph", content_is(photograph.getvalue()), []),
        ("DICOM: CT slice", content_is(saved(radiograph(ramp(), Modality="CT"))), []),
        ("DICOM: several frames", content_is(saved(radiograph(ramp(), NumberOfFrames="3"))), []),
        ("DICOM: colour in grey pixels", content_is(saved(radiograph(ramp(), PhotometricInterpretation="RGB"))), []),
        ("DICOM: damaged", content_is(saved(radiograph(ramp()))[:-999]), []),
        ("DICOM: compressed, data damaged", content_is(compressed(JPEGLSLossless)), []),
        ("CSV without the column", table("file,label\nx,0\n"), own),
        ("CSV with another label", table(f"image,label\n{FILM},SICK\n"), own),
        ("CSV that names a missing film", table("image,label\ngone.png,0\n"), own),
        ("CSV that leaves the folder", table("image,label\n../x.png,0\n"), own),
        ("CSV with rows that contradict each other", table(f"image,label\n{FILM},0\n{FILM},1\n"), own),
        ("CSV with more cells than columns", table(f"image,label\n{FILM},0,1\n"), own),
        ("CSV with patients as 1.23E+12", table(f"image,label,patient\n{FILM},0,1.23E+12\n"), own),
        ("Excel workbook", content_is(b"PK\x03\x04", "films.csv"), own),
        (
            "CSV with a patient in two splits",
            table(f"image,label,patient,split\n{FILM},0,p1,train\n{TEST},0,p1,test\n{ILL},1,p2,train\n"),
            own,
        ),
        ("no patients in the names", unnamed, []),
        ("report in a folder that is a file", lambda folder: (folder / "file").touch(), ["--report", "{}/file/x.html"]),
    ]


def deeper(folder: Path) -> None:
    inner = folder.with_name("inner")
    folder.rename(inner)
    folder.mkdir()
    inner.rename(folder / "chest_xray")


def unnamed(folder: Path) -> None:
    shutil.rmtree(folder)
    write_films(folder, [f"train/{name}/film{number}.jpeg" for name in ("NORMAL", "PNEUMONIA") for number in range(6)])


def flat(folder: Path) -> None:
    shutil.move(folder / "test", folder.with_name("test"))
    shutil.rmtree(folder)
    shutil.move(folder.with_name("test"), folder)


def exported(folder: Path, splits: tuple[str, ...] = ("train",)) -> None:
    shutil.rmtree(folder)
    people = [f"{split}/NORMAL/Anon_{number:02}" for split in splits for number in range(6)]
    write_films(folder, [f"{person}/IM-000{film}-0001.jpg" for person in people for film in (1, 2)])


def foreign(folder: Path) -> None:
    shutil.rmtree(folder)
    write_films(folder, [f"scans/{number}.png" for number in range(6)])


def seen(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Exit code and words of ``pneumo verify-data``, without what the small part of the release brings along."""
    inner = [argument.removeprefix("IN ") for argument in arguments if argument.startswith("IN ")]
    command = [sys.executable, "-m", "pneumocli", "verify-data", str(folder.joinpath(*inner)), "--json", "--quiet"]
    arguments = [] if inner else arguments
    command += [argument.format(folder) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 1:
        return 1, re.sub(r"\n +", " ", done.stderr.strip()).replace("\n", "<br>")  # one line as wide as it is
    document = json.loads(done.stdout)
    usual = {"missing", "known-figures", "imbalance", "one-class", "small-val", "shortcut"}
    findings = [(kind, item) for kind in ("problems", "notes") for item in document[kind] if item["code"] not in usual]
    words = [f"{kind[:-1]}: {item['text']}{example(item)}" for kind, item in findings]
    return (3 if any(kind == "problems" for kind, _ in findings) else 0), "<br>".join(words) or "nothing"


def example(item: dict[str, dict[str, str]]) -> str:
    return next((f" ({image}: {text})" for image, text in item["detail"].items()), "")


def main() -> None:
    print("| fault | exit | what the user sees |\n|---|---|---|")
    images = [
        name for cell in (("train", "NORMAL"), ("train", "PNEUMONIA"), ("test", "NORMAL")) for name in some_of(*cell, 8)
    ]
    for name, plant, arguments in faults():
        with tempfile.TemporaryDirectory() as place:
            folder = write_films(Path(place) / "data", images)
            plant(folder)
            code, words = seen(folder, arguments)
            print(f"| {name} | {code} | {words.replace(str(folder), 'data').replace('|', chr(92) + '|')} |", flush=True)


if __name__ == "__main__":
    main()
