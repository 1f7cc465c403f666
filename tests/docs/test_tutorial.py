"""The tutorial's commands run, in order, and print what the page shows, but for the numbers."""

import os
import re
import shutil
from pathlib import Path

import pytest

from pneumocli.core.config import DemoConfig
from pneumocli.demo import Sizes, demo
from tests.helpers import processes

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
SMALL = Sizes(num_nodules=64, nodule_epochs=1, num_train=96, num_val=40, num_test=160, epochs=1, image_size=64)


def examples(page: str) -> list[tuple[str, list[str]]]:
    """The commands of a page's console blocks, each with the lines that it shows."""
    blocks = re.findall(r"```console\n\$ (.+?)\n(.*?)```", page, re.DOTALL)
    return [(command, [line for line in shown.splitlines() if line != "..."]) for command, shown in blocks]


def words(text: str) -> str:
    """A text without its numbers, times and line breaks."""
    numbers = re.sub(r"<?[\d.,]+%?(?: (?:s|min|h|days?)\b)?", "#", text)
    return re.sub(r"\s+", " ", re.sub(r"\bnow\b", "#", numbers))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo ran: the check's own where there is one, else a small one."""
    folder = tmp_path_factory.mktemp("tutorial")
    if "PNEUMO_DEMO" in os.environ:
        shutil.copytree(Path(os.environ["PNEUMO_DEMO"]) / "demo", folder / "demo")
        return folder
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        demo(DemoConfig(output=Path("demo")), sizes=SMALL)
    return folder


@pytest.mark.slow
def test_the_commands_of_the_tutorial_print_what_it_shows(place: Path):
    environment = os.environ | {"COLUMNS": "80"}
    for command, shown in examples(PAGE.read_text(encoding="utf-8")):
        done = processes.run(command.split()[1:], cwd=place, env=environment)
        assert done.returncode == 0, done.stderr
        printed = words(done.stderr + done.stdout)
        missing = [line for line in shown if words(line).strip() not in printed]
        # What a line says of ranking and chance follows from the numbers: a small demo may say otherwise.
        assert len(missing) <= len(shown) // 3, f"{command} no longer prints {missing}, but\n{printed}"


def test_the_tutorial_shows_every_command_of_its_way():
    names = [command.split()[1] for command, _ in examples(PAGE.read_text(encoding="utf-8"))]
    assert names == ["runs", "verify-data", "predict", "evaluate", "compare", "train", "train"]
