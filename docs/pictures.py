"""The pictures of README, from a finished demo: ``python -m docs.pictures FOLDER``.

FOLDER holds ``demo`` and what the demo printed, ``stderr`` and ``stdout``, as ``.ci/run`` leaves them. Chromium takes
the picture of the report.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).parent / "images"
_SIZE = (1000, 1150)


def terminal(printed: str) -> str:
    """What the demo printed, as an SVG that loads nothing from elsewhere."""
    console = Console(record=True, width=80, file=io.StringIO(), color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), ("pneumo demo", "bold")))
    for line in printed.splitlines():
        text = Text(line)
        text.highlight_regex(r"^\d/6", "cyan")
        text.highlight_regex(r"^(Ranking|Threshold):", "bold")
        text.highlight_regex(r"^transfer +[\d.]+%.*|[▁▂▃▄▅▆▇█]+", "green")
        text.highlight_regex(r"^(report|comparison|heat maps|model|next) ", "dim")
        console.print(text)
    drawn = console.export_svg(title="pneumo demo", unique_id="demo")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def report(page: Path, picture: Path) -> None:
    """The upper part of a report, as a PNG of few colours."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "no Chromium on this machine"
    with tempfile.TemporaryDirectory() as profile:
        shot = Path(profile) / "report.png"
        size = ",".join(map(str, _SIZE))
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [
            f"--user-data-dir={profile}",
            f"--window-size={size}",
            f"--screenshot={shot}",
            page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        with Image.open(shot) as taken:
            taken.convert("RGB").quantize(128).save(picture, optimize=True)


def main(folder: Path) -> None:
    """Draws both."""
    printed = "\n".join((folder / name).read_text(encoding="utf-8").rstrip("\n") for name in ("stderr", "stdout"))
    (IMAGES / "demo.svg").write_text(terminal(printed), encoding="utf-8")
    report(folder / "demo" / "runs" / "transfer" / "evaluations" / "test" / "report.html", IMAGES / "report.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
