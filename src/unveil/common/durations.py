"""Durations in words."""


def in_words(seconds: float) -> str:
    """Return a rounded duration: ``40 s``, ``6 min`` or ``2 h 10 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
