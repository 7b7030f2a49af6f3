"""Warnings: what sparse or dirty text costs a pre-training, and what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fairseq_electra.corpus_report.filtering import BOILERPLATE, NEAR_DUPLICATE
from fairseq_electra.corpus_report.findings import UNCLEAR
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import listed
from fairseq_electra.pretraining.unknown import PRETRAINING_REMEDY, WARNING_SHARE

# BERT read its text about 40 times (Devlin et al. 2019, appendix A.2)
MANY_PASSES = 40
# our choice: of five corpora that were measured none has as much (docs/how-to/report.md)
DIRTY_SHARE = 0.03
# as one vocabulary of 8,192 pieces needs for the Wikipedia that it was made from; others need fewer
TOKENS_PER_WORD = 1.5
MANY_TOKENS_PER_WORD = 2.0
SHORT_ROW, SPECIAL_TOKENS = 128, 3  # of tiny and small: tokens of a row, and <s>, </s>, </s> in it
FULL_SHARE = 0.6


def warnings_of(found: dict[str, Any], document_words: Sequence[int]) -> list[str]:
    """Return the warnings for a corpus, each with its cost, the basis of the number and a remedy.

    Where the filter has written the text that it leaves, they are of that text.

    Args:
        found: what was found, as :meth:`fairseq_electra.corpus_report.findings.Findings.as_dict` gives it,
            with ``vocabulary`` if there is one.
        document_words: number of words of each document of that text.
    """
    vocabulary = found.get("vocabulary")
    per_word = vocabulary["tokens_per_word"] if vocabulary else TOKENS_PER_WORD
    read = found["kept" if found["filtered"] else "text"]  # by a training
    if found["filtered"]:
        languages, personal = read["languages"], read["personal"]
    else:
        languages = {code: each["characters"] for code, each in found["languages"].items()}
        personal = {kind: each["number"] for kind, each in found["personal"].items()}
    tokens = vocabulary["tokens"] if vocabulary else round(read["words"] * per_word)
    about = "" if vocabulary else f"about (at {TOKENS_PER_WORD} tokens per word; --vocab counts them) "
    return [
        *_of_size(tokens, about),
        *_of_padding(np.asarray(document_words) * per_word),
        *(() if found["filtered"] else _of_repeats(found)),
        *_of_languages(languages, found["settings"]["languages"], read["characters"]),
        *(_of_vocabulary(vocabulary) if vocabulary else ()),
        *(() if found["settings"]["mask_personal"] else _of_personal_data(personal)),
    ]


def passes_of(tokens: int) -> dict[str, float]:
    """Return how often the recipe of each size reads a text: tokens of the training by tokens of the text."""
    recipes = {size: row.pretraining for size, row in MODEL_SIZES.items()}
    return {size: each.batch * each.tokens * each.updates / tokens for size, each in recipes.items()}


def _of_size(tokens: int, about: str) -> Iterator[str]:
    passes = passes_of(max(tokens, 1))
    many = {size: number for size, number in passes.items() if number > MANY_PASSES}
    if not many:
        return
    updates = {size: int(MODEL_SIZES[size].pretraining.updates * MANY_PASSES / many[size]) for size in many}
    yield (
        f"sparse: the text has {about}{tokens:,} tokens, which the recipe of "
        f"{listed(f'{size} reads {number:,.0f} times' for size, number in many.items())}; BERT read its text "
        f"about {MANY_PASSES} times (Devlin et al. 2019), and for causal models more than 16 add little "
        "(Muennighoff et al. 2023): the updates beyond cost their time and teach little; "
        f"add text, or end after {MANY_PASSES} passes: "
        f"{listed(f'{size} --max-update {max(number, 1)}' for size, number in updates.items())}"
    )


def _of_padding(document_tokens: np.ndarray) -> Iterator[str]:
    room = SHORT_ROW - SPECIAL_TOKENS
    full = float(document_tokens.sum() / max(room * np.ceil(document_tokens / room).sum(), 1))
    if full < FULL_SHARE:
        yield (
            f"short documents: rows of {SHORT_ROW} tokens of one document each are {full:.0%} full, so up to"
            f" {1 - full:.0%} of the computing is spent on padding (counted from the lengths of the"
            " documents); train with --pack, where documents share a row and see themselves alone"
        )


def _of_repeats(found: dict[str, Any]) -> Iterator[str]:
    for step, words, cost in (
        (
            BOILERPLATE,
            f"in lines that occur more than {found['settings']['repeats']} times",
            "the model learns to recite them",
        ),
        (
            NEAR_DUPLICATE,
            "near duplicates of earlier paragraphs",
            "copies in held-out text raise its scores, and the generator learns copies by heart (Lee et al."
            " 2022)",
        ),
    ):
        share = found["steps"][step]["characters"] / found["text"]["characters"]
        if share >= DIRTY_SHARE:
            yield (
                f"repeated text: {share:.1%} of the characters are {words}: {share:.1%} of the updates are"
                f" spent on them, and {cost}; --filter OUT takes them out"
            )


def _of_languages(languages: Mapping[str, int], wanted: Sequence[str], characters: int) -> Iterator[str]:
    """Warn of languages that are not wanted; ``languages`` has the characters of each, the most first."""
    known = {code: number for code, number in languages.items() if code != UNCLEAR}
    if not known:
        return
    wanted = wanted or (next(iter(known)),)
    others = {code: number for code, number in known.items() if code not in wanted}
    share = sum(others.values()) / characters
    if share >= DIRTY_SHARE:
        yield (
            f"other languages: {share:.1%} of the characters are of other languages than {','.join(wanted)} "
            f"({listed(list(others), 5)}): {share:.1%} of the updates and a part of the vocabulary are spent "
            f"on them; --language {','.join(wanted)} --filter OUT takes them out; if all are meant, make the "
            "vocabulary from all of them"
        )


def _of_vocabulary(vocabulary: dict[str, Any]) -> Iterator[str]:
    lost, per_word = vocabulary["lost_characters"], vocabulary["tokens_per_word"]
    if max(lost, vocabulary["unknown_tokens"]) >= WARNING_SHARE:
        yield (
            f"lost characters: {lost:.1%} of the characters are behind <unk>, which is "
            f"{vocabulary['unknown_tokens']:.1%} of the tokens: {PRETRAINING_REMEDY}"
        )
    if per_word >= MANY_TOKENS_PER_WORD:
        yield (
            f"many tokens per word: {per_word:.2f}, punctuation included, where a vocabulary of 8,192 made "
            f"from the text itself needs about {TOKENS_PER_WORD} for English: a row holds "
            f"{TOKENS_PER_WORD / per_word:.0%} of the words that it could, and a pass takes "
            f"{per_word / TOKENS_PER_WORD:.1f} times as many updates; make the vocabulary from this text"
        )


def _of_personal_data(personal: Mapping[str, int]) -> Iterator[str]:
    if personal:
        yield (
            "personal data: "
            + listed(f"{kind} ({number:,})" for kind, number in personal.items())
            + ": a generator can learn to complete them, as Carlini et al. 2021 extracted them from GPT-2,"
            " and laws such as the GDPR may apply to the model; --mask-personal --filter OUT replaces them"
        )
