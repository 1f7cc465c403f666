"""Counts, lengths of time and sizes as people read them."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def counted(number: int, what: str) -> str:
    """A number with its noun, in the singular for one.

    >>> counted(1, "epoch"), counted(1200, "film")
    ('1 epoch', '1,200 films')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time.

    >>> duration(4.21), duration(185), duration(7800)
    ('4.2 s', '3:05', '2:10:00')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // _HOUR, whole // _MINUTE % _MINUTE, whole % _MINUTE
    if whole < _MINUTE:
        return f"{whole} s"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(seconds: float) -> str:
    """How long ago something was, in one unit.

    >>> age(30), age(7300), age(200_000)
    ('now', '2 h', '2 days')
    """
    if seconds < _MINUTE:
        return "now"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h"
    return counted(int(seconds // _DAY), "day")


def size(num_bytes: int) -> str:
    """A number of bytes in decimal units, as disks are sold and file managers count.

    >>> size(45_678), size(134_567_890), size(2_300_000_000)
    ('46 kB', '135 MB', '2.3 GB')
    """
    if num_bytes < 1_000_000:
        return f"{num_bytes / 1000:.0f} kB"
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"
