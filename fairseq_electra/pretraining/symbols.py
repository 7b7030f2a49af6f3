"""What other models and tools, or fairseq itself, write for a mask, a gap or the end of a text.

Words of three letters or more in angle brackets count; marks such as ``<b>`` and ``<br>`` are shorter.
"""

import re

SPECIAL_SYMBOL = re.compile(
    r"</?s>|</?[a-z_][\w*-]{2,20}>|</?mask[^<>\n]{0,20}>|<\|[^<>|\n]{1,40}\|>"
    r"|\[(?:MASK|CLS|SEP|PAD|UNK|BOS|EOS|gMASK|unused)(?:[*_:\-\d][^\[\]\n]{0,9})?\]",
    re.IGNORECASE,
)
