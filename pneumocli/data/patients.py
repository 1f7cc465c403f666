"""Patients: who is shown in a film."""

import re

from pneumocli.core.records import Kind

_KINDS: dict[str, Kind] = {"normal": "normal", "bacteria": "bacteria", "virus": "virus"}

# The release's names. ``person<N>`` is numbered separately for bacteria and viruses: person1_bacteria and
# person1_virus are two children. person447_virus_921_1.jpeg has a number too many.
_PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_\d+(_\d+)?\.", re.IGNORECASE)
_NORMAL_NAME = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+(-\d+)?\.", re.IGNORECASE)

# Version 3 on Mendeley Data has the same films under other names, NORMAL-1049278-0001.jpeg.
_VERSION_3_NAME = re.compile(r"(normal|bacteria|virus)-(\d+)-\d+\.", re.IGNORECASE)


def patient_of(name: str) -> tuple[str, Kind] | None:
    """The patient's key and the kind in a file name of the release; ``None`` for other names.

    >>> patient_of("person12_virus_34.jpeg")
    ('virus:12', 'virus')
    >>> patient_of("NORMAL2-IM-0246-0001-0002.jpeg")
    ('normal:NORMAL2-IM-0246', 'normal')
    """
    if match := _PNEUMONIA_NAME.match(name):
        kind: Kind = "bacteria" if match[2].lower() == "bacteria" else "virus"
        return f"{kind}:{int(match[1])}", kind
    if match := _NORMAL_NAME.match(name):
        return f"normal:{match[1].upper()}", "normal"
    if match := _VERSION_3_NAME.match(name):
        kind = _KINDS[match[1].lower()]
        return f"{kind}:{match[1].upper()}-{match[2]}", kind
    return None
