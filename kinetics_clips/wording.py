"""Says how many of something there are."""


def count(number: int, one: str, several: str) -> str:
    """Returns a number and what it counts, such as `1 video` or `2 videos`."""
    return f"{number:,} {one if number == 1 else several}"
