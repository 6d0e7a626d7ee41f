"""Image formats that unveil does not read, so that messages can name them."""

BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
"""Formats by the major brand of their file type box (ISO/IEC 14496-12, 23008-12)."""
STARTS = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"8BPS": "Photoshop",
}


def name_of(content: bytes) -> str | None:
    """Return the name of the format of a file, or ``None`` if it is not one of these."""
    if content[4:8] == b"ftyp":
        return BRANDS.get(content[8:12])
    return next((name for start, name in STARTS.items() if content.startswith(start)), None)
