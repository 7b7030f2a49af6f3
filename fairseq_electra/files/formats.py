"""Recognise files that are not plain text by their first bytes."""

from typing import NamedTuple

HEAD_BYTES = 512  # number of bytes that are looked at
_MIN_BYTES = 16  # fewer bytes are too few to judge a share by
_TAR_OFFSET = 257  # of the mark in a tar archive
_TAR_MARKS = (b"ustar\x00", b"ustar  \x00")  # of POSIX and of GNU; "gustar" and "ajustar" are words
_UTF16 = "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"
_UTF32 = "convert it: iconv -f UTF-32 -t UTF-8 FILE > NEW"
_ARCHIVE = "unpack it, and give the files of text in it"
_ZIP = "unpack an archive, and give the text; in a command line a checkpoint stands before it"
_TABLE = "write its text into a file of lines first, for example with pandas"
_OFFICE = "save it as plain text in UTF-8"
# first bytes, name of the format, remedy; if one starts with another, the longer comes first
_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it (gzip -dc), or give it a name that ends in .gz"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it (xz -dc), or give it a name that ends in .xz"),
    (b"]\x00\x00", "compressed by lzma", "unpack it (xz -dc), or give it a name that ends in .xz"),
    *((b"BZh%d1AY&SY" % level, "compressed by bzip2", "unpack it (bzip2 -dc)") for level in range(1, 10)),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it (zstd -dc)"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "unpack it (lz4 -dc)"),
    (b"PK\x03\x04", "a zip archive (checkpoints, and files of Word and Excel, are such, too)", _ZIP),
    (b"PK\x05\x06", "an empty zip archive", _ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _ARCHIVE),
    (b"Rar!\x1a\x07", "a rar archive", _ARCHIVE),
    (b"PAR1\x15", "a table in Parquet", _TABLE),
    (b"ARROW1\x00\x00", "a table in Arrow", _TABLE),
    (b"\xff\xff\xff\xff", "a table in Arrow", _TABLE),
    (b"SQLite format 3\x00", "an SQLite database", _TABLE),
    (b"%PDF-", "a PDF", "take its text out, for example with pdftotext"),
    (b"{\\rtf", "a document in RTF", _OFFICE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old file of Word, Excel or PowerPoint", _OFFICE),
    (b"\xff\xfe\x00\x00", "text in UTF-32", _UTF32),
    (b"\x00\x00\xfe\xff", "text in UTF-32", _UTF32),
    (b"\xff\xfe", "text in UTF-16", _UTF16),
    (b"\xfe\xff", "text in UTF-16", _UTF16),
)


class OtherFormat(NamedTuple):
    """A format that is not plain text: its name, and what to do with such a file."""

    name: str
    remedy: str


def other_format(head: bytes) -> OtherFormat | None:
    """Recognise the format of a file; None if it may be plain text in UTF-8.

    Args:
        head: the first bytes, :data:`HEAD_BYTES` or fewer. A file that is a quarter NUL is not text in UTF-8.
    """
    head = head[:HEAD_BYTES]
    for start, name, remedy in _FORMATS:
        if head.startswith(start):
            return OtherFormat(name, remedy)
    if head[_TAR_OFFSET:].startswith(_TAR_MARKS):
        return OtherFormat("a tar archive", _ARCHIVE)
    if 4 * head.count(0) >= len(head) >= _MIN_BYTES:
        return OtherFormat(
            "binary, or text in UTF-16 without a byte order mark",
            "convert it if it is text: iconv -f UTF-16LE -t UTF-8 FILE > NEW",
        )
    return None
