"""Patterns of personal data in text: e-mail addresses, IBANs, card numbers, IP addresses, phone numbers.

A pattern finds what has the form, and checks what can be checked: the checksum of an IBAN (ISO 13616) and of
a card number (Luhn, ISO/IEC 7812-1), and that an IP address is that of one machine and public. It does not
find names, postal addresses, or addresses that are spelt for people alone ("guido at python.org").
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# of an address that ends in more than two letters; others are more often code: x@y.shape
_DOMAINS = (
    "com|org|net|edu|gov|mil|info|biz|aero|coop|museum|arpa|app|dev|online|xyz|site|cloud|email|shop|store|blog"
    "|berlin"
)
# Latin alone: Chinese stands beside an address without a blank
_LETTER = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_EMAIL = re.compile(
    rf"(?<![{_LETTER}.+%/-])[{_LETTER}](?:[{_LETTER}_.+%'-]*[{_LETTER}_+%-])?"
    rf"@(?:[{_LETTER}](?:[{_LETTER}-]*[{_LETTER}])?\.)+"
    rf"(?:{_DOMAINS}|[A-Za-z]{{2}}(?!\())(?![{_LETTER}-]|\.[{_LETTER}_]|:\S)",  # x@y.at( is code
    re.IGNORECASE,
)
_BLANK = " \u00a0\u202f"  # also those that do not break
_IBAN = re.compile(rf"(?<![A-Za-z0-9])[A-Z]{{2}}[0-9]{{2}}(?:[{_BLANK}]?[A-Z0-9]){{11,30}}", re.ASCII)
# not within a number, as its digits behind a point or a comma
_NUMBER_BEGINS, _NUMBER_ENDS = r"(?<![\w.+/=-])(?<![0-9],)", r"(?![\w/-]|\.[0-9]|,[0-9]{3}(?![0-9]))"
_CARD = re.compile(
    rf"{_NUMBER_BEGINS}(?:"
    r"[3-6][0-9]{12,18}"
    r"|[3-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3}(?![0-9]))?"
    r"|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}"
    r")(?![\w-]|\.[0-9]|,[0-9]{3}(?![0-9]))",
    re.ASCII,
)
_IPV4 = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w.]*[0-9])", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?!\w|:\w|/[0-9])", re.ASCII)
_PHONE = re.compile(
    rf"{_NUMBER_BEGINS}(?:"
    r"\+[1-9](?:[ ./-]?\(?[0-9]\)?){6,}"  # international
    r"|(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[-. ][0-9]{4}"  # North America
    r"|[2-9][0-9]{2}([-.])[2-9][0-9]{2}\1[0-9]{4})"
    # with the 0 before an area or mobile code; two years are none
    r"|0[1-9][0-9]{0,4}[-/ ]{1,3}(?!(?:19|20)[0-9]{2}[- ](?:19|20))[0-9]{3,4}[- ][0-9]{3,4}"
    r"|0[1-9][0-9]{1,4}[-/ ][0-9]{6,8}"
    r"|\(0[1-9][0-9]{1,4}\) ?(?:[0-9]{6,8}|[0-9]{3,4}[- ][0-9]{3,4})"
    r"|(?<![0-9] )0[1-9](?: [0-9]{2}){4}(?! [0-9])"  # France
    rf"){_NUMBER_ENDS}",
    re.ASCII,
)
# number of characters of an IBAN by country, from the registry of ISO 13616
_IBAN_SIZES = {
    country: size
    for size, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
# first digits and number of digits of the large networks of cards
_CARDS = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|3[47][0-9]{13}|3[0689][0-9]{12}|35[0-9]{14}"
    r"|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|62[0-9]{14,17}"
)


class PersonalData(NamedTuple):
    """Personal data in a text: its kind, and where it begins and ends (half-open)."""

    kind: str
    begin: int
    end: int


def _iban(text: str) -> int:
    """Return the number of characters of the IBAN that a text begins with; 0 if there is none."""
    ends = [end for end, character in enumerate(text, 1) if character.isalnum()]
    size = _IBAN_SIZES.get(text[:2], 0)
    if not 0 < size <= len(ends) or text[ends[size - 1] :][:1].isalnum():
        return 0
    characters = "".join(filter(str.isalnum, text[: ends[size - 1]]))
    number = int("".join(str(int(character, 36)) for character in characters[4:] + characters[:4]))
    return ends[size - 1] if number % 97 == 1 else 0


def _card(text: str) -> int:
    digits = re.sub("[ -]", "", text)
    if _CARDS.fullmatch(digits) is None:
        return 0
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    total = sum(int(digit) for digit in digits[-1::-2]) + sum(n - 9 if n > 9 else n for n in doubled)
    return len(text) if total % 10 == 0 else 0


def _ip(text: str) -> int:
    """Tell public addresses of one machine from others and from numbers of sections and versions."""
    if text.endswith(":") and not text.endswith("::"):  # of the sentence
        text = text[:-1]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0
    if address.version == 4:  # 8.1.2.4 is more often a section, and 74.125.224.0 a network
        likely = sum(len(part) > 1 for part in text.split(".")) >= 2 and not text.endswith(".0")
    else:  # "would be::" opens a block of code in reStructuredText; those of machines begin with 2 or 3
        likely = sum(map(bool, text.split(":"))) >= 3 and int(address) >> 125 == 1
    return len(text) if likely and address.is_global and not address.is_multicast else 0


_FRACTION_OR_MILLIONS = re.compile(
    r"\+[0-9]+\.[0-9]+(?:[^0-9.]|$)|\+[0-9]{1,3}[ .](?:000|[0-9]00)[ .]000", re.ASCII
)


def _phone(text: str) -> int:
    """Return the number of characters of the phone number that a text begins with, whatever follows it."""
    ends = [match.end() for match in re.finditer(r"[0-9)]+", text)]
    sizes = {end: sum(map(str.isdigit, text[:end])) for end in ends}
    if not text.startswith("+"):  # a number of the domestic form may be a row of bits
        return len(text) if text[0] != "0" or (sizes[ends[-1]] >= 10 and set(text) - set("01 ")) else 0
    if _FRACTION_OR_MILLIONS.match(text):
        return 0
    if text.startswith("+1"):  # ten digits behind the country's: what follows is another number
        return next((end for end in ends if sizes[end] == 11), 0)
    return max((end for end in ends if 8 <= sizes[end] <= 15), default=0)  # 15: the most that E.164 allows


class _Kind(NamedTuple):
    """A pattern, one of what all its matches hold, and how much of a match is valid, in characters."""

    pattern: re.Pattern[str]
    holds: re.Pattern[str]
    valid: Callable[[str], int]


# quickly searched for first: most lines hold neither
_AT, _NUMBER = re.compile("@"), re.compile(r"[0-9](?:[^0-9]{0,3}[0-9]){6}")
_DOTS, _COLONS = re.compile(r"\.[0-9]{1,3}\."), re.compile(r":[0-9A-Fa-f]{0,4}:")
# what an earlier kind has found, a later one does not see
KINDS = {
    "e-mail address": _Kind(_EMAIL, _AT, len),
    "IBAN": _Kind(_IBAN, _NUMBER, _iban),
    "card number": _Kind(_CARD, _NUMBER, _card),
    "IPv4 address": _Kind(_IPV4, _DOTS, _ip),
    "IPv6 address": _Kind(_IPV6, _COLONS, _ip),
    "phone number": _Kind(_PHONE, _NUMBER, _phone),
}
PLACEHOLDERS = {
    "e-mail address": "[EMAIL]",
    "IBAN": "[IBAN]",
    "card number": "[CARD]",
    "IPv4 address": "[IP]",
    "IPv6 address": "[IP]",
    "phone number": "[PHONE]",
}


def find_personal(text: str) -> list[PersonalData]:
    """Find all personal data of a text that has one of the forms, in the order of the text."""
    return sorted(_find(text), key=lambda each: each.begin)


def _find(text: str) -> Iterator[PersonalData]:
    left, before = text, ""
    while left != before:  # what is found may free what stands beside it
        before = left
        for kind, (pattern, holds, valid) in KINDS.items():
            if not holds.search(left):
                continue
            position = 0
            while match := pattern.search(left, position):
                # a pattern may have taken in the beginning of the next one, or the end of another number
                begin, size = match.start(), valid(match[0])
                position = begin + max(size, 1)
                if size:
                    left = f"{left[:begin]}{'|' * size}{left[position:]}"
                    yield PersonalData(kind, begin, position)


def masked(text: str, found: list[PersonalData] | None = None) -> str:
    """Replace personal data by placeholders such as ``[EMAIL]``.

    Args:
        text: the text.
        found: the personal data in it; None: what :func:`find_personal` finds.
    """
    for kind, begin, end in reversed(find_personal(text) if found is None else found):
        text = f"{text[:begin]}{PLACEHOLDERS[kind]}{text[end:]}"
    return text
