"""Which tokens do two sentences share?"""

from difflib import SequenceMatcher

from fairseq_electra.probes.sentence_scores import Row


def shared_tokens(first: Row, second: Row) -> tuple[list[int], list[int]]:
    """Align two sentences and find where each has the tokens that both share.

    The longest run of tokens that stands in both sentences is shared, and so on to its left and to its right.

    Args:
        first: ids of a sentence, with ``<s>`` and ``</s>``, which are aligned but not returned.
        second: ids of the other sentence.

    Returns:
        the numbers of the shared tokens in each sentence; the token behind ``<s>`` has number 0. Both lists
        are ascending and of one length.

    Source: nyu-mll/crows-pairs metric.py::get_span. difflib's rule for frequent elements, which that function
    leaves on, is off here; it concerns sentences of 200 tokens and more.
    """
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    steps = [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    inner = [(i - 1, j - 1) for i, j in steps if 0 < i < len(first) - 1]
    return [i for i, _ in inner], [j for _, j in inner]
