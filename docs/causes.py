"""Why an error of the program is met: the middle column of ``troubleshooting.md``.

The words of an error say what was found; what people most often did, or what happened to them, stands here. The first
pattern that is found in an error's words (with … for what is filled in) gives its cause.
"""

import re

# (cause, regular expressions of the errors that it leads to)
CAUSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "two flags ask for what excludes each other",
        ("cannot stand beside", "contradict", "--output is for", "leave one out", ": leave --", ": use --val patient"),
    ),
    (
        "a flag needs another one beside it",
        ("belongs to --folds", "name it with --csv", "add --run", "are missing: --data"),
    ),
    ("two numbers that are each allowed do not go together", ("splits a batch", "--batch-size …", "--ensemble takes")),
    ("torchrun starts every process with the same command", ("--folds trains its runs",)),
    (
        "a call from Python lacks its films, or gives another number of names than of films",
        ("^no film is named", "^images: "),
    ),
    ("`--patience` ended it, and more epochs cannot take that back", ("it stopped early after",)),
    ("tables of scores are compared among themselves", ("is for runs: tables",)),
    (
        "what is written there would stand beside a run's own files",
        ("^… is the folder of a run$", "is the place of a run's own"),
    ),
    ("weights of another kind or another task", ("negative variances", "no plain tensor", "its network is for")),
    ("counting begins at 1", ("is none of --folds", "there is no part")),
    ("two scripts or an alias each add it", ("is given … times",)),
    ("a setting has two names, and both were used", ("is given 2 times",)),
    ("the search sets it anew in each trial", ("is decided by pneumo tune",)),
    ("a word of another tool, or a flag without its dashes", ("is no film: expected films",)),
    ("the shell put it there for a pattern such as *.png", ("its name begins with a dash",)),
    ("the shortcuts are known of the training films alone", ("needs hard films, which other places",)),
    ("a run was named where its settings are wanted", ("is a folder, expected a TOML",)),
    (
        "a typing error, or the name that another tool uses",
        ("no such option", "no such command", "is no setting here", "there is no setting", "^… is no …: …"),
    ),
    ("zero or a negative number", ("the cost of a missed",)),
    ("a share is written as 0.95 or 95%, not as 95", ("to reach must lie", "threshold: expected")),
    (
        "a file's section, or an object of another kind, was given",
        ("expected (a table \\[|settings by name)", "^config: "),
    ),
    ("train, val and test are names of the run's own evaluations", ("is no split's",)),
    ("the value is written in another way than it is read", ("^(--flag: )?expected ", "^…: …$")),
    ("a folder for use at one place holds none", ("has no test films",)),
    ("the set is not Kaggle's, or its folder val was removed", ("has no val films",)),
    (
        "the set is small, or one class of it is rare",
        (
            "too short for … blocks",
            "every fold needs",
            "too few",
            "hard validation films",
            "hard films of each class",
            "of each class, found",
            "at least … of each class",
        ),
    ),
    ("the films are too unlike the training films, or their labels are others", ("does not tell these films apart",)),
    ("one class has no film, or one patient", ("prove nothing about AUROC", "hold …, expected NORMAL and PNEUMONIA")),
    ("`--data` names a folder, `--manifest` a table", ("both tables",)),
    (
        "files were changed, replaced or deleted after the training began",
        ("it could be read when", "have changed since"),
    ),
    (
        "a proxy, or the login page of a network, answers instead of the source",
        ("begins with …: perhaps", "certificate of"),
    ),
    (
        "the network, a proxy, or the address",
        ("cannot reach …", "no connection to", "does not answer: ", "could not be asked", "does not let … through"),
    ),
    ("a share or an external disk was disconnected", ("its drive does not answer",)),
    ("the folder may not be read", ("^no films in …: …$",)),
    (
        "a table made by hand or by a spreadsheet",
        (
            "cannot read …, line",
            "runs over … lines",
            "a double quote",
            "is a decimal comma",
            "is a pipe or a device",
            "cells, expected",
            "has the column",
            "lacks the column",
            ": label …",
            ": split …",
            ": kind …",
            "image is empty",
            "lists no films",
            "more than once",
            "stands in line",
            "^…: … …, expected",
            "is no table of films",
            "it is …, expected a table",
        ),
    ),
    (
        "a spreadsheet turned keys into numbers or into a formula",
        ("a spreadsheet's error", "shortened by a spreadsheet"),
    ),
    (
        "the shell made names of films of a pattern, or the answers were given the name of another table",
        ("is no table of pneumo predict: it was left",),
    ),
    ("a name without its folder, which two films share", ("fits several files",)),
    ("paths of another machine, or absolute ones", ("is no path below",)),
    (
        "the folders are another level, or are named in another way",
        (
            "looks like the set",
            "is the … folder of a set",
            "none to train on",
            "holds several folders for",
            "no films in",
        ),
    ),
    ("the table has scores of another program, not probabilities", ("holds scores, which have no threshold",)),
    ("a limit of scores was given to probabilities", ("holds probabilities, expected 0 to 1",)),
    (
        "figures on films that the model has seen flatter it",
        ("training or validation films of …", "used to recalibrate"),
    ),
    (
        "films are damaged, cut off, or no pictures",
        ("films are left to train on", "none of the … films", "of … films could not", "of … films in … cannot be read"),
    ),
    (
        "the folder is in use for something else",
        (
            "root of the disk",
            "is a file, expected a folder",
            "is no part of the set",
            "holds another set",
            "exists already, and is not known",
            "exists already and is not empty",
        ),
    ),
    (
        "another file was named, or the copy is not whole",
        ("expected the zip", "is a folder, expected a zip", "not the known release", "went wrong: found"),
    ),
    (
        "the disk is full, or the connection broke",
        ("no space left", "too little room", "nothing was left of", "the zip was deleted", "… are there$"),
    ),
    (
        "no token, an old or damaged one, or terms that were not accepted",
        ("HTTP 401", "HTTP 403", "credentials (from|in) …"),
    ),
    ("the address has changed at the source", ("HTTP 404", "no longer has the file", "refuses to hand out")),
    (
        "the source is busy or out of order",
        ("HTTP 429", "is out of order", "answered with HTTP", "could not be made again"),
    ),
    ("it is absent, of another version, or its settings in the home folder are damaged", ("kaggle package",)),
    ("the run keeps that evaluation under its own name", ("run's own test films",)),
    ("a pattern of the shell names it twice", ("both shard", "named twice")),
    ("figures of other films cannot be compared in pairs", ("evaluated on different films",)),
    ("two terminals, or a job that was taken for dead", ("another process is training",)),
    ("one of torchrun's processes met an error first", ("another process of the training has ended",)),
    (
        "the command that writes it was stopped, or runs still",
        ("is unfinished", "has not finished", "shards missing", "no whole (table|evaluation)", "has no last.pt"),
    ),
    ("each was stopped, or met an error", ("no trial of",)),
    (
        "a mistyped path, or a command that was started in another folder",
        (
            "no (finished run|runs|folder of runs|run folder|shard|data folder|file|model file) (under|in|at)",
            "there is nothing at",
        ),
    ),
    ("the database is not started, or refuses the name or password", ("study's storage",)),
    (
        "the folder is that of another experiment",
        (
            "belongs to another group",
            "other settings",
            "is another one",
            "is none of pneumo tune",
            "something else than",
            "holds no group",
            "but other files",
            "is no folder, so",
            "holds no config",
            "is a file: expected the folder",
            "cannot be continued",
            "not those that the group",
            "number cannot be changed",
            "holds the evaluation of other films",
        ),
    ),
    ("an earlier command made it", ("exists already",)),
    (
        "a group of folds is several models",
        ("cannot be (quantized|recalibrated|run as int8)", "no validation films of its own"),
    ),
    ("`--epochs` counts from the beginning of the run", ("has finished its", "epochs already")),
    (
        "a file of the run was moved, deleted or not copied with the others",
        (
            "has lost its",
            "is missing$",
            "is lost: ",
            "is of epoch",
            "made of …$",
            "was changed after",
            "not the run that",
            "not the file that",
            "written with model",
            "is another model here",
            "averaged weights",
        ),
    ),
    ("tables of different commands were named", ("^… … …, … …", "a shard and the table")),
    (
        "a file of another program, or of another kind, was named",
        (
            "cannot be loaded safely",
            "no state dict",
            "no ResNet-18",
            "has shape …",
            "numbers of classes",
            "no model file (of|that)",
            "no ONNX file",
            "expects uint8",
        ),
    ),
    (
        "the learning rate is too high for this network or precision",
        ("not finite at learning rate", "that are not finite"),
    ),
    (
        "an older or newer pneumo wrote it, or a copy was cut off",
        ("checkpoint of this version", "damaged or from another version"),
    ),
    ("a copy that was cut off, a full disk, or an edit by hand", ("damaged", "has … bytes")),
    ("`pneumo quantize` was not run, or wrote into another run", ("expected a quantized run",)),
    ("its integers have no GPU kernels", ("runs on the CPU only",)),
    ("no network, or a proxy", ("could not be fetched",)),
    (
        "no such device here, a driver that is too old, or a torch built for the CPU or other cards",
        (
            "fp16 needs a GPU",
            "Apple GPU",
            "needs one of its own",
            "was asked for, but",
            "compute capability",
            "a CUDA device each",
            "which is not here",
        ),
    ),
    ("the memory that its container or machine may use is small, or other programs hold it", ("was killed: memory",)),
    ("the batch is too large for it, or another program holds the memory", ("too little memory",)),
    ("a network of few epochs has weights that integers cannot hold", ("8-bit integers change",)),
    ("a check of the machine failed", ("not all is well",)),
    ("a network that came apart, or a fault of this version of torch or onnxruntime", ("gives logits that differ",)),
    (
        "a package is absent, or of a version that was not tried",
        ("torch exported no graph", "not installed", "needs the tensorboard", "needs torch, expected"),
    ),
    ("the first of torchrun's processes met an error", ("^process …",)),
    ("Windows keeps files locked that a viewer or a spreadsheet shows", ("another program has it open",)),
    ("an earlier command wrote a file of that name", ("a file stands where",)),
    ("permissions, a full disk, or a share that went away", ("cannot (read|write|make|replace|continue)",)),
)


def cause(message: str) -> str | None:
    """The most frequent reason for meeting an error; ``None`` where nothing is known, which a test forbids."""
    return next((why for why, patterns in CAUSES if any(re.search(pattern, message) for pattern in patterns)), None)
