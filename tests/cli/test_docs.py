"""The documents match what the program does."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md")))]


def test_generated_documents_and_the_flag_list_are_current():
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def commands_in(text: str) -> list[str]:
    """The pneumo commands in a document's shell blocks."""
    blocks = re.findall(r"```(?:bash|console)\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("pneumo ")]


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_in_the_documents_exists(page: str):
    known = {}
    for line in (ROOT / "tests" / "flags.txt").read_text().splitlines():
        name, _, spelled = line.partition(" ")
        known.setdefault(name, set()).update(spelled.split(", "))
    text = (ROOT / page).read_text(encoding="utf-8")
    for command in commands_in(text):
        words = command.split()
        assert words[1] in known, command
        for flag in (word.strip("[]").split("=")[0] for word in words[2:] if word.lstrip("[").startswith("--")):
            assert flag in known[words[1]], f"{page}: {command}"


def test_python_blocks_of_the_readme_compile():
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL):
        ast.parse(block)


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
