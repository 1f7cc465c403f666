"""The public names of the package: listed, complete, and what a star import brings."""

import inspect
import subprocess
import sys

import pytest

import pneumocli


def test_dir_lists_the_public_names_alone():
    assert dir(pneumocli) == sorted([*pneumocli.__all__, "__version__"])
    assert set(pneumocli.__all__) == set(pneumocli._PUBLIC)


def test_every_public_name_is_a_function_or_a_class_and_never_a_module():
    found = {name: getattr(pneumocli, name) for name in pneumocli.__all__}
    assert {name for name, value in found.items() if not (inspect.isfunction(value) or inspect.isclass(value))} == set()
    assert found["train"].__module__ == "pneumocli.library.verbs"
    assert not hasattr(pneumocli, "nothing_of_this_name")


@pytest.mark.slow
def test_a_star_import_brings_the_public_names_and_nothing_else():
    program = (
        "before = set(globals())\n"
        "from pneumocli import *\n"
        "import pneumocli.inference.predict, pneumocli.training.train, pneumocli.evaluation.compare\n"
        "from pneumocli import *\n"
        "print(*sorted(name for name in set(globals()) - before - {'before', 'pneumocli'}))\n"
        "print(*(callable(globals()[name]) for name in pneumocli.__all__))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, are_callable = done.stdout.splitlines()
    assert names.split() == pneumocli.__all__
    assert set(are_callable.split()) == {"True"}
