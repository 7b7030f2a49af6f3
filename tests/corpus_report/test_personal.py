"""Patterns of personal data: what has the form is found and replaced, and code and numbers are left alone."""

import numpy as np
import pytest

from fairseq_electra.corpus_report.personal import PLACEHOLDERS, find_personal, masked

PERSONAL = {
    "e-mail address": [
        "ada@example.com",
        "mailto:Ada.Lovelace+math@maths.example.co.uk",
        "<a_b-c@sub.example.org>",
        "x@uni-koeln.de",
        "müller@straße.de",
        "ada@example.shop",
    ],
    "IBAN": [
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "NO93 8601 1117 947",
        "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
        "LY83002048000020100120361",
    ],
    "card number": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "3782 822463 10005"],
    "IPv4 address": ["84.8.17.8", "193.99.144.80:443"],
    "IPv6 address": ["2001:4860::8888", "2606:4700:4700:0:0:0:0:1111"],
    "phone number": [
        "+49 30 1234567",
        "+1-212-555-0123",
        "(212) 555-0123",
        "212.555.0123",
        "030/1234-5678",
        "010-1234-5678",
        "1-800-555-0199",
        "030 1234567",
        "(030) 1234567",
        "(0176) 123-4567",
        "0176 12345678",
        "01 23 45 67 89",
    ],
}
OTHER = [
    "y = x @ w.T + b@c.shape and a@b.dot(c)",
    "@property, @functools.wraps(f) and @app.route('/a@b')",
    "git clone git@github.com:user/repo.git; pip install torch@2.6; svn+ssh://me@host.org/x",
    "user@host, a@b, guido at python.org, x@@y.com",
    "127.0.0.1, 192.168.0.1, 10.1.2.3, 0.0.0.0, 300.1.2.3 and version 1.2.3.4.5",
    "a[::2], a[1:2:3], std::vector, ::1, 12:34:56, fe80::1, would be:: and 2006::",
    "RFC 7540, section 8.1.2.4, kernel 2.6.18.6, SQLite 3.36.10.0, multicast 224.0.17.10, 74.125.224.0/24",
    "ISBN 978-3-16-148410-0, ISSN 0317-8471, 1990-1995, 05 1990-1995, 2021-03-04",
    "pi is 3.14159265358979323846 and 4111111111111112 fails the checksum",
    "DE89 3704 0044 0532 0130 01, XX89 3704 0044 0532 0130 00 and DE89 3704 0044",
    "at +37.774929, +12.496366 and x = +2.718281828, +1 500 000 000 people, +12345678 bytes",
    "[012 345 678], 0010 0111 0000 0000 and 01 02 03 04 05 06 07",
    "the port 50:06:01:60:3b:20:11:a0 and the network 2001:4860:4860::/48",
    "1,234,567,890 people, 555-0123, 1234567 and 2**64 = 18446744073709551616",
]


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in PERSONAL.items() for text in texts]
)
def test_find_personal_finds_every_form_and_masked_replaces_it_whole(kind, text):
    sentence = f"Of this, {text} is an example."
    assert [each.kind for each in find_personal(sentence)] == [kind]
    placeholder = PLACEHOLDERS[kind]
    around = {"mailto:": f"mailto:{placeholder}", "<": f"<{placeholder}>", "193": f"{placeholder}:443"}
    expected = next((new for old, new in around.items() if text.startswith(old)), placeholder)
    assert masked(sentence) == f"Of this, {expected} is an example."
    assert find_personal(masked(sentence)) == []


@pytest.mark.parametrize("text", OTHER)
def test_find_personal_leaves_code_and_other_numbers_alone(text):
    assert find_personal(text) == [] and masked(text) == text


def test_masked_replaces_several_in_their_places():
    text = "Mail a@b.de or c@d.org, call +49 30 1234567."
    assert masked(text) == "Mail [EMAIL] or [EMAIL], call [PHONE]."
    assert [text[begin:end] for _, begin, end in find_personal(text)] == [
        "a@b.de",
        "c@d.org",
        "+49 30 1234567",
    ]


def test_find_personal_takes_an_iban_from_the_words_behind_it():
    text = "IBAN GB82 WEST 1234 5698 7654 32 BIC ABCDGB2L"
    assert masked(text) == "IBAN [IBAN] BIC ABCDGB2L"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111 1111 1111 1111 12/27", "[CARD] 12/27"),
        ("Ada,4111111111111111,12/27,Rome,212-555-0123,", "Ada,[CARD],12/27,Rome,[PHONE],"),
        ("Tel +49 30 1234567 10115 Berlin", "Tel [PHONE] 10115 Berlin"),
        ("+44 20 7946 0958 2024", "[PHONE] 2024"),
        ("+1-212-555-0123 42 people", "[PHONE] 42 people"),
        ("Ref AB12 DE89 3704 0044 0532 0130 00", "Ref AB12 [IBAN]"),
        ("Pay with 4111111111111111 030 1234 5678 today", "Pay with [CARD] [PHONE] today"),
        ("Ada o'neil@example.com(work)", "Ada [EMAIL](work)"),
        ("ada@ex.com.DE89370400440532013000", "[EMAIL].[IBAN]"),
        ("_ada@example.com_ 联系ada@example.com谢谢", "_[EMAIL]_ 联系[EMAIL]谢谢"),
        ("2001:4860:4860::8888: reachable", "[IP]: reachable"),
    ],
)
def test_masked_takes_personal_data_from_what_stands_beside_it(text, expected):
    assert masked(text) == expected and find_personal(expected) == []


def test_nothing_is_found_in_what_masked_returns():
    """Whatever stands side by side, with whatever sign between: the filter's text has nothing more."""
    random = np.random.default_rng(1)
    parts = [text for texts in PERSONAL.values() for text in texts] + [
        *(word for text in OTHER for word in text.split()),
        *("12/27", "2024", "42", "1,000", "+", "0", "AB12"),
    ]
    for _ in range(5000):
        chosen, signs = random.choice(parts, 4), random.choice(list(" ,.:;/-()@"), 4)
        text = "".join(part + sign for part, sign in zip(chosen, signs, strict=True))
        assert find_personal(masked(text)) == [], text


@pytest.mark.parametrize(
    "text",
    [
        "Pay to {} {} by Friday.",
        "{} AND {}",
    ],
)
def test_numbers_side_by_side_are_all_found(text):
    given = text.format("DE89370400440532013000", "GB82WEST12345698765432")
    assert masked(given) == text.format("[IBAN]", "[IBAN]") and not find_personal(masked(given))
