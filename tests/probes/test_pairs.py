"""Minimal pairs as they are read from BLiMP's files, and files that are refused."""

import gzip
import json
import lzma
from collections import Counter

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.probes.pairs import FIELDS, Pair, digest_of, read_pairs
from tests.helpers.paths import ROOT

BLIMP = ROOT.parent / "shared" / "data" / "probes" / "blimp.jsonl.xz"
PAIRS = [
    Pair("island", "syntax", "What did he eat?", "What did eat he?"),
    Pair("anaphor", "binding", "She saw herself.", "She saw himself."),
    Pair("island", "syntax", "Who came in?", "Came who in?"),
    Pair("anaphor", "binding", "They saw themselves.", "They saw themselves."),
]


def line(pair, **changes) -> str:
    return json.dumps(dict(zip(FIELDS, pair, strict=True)) | {"pairID": "7"} | changes)


def text(*lines) -> bytes:
    return "".join(f"{each}\n" for each in lines).encode()


def test_read_pairs_reads_plain_and_compressed_files_and_keeps_the_first_of_each_paradigm(tmp_path):
    content = text(*map(line, PAIRS), "")
    for name, written in {
        "blimp.jsonl": content,
        "blimp.jsonl.gz": gzip.compress(content),
        "blimp.jsonl.xz": lzma.compress(content),
        "blimp": content,
    }.items():
        (tmp_path / name).write_bytes(written)
        assert read_pairs(tmp_path / name) == PAIRS
        assert read_pairs(tmp_path / name, 1) == PAIRS[:2]
        assert read_pairs(tmp_path / name, 5) == PAIRS


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("{", "line 2: not JSON"),
        ('"text"', "line 2: str, not an object"),
        (json.dumps({"UID": "a"}), "line 2: no 'linguistics_term', it has 'UID'"),
        (line(PAIRS[0], sentence_bad=None), "line 2: 'sentence_bad' is null"),
        (line(PAIRS[0], sentence_good=7), "line 2: the text 'sentence_good' is 7, a whole number"),
        (line(PAIRS[0], UID=" "), "line 2: the text 'UID' is blank"),
        (line(PAIRS[0], sentence_good="\u200b"), "line 2: the text 'sentence_good' is blank"),
        (line(PAIRS[1], pairID="8"), "line 2: the same pair as in line 1, 'She saw herself.'"),
        (
            line(PAIRS[3], linguistics_term="syntax"),
            "line 2: the paradigm 'anaphor' is of 'syntax', and of 'binding' in line 1",
        ),
    ],
)
def test_read_pairs_names_the_line_that_it_refuses(tmp_path, second, said):
    path = tmp_path / "blimp.jsonl"
    path.write_bytes(text(line(PAIRS[1]), second))
    with pytest.raises(InputError) as refused:
        read_pairs(path, 1)
    assert str(refused.value).startswith(f"{path}, {said}")


def test_read_pairs_refuses_a_file_without_pairs(tmp_path):
    (tmp_path / "blimp.jsonl").write_bytes(b"\n\n")
    with pytest.raises(InputError, match="has no pairs; give BLiMP as JSON lines"):
        read_pairs(tmp_path / "blimp.jsonl")


def test_digest_of_depends_on_every_text_and_on_the_order():
    changed = [[pair._replace(bad="other") if pair == one else pair for pair in PAIRS] for one in PAIRS]
    digests = {digest_of(pairs) for pairs in (PAIRS, PAIRS[::-1], PAIRS[:-1], *changed)}
    assert len(digests) == 3 + len(PAIRS) and digest_of(iter(PAIRS)) in digests


@pytest.mark.skipif(not BLIMP.is_file(), reason=f"no {BLIMP.name} in the shared data")
def test_read_pairs_reads_blimp_itself():
    pairs = read_pairs(BLIMP, 2)
    assert set(Counter(pair.paradigm for pair in pairs).values()) == {2} and len(pairs) == 134
    assert len({pair.term for pair in pairs}) == 13
