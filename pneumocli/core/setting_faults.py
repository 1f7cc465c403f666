"""What is wrong with a setting, as one phrase for people: pydantic's own sentences are about types and validators."""

from collections.abc import Mapping, Sequence

# By pydantic's type of error (docs.pydantic.dev, validation errors); names in braces are values of its context.
_EXPECTED = {
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected {ge} or more",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected {le} or less",
    "finite_number": "expected a finite number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_type": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "path_type": "expected a path",
    "tuple_type": "expected several values",
    "extra_forbidden": "there is no such setting",
    "missing": "is missing",
    "too_short": "expected {min_length} or more, found {actual_length}",
    "too_long": "expected at most {max_length}, found {actual_length}",
}


def one_of(choices: Sequence[str]) -> str:
    """Choices as a list to read.

    >>> one_of(["crop", "squash", "pad"]), one_of(["none"])
    ('crop, squash or pad', 'none')
    """
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))


def fault(kind: str, context: Mapping[str, object], message: str) -> str:
    """The phrase for one error of a validation.

    Args:
        kind: pydantic's type of error.
        context: Its values, such as the bound that was broken.
        message: Its own sentence: of a validator of ours, or of a kind that has no phrase here.

    >>> fault("greater_than_equal", {"ge": 1}, "Input should be ...")
    'expected 1 or more'
    >>> fault("literal_error", {"expected": "'none' or 'backbone'"}, "Input should be ...")
    'expected none or backbone'
    """
    if kind == "literal_error":
        return f"expected {context['expected']}".replace("'", "")
    if kind in _EXPECTED:
        whole = {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in context.items()
        }
        return _EXPECTED[kind].format_map(whole)
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
