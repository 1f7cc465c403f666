"""What help texts add to the settings: groups of options, and examples."""

GROUPS = ("Data", "Network", "Recipe", "Device", "Output")

_MEMBERS = {
    "Data": (
        "data manifest predictions val val_fraction skip_unreadable split name by folds fold source archive force"
        " keep_archive quick prevalence threshold shard"
    ),
    "Network": "weights pretrained freeze image_size fit views ensemble run model",
    "Recipe": (
        "recipe like config fixed epochs batch_size learning_rate schedule warm_up average_epochs weight_decay"
        " label_smoothing crop_scale mirror tone noise sharpness jpeg_quality resample class_weights"
        " hard_weight operating_point refer patience select seed seeds trials timeout objective"
    ),
    "Device": "device precision compile workers cache accumulate low_memory",
    "Output": (
        "storage run_dir tensorboard resume until_done checkpoint_minutes output report csv explain every shift merge"
        " sort open json quiet debug help"
    ),
}
_GROUP_OF = {name: group for group, names in _MEMBERS.items() for name in names.split()}
_ORDER = {name: place for place, name in enumerate(_GROUP_OF)}


def group_of(setting: str) -> str:
    """The group of a setting; what no group names goes with the output.

    >>> group_of("val_fraction"), group_of("epochs")
    ('Data', 'Recipe')
    """
    return _GROUP_OF.get(setting, "Output")


def place_of(setting: str) -> int:
    """Where a setting stands in a help text; what no group names comes last.

    >>> place_of("data") < place_of("manifest")
    True
    """
    return _ORDER.get(setting, len(_ORDER))


EXAMPLES = {
    "download": ("pneumo download --source mendeley", "pneumo download --source phantom --data phantoms"),
    "verify-data": ("pneumo verify-data", "pneumo verify-data films --report films.html"),
    "train": ("pneumo train --pretrained --recipe robust", "pneumo train --like runs/scratch --seed 1"),
    "tune": (
        "pneumo tune --trials 50 --timeout 8h",
        "pneumo tune --storage postgresql+psycopg://me@db/pneumo --continue",
    ),
    "evaluate": ("pneumo evaluate runs/transfer", "pneumo evaluate runs/transfer --data films --manifest ours.csv"),
    "predict": (
        "pneumo predict xray.jpeg",
        "pneumo predict films --csv answers.csv --report answers.html --explain maps",
        "pneumo predict films --csv part-2.csv --shard 2/8",
        "pneumo predict --merge answers.csv part-1.csv part-2.csv",
    ),
    "compare": ("pneumo compare runs/scratch runs/transfer", "pneumo compare runs/a runs/b runs/c --split val"),
    "recalibrate": (
        "pneumo recalibrate runs/transfer --data films",
        "pneumo recalibrate runs/a --data films --operating-point youden",
    ),
    "quantize": ("pneumo quantize runs/transfer", "pneumo quantize runs/transfer --data films"),
    "runs": ("pneumo runs", "pneumo runs old --sort auroc"),
    "demo": ("pneumo demo", "pneumo demo --output tour"),
    "doctor": ("pneumo doctor", "pneumo doctor --json"),
}


def examples_of(command: str) -> str | None:
    """The examples of a command as its help text ends with them; the first character keeps click from joining lines."""
    lines = EXAMPLES.get(command, ())
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else None
