"""A trained network in Python: encode text, extract features, fill masks, find replaced tokens, classify."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fairseq_electra.checkpoints import CHECKPOINTS, checkpoint_in, find_checkpoint
from fairseq_electra.electra.electric import Electric
from fairseq_electra.electra.encoder import check_row_length
from fairseq_electra.electra.fast.cross_entropy import probabilities
from fairseq_electra.electra.masking import Masking
from fairseq_electra.electra.model import Discriminator, Generator, MaskedLanguageModel
from fairseq_electra.electra.sampling import corrupt, sample_tokens, sampling_probabilities
from fairseq_electra.electra.state import is_random
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads, segments_of
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.hub.load import Pretrained, load_checkpoint
from fairseq_electra.hub.network_files import is_transformers_folder
from fairseq_electra.interchange.sentence_transformers import is_sentence_transformers, other_case
from fairseq_electra.interchange.tokenizer_parity import check_template
from fairseq_electra.interchange.transformers_folder import read_folder
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, LEADING, MASK, PAD_ID, UNK_ID
from fairseq_electra.progress import Progress

if TYPE_CHECKING:
    from fairseq_electra.finetuning.rows import TaskRows

logger = logging.getLogger(__name__)
MAX_TOKENS_CPU, MAX_TOKENS_GPU = 512, 16_384  # tokens of a batch, padding counted
Text = str | tuple[str, ...]
Inputs = Tensor | Text | list  # of Text or Tensor


class Corruption(NamedTuple):
    """What the generator made of rows. Shapes: (B, T) thrice."""

    tokens: Tensor
    corrupted_tokens: Tensor
    is_replaced: Tensor


class WordFeatures(NamedTuple):
    """The words of a sentence, the begin and end of each in characters, and their features, (words, C)."""

    words: list[str]
    offsets: list[tuple[int, int]]
    features: Tensor


def from_pretrained(
    path: str | Path,
    checkpoint_file: str | None = None,
    vocabulary: str | Path | None = None,
    generator: str | Path | None = None,
) -> "ElectraHubInterface":
    """Load a network, from this machine alone.

    Args:
        path: a folder of checkpoints, one checkpoint, or a folder of transformers.
        checkpoint_file: which of the folder's checkpoints; by default ``checkpoint_best.pt``, or else
            ``checkpoint_last.pt``.
        vocabulary: folder with ``dict.txt`` and ``tokenizer.json``; by default that of the checkpoint, or of
            its data.
        generator: transformers' folder of the generator; by default the subfolder ``generator``.

    Raises:
        InputError: there is no network, or it cannot be used.

    Source: the names and shapes are those of fairseq/models/roberta/hub_interface.py::RobertaHubInterface.
    """
    path = Path(path)
    if (
        path.is_dir()
        and checkpoint_file is None
        and (is_transformers_folder(path) or is_sentence_transformers(path))
    ):
        if vocabulary is not None:
            raise InputError(
                f"a vocabulary's folder, {vocabulary}, is for a checkpoint, and {path} is a folder of"
                " transformers, which has its own; leave it out"
            )
        imported = read_folder(path, generator)
        if imported.pretrained.task is not None:
            with_segments = not imported.pretrained.model.sizes.no_segments
            check_template(imported.folder, imported.order.tolist(), with_segments)
        if warning := other_case(imported.unused, imported.pretrained.tokenizer):
            logger.warning(f"{path}: {warning}")
        return ElectraHubInterface(imported.pretrained)
    if generator is not None:
        raise InputError(
            f"a generator's folder, {generator}, is for a folder of transformers, and {path} is none; leave"
            " it out: a checkpoint has its own"
        )
    names = [checkpoint_file] if checkpoint_file else CHECKPOINTS
    if path.is_dir() and checkpoint_in(path, names) is None:
        wanted = checkpoint_file or f"config.json, {' or '.join(CHECKPOINTS)}"
        raise InputError(
            f"{path} holds no {wanted}; give a folder of transformers, a folder of checkpoints or one"
            " checkpoint"
        )
    if not path.exists():
        raise InputError(f"no such folder or checkpoint: {path}; check the path")
    return ElectraHubInterface(load_checkpoint(find_checkpoint(path, names), vocabulary))


class ElectraHubInterface(nn.Module):
    """A network and its vocabulary.

    Rows are given as ids, (T,) or (B, T) padded, and the result is a tensor (B, ...); or as text: a sentence,
    a pair of sentences as a tuple, or a list of these or of ids (T,). A list's result is a list, one unpadded
    tensor for each, in its order; rows of like length are computed together.

    Args:
        pretrained: what to use; put into evaluation mode.
        max_tokens: of a list, computed together, padding counted; by default 512 on a CPU, which gains
            nothing from more and loses on padding, and 16,384 on a GPU.

    Attributes:
        pieces: the kind of the vocabulary's pieces.
        progress: counts the rows of lists that were computed.
    """

    def __init__(self, pretrained: Pretrained, max_tokens: int | None = None):
        super().__init__()
        self.model, self.tokenizer, self.symbols = pretrained.model, pretrained.tokenizer, pretrained.symbols
        self.pieces = pieces_of(self.tokenizer)
        self.labels, self.initialised, self.max_tokens = pretrained.labels, pretrained.initialised, max_tokens
        self.task, self.cfg, self.kind = pretrained.task, pretrained.cfg, pretrained.kind
        self.max_length, self.options, self.threshold = (
            pretrained.max_length,
            pretrained.options,
            pretrained.threshold,
        )
        self._warned = False
        self.progress = Progress()
        self.sizes = self.model.sizes
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the network is; move it with ``.to("cuda")``."""
        return next(self.parameters()).device

    def encode(self, sentence: str, *addl_sentences: str) -> Tensor:
        """Return the ids of ``<s> A </s>``, or ``<s> A </s> B </s>``.

        Shape: (T,), int64. Special symbols written in text stay text.
        """
        pieces = self.tokenizer.encode_batch_fast([sentence, *addl_sentences], add_special_tokens=False)
        return torch.tensor([BOS_ID, *(i for encoding in pieces for i in [*encoding.ids, EOS_ID])])

    def decode(self, tokens: Tensor) -> str | list[str]:
        """Return the text of ids (T,), or the texts of several sentences.

        Special symbols other than ``<mask>`` are left out.
        """
        ids = tokens.tolist()
        sentences: list[list[int]] = [[]]
        for i in ids[1:] if ids[:1] == [BOS_ID] else ids:
            if i == EOS_ID:
                sentences.append([])
            elif i != PAD_ID:
                sentences[-1].append(i)
        texts = [
            self._join(sentence)
            for sentence in (sentences[:-1] if len(sentences) > 1 and not sentences[-1] else sentences)
        ]
        return texts[0] if len(texts) == 1 else texts

    @torch.no_grad()
    def extract_features(self, tokens: Inputs, return_all_hiddens: bool = False):
        """Return the last hidden states, (B, T, C), or of a list (T, C) each.

        Args:
            tokens: rows.
            return_all_hiddens: return a list instead: the first layer's input and the output of each, (layers
                + 1) times that. Of a model with ``--norm pre`` or ``pre_but_first`` these are not normalized;
                its last hidden states are.
        """
        if not return_all_hiddens:
            return self._compute(tokens, self._features)

        def stacked(batch: Tensor) -> Tensor:
            states: list[Tensor] = []
            self._features(batch, states)
            return torch.stack(states, 2)  # (B, T, layers + 1, C)

        states = self._compute(tokens, stacked)
        return (
            [list(each.unbind(-2)) for each in states]
            if isinstance(states, list)
            else list(states.unbind(-2))
        )

    def extract_features_aligned_to_words(self, sentence: str | Sequence[str]) -> WordFeatures:
        """Return one vector for each word: the mean over its pieces, found by the tokenizer's offsets.

        Args:
            sentence: text, whose words are what stands between blanks; or the words. A word of which the
                vocabulary's normalization leaves nothing has the vector 0. Pieces between words are left out.
        """
        text = sentence if isinstance(sentence, str) else " ".join(sentence)
        if isinstance(sentence, str):
            spans = [(match.start(), match.end()) for match in re.finditer(r"\S+", text)]
        else:
            ends = np.cumsum([len(word) + 1 for word in sentence])
            spans = [
                (int(end) - 1 - len(word), int(end) - 1) for end, word in zip(ends, sentence, strict=True)
            ]
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        # (pieces, C)
        features = self.extract_features(torch.tensor([BOS_ID, *encoding.ids, EOS_ID]))[0, 1:-1]
        begins, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
        starts = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
        word = np.searchsorted(begins, starts, side="right") - 1
        in_word = (word >= 0) & (starts < np.append(ends, 0)[word])
        word_of_piece = torch.from_numpy(word[in_word]).to(features.device)
        features = features[torch.from_numpy(in_word).to(features.device)]
        sums = features.new_zeros(len(spans), features.shape[-1]).index_add_(0, word_of_piece, features)
        count = features.new_zeros(len(spans)).index_add_(
            0, word_of_piece, features.new_ones(len(word_of_piece))
        )
        return WordFeatures([text[a:b] for a, b in spans], spans, sums / count.clamp(min=1)[:, None])

    @torch.no_grad()
    def detect_replaced(self, tokens: Inputs):
        """Return how likely each token was replaced, p(replaced): (B, T), or of a list (T,) each."""
        model = self._discriminator("detect_replaced")

        def probability(batch: Tensor) -> Tensor:
            padding_mask, segments = self._masks(batch)
            return model.discriminate(batch, segments, padding_mask).sigmoid()

        return self._compute(tokens, probability)

    @torch.no_grad()
    def fill_mask(self, masked_input: str | Sequence[str], topk: int = 5):
        """Let the generator fill in ``<mask>``.

        Args:
            masked_input: a sentence with one ``<mask>``, or several such sentences.
            topk: how many answers.

        Returns:
            ``(sentence, probability, token)`` for each answer, the likeliest first; a list of such lists for
            several sentences.
        """
        sentences = [masked_input] if isinstance(masked_input, str) else list(masked_input)
        rows = []
        for text in sentences:
            if text.count(MASK) != 1:
                raise InputError(
                    f"fill_mask needs one {MASK} in a sentence, found {text.count(MASK)} in {text[:80]!r}"
                )
            left, right = text.split(MASK)
            before, after = (
                self.encode(part)[1:-1].tolist() for part in (self.pieces.before_mask(left), right)
            )
            rows.append(torch.tensor([BOS_ID, *before, self.mask, *after, EOS_ID]))
        filled = []
        for text, ((values,), (ids,)) in zip(sentences, self.guess_masked(rows, topk), strict=True):
            left, right = text.split(MASK)
            tokens = [self.pieces.text(self.symbols[i]) for i in ids.tolist()]
            filled.append(
                [
                    ("".join([*self.pieces.fill(left, token), right]), value, token)
                    for token, value in zip(tokens, values.tolist(), strict=True)
                ]
            )
        return filled[0] if isinstance(masked_input, str) else filled

    @torch.no_grad()
    def guess_masked(self, rows: list[Tensor], topk: int = 5) -> list[tuple[Tensor, Tensor]]:
        """Let the generator guess every ``<mask>`` of rows, each as if the others stayed masked.

        Args:
            rows: ids, one of them or more ``<mask>``. Shape: (T,) each.
            topk: how many guesses.

        Returns:
            of each row and its masks in their order the probabilities and the ids, the likeliest first.
            Shapes: (masks, topk) twice.
        """
        model = self._generator("fill_mask")
        if not 1 <= topk <= len(self.symbols):
            raise InputError(
                f"topk must lie between 1 and the {len(self.symbols):,} entries of the vocabulary, got {topk}"
            )

        def best(batch: Tensor) -> Tensor:
            padding_mask, segments = self._masks(batch)
            masked = (batch == self.mask).int()
            # (B, K), spare ones behind
            positions = masked.argsort(dim=1, descending=True, stable=True)[:, : int(masked.sum(1).max())]
            values, ids = probabilities(model.generate(batch, segments, padding_mask, positions)).topk(topk)
            return torch.stack([values.double(), ids.double()], 1)  # (B, 2, K, topk)

        guesses = []
        for row, (values, ids) in zip(rows, self._compute(rows, best, of_tokens=False), strict=True):
            number = int((row == self.mask).sum())
            guesses.append((values[:number], ids[:number].long()))
        return guesses

    @torch.no_grad()
    def sample_corruption(
        self, tokens: Inputs, mask_prob: float = 0.15, temperature: float = 1.0, seed: int = 1
    ) -> Corruption:
        """Mask rows, and let the generator fill them in, as in pre-training.

        The same seed gives the same result.

        Args:
            tokens: rows; of a list, one padded tensor is made.
            mask_prob: share of a row's tokens that the generator guesses.
            temperature: divides its scores; above 0.
            seed: of masks and samples.
        """
        model = self._generator("sample_corruption")
        if not (0 < mask_prob < 1 and temperature > 0):
            raise InputError(
                f"mask_prob must lie between 0 and 1 and temperature above 0, got {mask_prob} and"
                f" {temperature}"
            )
        batch = self._padded(self._rows(tokens)) if isinstance(tokens, list) else self._batch(tokens)
        masking = Masking(
            mask_prob, 0.0, 0.0, mask_index=self.mask, pad_index=PAD_ID, first_piece=len(LEADING), seed=seed
        )
        ids = batch.cpu().numpy()
        masked = masking(ids, (ids != PAD_ID).sum(1), 1, np.arange(len(ids)))
        src_tokens, positions, target, uniforms = (
            torch.from_numpy(array).to(self.device) for array in masked[:4]
        )
        padding_mask, segments = self._masks(batch)
        logits = model.generate(src_tokens, segments, padding_mask, positions)
        sampled = sample_tokens(sampling_probabilities(logits, temperature, None), uniforms)
        return Corruption(batch, *corrupt(src_tokens, positions, target, sampled, PAD_ID))

    @torch.no_grad()
    def predict(self, head: str, tokens: Inputs, return_logits: bool = False):
        """Apply a head for sentences.

        Args:
            head: its name; fairseq's tasks call theirs ``sentence_classification_head``. ``labels`` has the
                names of its classes.
            tokens: rows; of text as in training: no blanks around it, and ``<unk>`` where it is empty.
            return_logits: return the scores themselves, not log-probabilities.

        Returns:
            (B, number of classes), or of a list (number of classes,) each: the log-softmax over classes, or
            where a text has several labels the log-sigmoid of each. Of a head with one score (regression,
            multiple choice) the scores themselves.
        """
        kind = KINDS[self.kind]
        if not kind.reads_rows:
            raise InputError(
                f"the network was trained for {self.kind}; predict is for sentences, fairseq-electra predict"
                " for all"
            )
        if not isinstance(self.model, EncoderWithHeads) or head not in self.model.classification_heads:
            known = (
                ", ".join(self.model.classification_heads) if isinstance(self.model, EncoderWithHeads) else ""
            )
            raise InputError(
                f"the network has no head {head!r}, it has"
                f" {known or 'none for sentences: fine-tune it first'}"
            )
        model = self.model

        def scores(batch: Tensor) -> Tensor:
            logits, _ = model(batch, classification_head_name=head)
            return logits if return_logits else kind.log_probabilities(logits)

        if isinstance(tokens, Tensor):
            return self._compute(tokens, scores, of_tokens=False)
        rows = self._rows(tokens if isinstance(tokens, list) else [tokens], as_tuned=True)
        results = self._compute(rows, scores, of_tokens=False)
        return results if isinstance(tokens, list) else torch.stack(results)

    @property
    def mask(self) -> int:
        """Id of ``<mask>``."""
        return len(self.symbols) - 1

    def _features(self, batch: Tensor, states: list[Tensor] | None = None) -> Tensor:
        if isinstance(self.model, MaskedLanguageModel):
            raise InputError(
                "features are the discriminator's, and a model trained with --objective mlm has none;"
                " fine-tune its generator"
            )
        assert isinstance(self.model, Discriminator | EncoderWithHeads)  # there is no other model
        padding_mask, segments = self._masks(batch)
        return self.model.extract_features(batch, segments, padding_mask, states)

    def _masks(self, batch: Tensor) -> tuple[Tensor | None, Tensor]:
        """Padding, if there is any, and segments. Shapes: (B, T) twice."""
        padding = batch == PAD_ID
        segments = segments_of(batch, EOS_ID).masked_fill(padding, 0)
        return (padding if bool(padding.any()) else None), segments

    def _generator(self, method: str) -> Generator:
        """Return the model, if it has a generator that was trained."""
        self._check_pretraining(method)
        self._check_trained(method, "generator")
        if not isinstance(self.model, Generator):
            raise InputError(
                f"{method} needs a generator, and a model trained with --objective unigram, uniform or"
                " electric has none"
            )
        return self.model

    def _discriminator(self, method: str) -> Discriminator:
        """Return the model, if it has a discriminator that was trained."""
        self._check_pretraining(method)
        if not isinstance(self.model, Discriminator):
            raise InputError(
                f"{method} needs a discriminator, and a model trained with --objective mlm has none; use"
                " fill_mask"
            )
        if isinstance(self.model, Electric):
            raise InputError(
                f"{method} needs p(replaced), and a model trained with --objective electric gives energies,"
                " which are no probabilities; score sentences with fairseq_electra.probes.sentence_scores"
            )
        self._check_trained(method, "discriminator_head")
        return self.model

    def _check_pretraining(self, method: str) -> None:
        if isinstance(self.model, EncoderWithHeads):
            raise InputError(
                f"{method} needs a pre-training checkpoint, and this is a fine-tuned encoder, without"
                " generator and discriminator head; give the checkpoint of its pre-training"
            )

    def _check_trained(self, method: str, part: str) -> None:
        """Refuse a part of the model that was drawn at random, as the folder it comes from lacks it."""
        if is_random(part, self.initialised):
            raise InputError(
                f"{method} needs the {part.replace('_', ' ')}, which the folder of transformers does not"
                " hold: it is random before it is trained; go on with pre-training, or load the net's own"
                " checkpoint"
            )

    def _batch(self, tokens: Tensor | Text) -> Tensor:
        """One input as (B, T) on the network's device."""
        row = (
            tokens
            if isinstance(tokens, Tensor)
            else self.encode(*([tokens] if isinstance(tokens, str) else tokens))
        )
        row = row.unsqueeze(0) if row.dim() == 1 else row
        self.check_length(row.shape[1])
        return row.to(self.device, torch.int64)

    def _rows(self, tokens: list[Text | Tensor], as_tuned: bool = False) -> list[Tensor]:
        """Rows (T,) of a list; all its text is cut into pieces at once.

        Args:
            tokens: texts and rows.
            as_tuned: make rows of text as fine-tuning does: no blanks around it, and an empty one is
                ``<unk>``.
        """
        texts = [
            (text,) if isinstance(text, str) else text for text in tokens if not isinstance(text, Tensor)
        ]
        encodings = iter(
            self.tokenizer.encode_batch_fast(
                [part.strip() if as_tuned else part for text in texts for part in text],
                add_special_tokens=False,
            )
        )
        empty = [UNK_ID] if as_tuned else []
        rows = []
        for each in tokens:
            if isinstance(each, Tensor):
                rows.append(each)
            else:
                parts = 1 if isinstance(each, str) else len(each)
                ids = [next(encodings).ids or empty for _ in range(parts)]
                rows.append(torch.tensor([BOS_ID, *(i for part in ids for i in [*part, EOS_ID])]))
            self.check_length(len(rows[-1]))
        return rows

    def check_length(self, length: int) -> None:
        """Refuse rows with more tokens than positions; warn once of rows longer than any in training."""
        check_row_length(self.sizes, length, "cut the text")
        if length > self.max_length and not self._warned:
            self._warned = True
            logger.warning(
                f"a row of {length} tokens, where the training had at most {self.max_length}: do not trust"
                " what lies behind; cut the text"
            )

    def _padded(self, rows: list[Tensor]) -> Tensor:
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD_ID).to(
            self.device, torch.int64
        )

    def _compute(self, tokens: Inputs, compute: Callable[[Tensor], Tensor], of_tokens: bool = True):
        """Compute on rows (B, T): at once, or a list in batches of like length."""
        if not isinstance(tokens, list):
            return compute(self._batch(tokens))
        rows = self._rows(tokens)
        results: list[Tensor] = [torch.empty(0)] * len(rows)
        for chosen in self._batches_of_like_length([len(row) for row in rows]):
            results_of_batch = compute(self._padded([rows[i] for i in chosen]))
            for i, result in zip(chosen, results_of_batch, strict=True):
                results[i] = result[: len(rows[i])] if of_tokens else result
        return results

    def batches(self, dataset: "TaskRows") -> Iterator[dict]:
        """Batches of all rows of a task, those of like length together, on the network's device."""
        for chosen in self._batches_of_like_length(
            dataset.sizes.tolist(), 2
        ):  # windows are longer than sentences
            yield _moved(dataset.collater(chosen), self.device)

    def _batches_of_like_length(self, sizes: list[int], times: int = 1) -> Iterator[list[int]]:
        """Yield batches of row numbers, rows of like length together, within the limit of tokens.

        Padding counts; a row longer than the limit is a batch of its own.
        """
        max_tokens = self.max_tokens
        if max_tokens is None:
            max_tokens = times * (MAX_TOKENS_GPU if self.device.type == "cuda" else MAX_TOKENS_CPU)
        batch: list[int] = []
        for i in sorted(range(len(sizes)), key=sizes.__getitem__):
            if batch and (len(batch) + 1) * sizes[i] > max_tokens:
                yield batch
                self.progress.add(len(batch))
                batch = []
            batch.append(i)
        if batch:
            yield batch
            self.progress.add(len(batch))

    def _join(self, ids: list[int]) -> str:
        return self.pieces.join([self.symbols[i] for i in ids])


def _moved(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a batch, however they are nested in dictionaries and lists."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: _moved(value, device) for name, value in batch.items()}
    return [_moved(value, device) for value in batch] if isinstance(batch, list) else batch
