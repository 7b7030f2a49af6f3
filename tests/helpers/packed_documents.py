"""Packed rows taken apart."""

import torch

TENSORS = ("src_tokens", "segment_ids", "padding_mask", "masked_positions", "target", "sample_uniforms")


def unpacked(net_input: dict, pad: int) -> tuple[dict, list[tuple[int, slice]]]:
    """Return the packed documents, each in a row of its own, and the packed row and columns of each.

    Masks and random numbers stay the same.
    """
    rows, width = net_input["src_tokens"].shape
    found, places = [], []
    for row in range(rows):
        begin = 0
        length = int((~net_input["padding_mask"][row]).sum())
        for end in net_input["document_ends"][row].tolist():
            end = min(end, length)
            if end == begin:
                continue
            target, positions = net_input["target"][row], net_input["masked_positions"][row]
            own = (target != pad) & (positions >= begin) & (positions < end)
            spare = torch.zeros(len(own) - int(own.sum()), dtype=torch.long)
            tokens = torch.full((width,), pad, dtype=torch.int32)
            tokens[: end - begin] = net_input["src_tokens"][row, begin:end]
            segments = torch.zeros(width, dtype=torch.int32)
            segments[: end - begin] = net_input["segment_ids"][row, begin:end]
            uniforms = torch.cat([net_input["sample_uniforms"][row][own], spare.double()])
            positions = torch.cat([positions[own] - begin, spare])
            found.append(
                (tokens, segments, tokens == pad, positions, torch.cat([target[own], spare + pad]), uniforms)
            )
            places.append((row, slice(begin, end)))
            begin = end
    return dict(zip(TENSORS, map(torch.stack, zip(*found, strict=True)), strict=True)), places
