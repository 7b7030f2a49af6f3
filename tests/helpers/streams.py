"""Streams of binarized lines."""

import numpy as np

BOS, PAD, EOS = 0, 1, 2


def stream_of(documents):
    """fairseq's stream: every line closed by </s>, a lone </s> between documents.

    Tokens are numbered from 4.
    """
    ids, sizes, token = [], [], 4
    for document in documents:
        for length in document:
            ids += [*range(token, token + length), EOS]
            sizes.append(length + 1)
            token += length
        ids.append(EOS)
        sizes.append(1)
    return np.array(ids, np.uint32), np.array(sizes, np.int32)
