"""The alphabet of byte-level BPE: a visible character for each of the 256 bytes."""

from collections.abc import Iterable

# Latin characters that can be seen stand for themselves; the other bytes get characters from U+0100 on
# Source: openai/gpt-2 src/encoder.py::bytes_to_unicode
_SEEN = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_HIDDEN = [byte for byte in range(256) if byte not in _SEEN]
BYTE_OF = {chr(byte): byte for byte in _SEEN} | {chr(256 + i): byte for i, byte in enumerate(_HIDDEN)}
SPACE = next(character for character, byte in BYTE_OF.items() if byte == ord(" "))


def bytes_of(symbol: str) -> bytes:
    """Return the bytes that a piece stands for; all of its characters are of the alphabet."""
    return bytes(BYTE_OF[character] for character in symbol)


def is_byte_level(symbols: Iterable[str]) -> bool:
    """Tell whether a vocabulary has a piece for each byte, so that no text is unknown to it."""
    return BYTE_OF.keys() <= set(symbols)
