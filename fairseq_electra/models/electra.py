"""ELECTRA for pre-training: a generator corrupts the text, a discriminator finds what was replaced."""

import argparse
import logging
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

import torch
from fairseq.dataclass import ChoiceEnum
from fairseq.models import ARCH_CONFIG_REGISTRY, BaseFairseqModel, register_model, register_model_architecture
from torch import Tensor, nn

from fairseq_electra import compat
from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder, check_row_length, initialize, initialize_as_dense_default, shrink_branches
from fairseq_electra.electra.fast.cross_entropy import probabilities
from fairseq_electra.electra.heads import MaskedLMHead, ReplacedTokenHead
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sampling import corrupt, sample_tokens, sampling_probabilities
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.models import _traits
from fairseq_electra.models._config import (
    EncoderConfig,
    adopt_sizes,
    encoder_sizes,
    generator_sizes,
    generator_width,
    prepare_processor,
    with_defaults,
)
from fairseq_electra.models._loading import check_dictionary, check_tensors
from fairseq_electra.optim.gradients import mark_networks
from fairseq_electra.pretraining.binarized import dictionary_digest

logger = logging.getLogger(__name__)


@dataclass
class ElectraConfig(EncoderConfig):
    """Options of ``--arch electra_*``; the names are those of google-research/electra configure_pretraining.py."""

    generator_hidden_size: Optional[float] = field(
        default=None,
        metadata={"help": "the generator's hidden size, as a share of the discriminator's; default: as --arch has it"},
    )
    generator_layers: float = field(default=1.0, metadata={"help": "the generator's layers, as a share of the discriminator's"})
    generator_num_attention_heads: Optional[int] = field(
        default=None, metadata={"help": "the generator's attention heads; default: one for every 64 of its hidden size"}
    )
    generator_intermediate_size: Optional[int] = field(
        default=None, metadata={"help": "the generator's feed-forward size; default: four times its hidden size"}
    )
    tie_embeddings: ChoiceEnum(["none", "tokens", "all"]) = field(  # type: ignore[valid-type]
        default="all",
        metadata={"help": "what the networks share: none, the token table, or all embeddings with their LayerNorm (the original)"},
    )
    untie_lm_head: bool = field(
        default=False, metadata={"help": "the generator predicts with a table of its own; the original: with the one it reads"}
    )
    generator_only: bool = field(
        default=False,
        metadata={"help": "no discriminator: a plain masked language model of the sizes named, to compare with"},
    )
    temperature: float = field(default=1.0, metadata={"help": "divides the generator's scores when it is sampled; above 0"})
    disallow_correct: bool = field(default=False, metadata={"help": "never sample the original token"})
    compile: bool = field(
        default=False, metadata={"help": "networks and losses as graphs of torch.compile; the first update takes a minute or more"}
    )
    cuda_graphs: bool = field(
        default=False, metadata={"help": "with --compile, on a GPU: replay updates as CUDA graphs, which small updates gain by"}
    )


class ElectraOutput(NamedTuple):
    """What one pass gives, in the order it comes about; without a discriminator, the first two alone."""

    gen_logits: Tensor  # (B, K, V)
    gen_probs: Tensor  # (B, K, V), without gradient
    corrupted_tokens: Tensor | None = None  # (B, T)
    is_replaced: Tensor | None = None  # (B, T)
    disc_logits: Tensor | None = None  # (B, T)


def compile_options(cuda_graphs: bool) -> dict[str, Any]:
    """Return what ``torch.compile`` is told: one graph for one shape, or an error."""
    return {"fullgraph": True, "dynamic": False, "mode": "reduce-overhead" if cuda_graphs else None}


@register_model("electra", dataclass=ElectraConfig)
class ElectraModel(BaseFairseqModel):
    """Generator and discriminator, trained together.

    Args:
        cfg: its options.
        dictionary: fairseq's, with ``<mask>`` as its last entry.

    Source: google-research/electra run_pretraining.py::PretrainingModel.
    """

    def __init__(self, cfg: ElectraConfig, dictionary):
        super().__init__()
        sizes = encoder_sizes(cfg)
        _check(cfg, generator_width(cfg))
        self.sizes, self.pad, num_tokens = sizes, dictionary.pad(), len(dictionary)
        self.temperature, self.disallow_correct = cfg.temperature, cfg.disallow_correct

        self.embeddings = Embeddings(sizes, num_tokens, self.pad)
        self.discriminator = None if cfg.generator_only else Encoder(sizes, cfg.checkpoint_activations)
        self.discriminator_head = None if cfg.generator_only else ReplacedTokenHead(sizes)
        # what is shared exists once, in self.embeddings
        self.generator_embeddings = None
        if str(cfg.tie_embeddings) != "all" and not cfg.generator_only:
            self.generator_embeddings = Embeddings(sizes, 0 if str(cfg.tie_embeddings) == "tokens" else num_tokens, self.pad)
        self.generator = Encoder(generator_sizes(cfg), cfg.checkpoint_activations)
        self.generator_head = MaskedLMHead(self.generator.sizes, num_tokens, cfg.untie_lm_head)
        # "version" in the name: fairseq's moving average of the weights leaves such buffers alone
        self.register_buffer("dictionary_version", torch.frombuffer(bytearray(dictionary_digest(dictionary)), dtype=torch.uint8))

        self.apply(initialize)
        self.apply(shrink_branches)
        for name, linear in self.named_modules():
            if name.endswith(".projection") or name == "discriminator_head.prediction":
                initialize_as_dense_default(linear)
        mark_networks(self)

    @classmethod
    def add_args(cls, parser) -> None:
        """Declare the options of the command line."""
        super().add_args(parser)
        _traits.add_arguments(parser)

    @classmethod
    def build_model(cls, cfg, task) -> "ElectraModel":
        """Build the model for a task that has ``source_dictionary`` and ``cfg.tokens_per_sample``."""
        adopt_sizes(cfg, ElectraConfig)
        cfg = with_defaults(cfg, ElectraConfig)
        prepare_processor(cfg)
        width = task.cfg.tokens_per_sample
        check_row_length(encoder_sizes(cfg), width, f"give --max-position-embeddings {width}, or --positions rotary")
        if cfg.cuda_graphs and not (cfg.compile and torch.cuda.is_available()):
            raise InputError("--cuda-graphs needs --compile and a GPU; leave it out")
        model = cls(cfg, task.source_dictionary)
        if cfg.compile:  # in place: names in checkpoints stay as they are
            model.compile(**compile_options(cfg.cuda_graphs))
        return model

    def forward(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
        document_ends: Tensor | None = None,
    ) -> ElectraOutput:
        """Corrupt the text and judge every token.

        Args:
            src_tokens: the masked text. Shape: (B, T).
            segment_ids: 0 or 1. Shape: (B, T).
            padding_mask: True at padding. Shape: (B, T).
            masked_positions: where the generator guesses. Shape: (B, K).
            target: what stood there, padding in spare slots. Shape: (B, K).
            sample_uniforms: numbers in [0, 1) that choose the samples. Shape: (B, K).
            document_ends: of packed rows, as :func:`fairseq_electra.pretraining.packing.gather_packed` gives it. Shape: (B, D).
        """
        documents = None if document_ends is None else PackedDocuments.of(document_ends, src_tokens.shape[1])
        gen_logits = self.generate(src_tokens, segment_ids, padding_mask, masked_positions, documents)
        gen_probs = probabilities(gen_logits)
        if self.discriminator is None:
            return ElectraOutput(gen_logits, gen_probs)
        sampled = sample_tokens(self._bent(gen_probs, gen_logits, target), sample_uniforms)
        corrupted_tokens, is_replaced = corrupt(src_tokens, masked_positions, target, sampled, self.pad)
        disc_logits = self.discriminate(corrupted_tokens, segment_ids, padding_mask, documents)
        return ElectraOutput(gen_logits, gen_probs, corrupted_tokens, is_replaced, disc_logits)

    def generate(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        masked_positions: Tensor,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Score every piece at the masked positions. Shapes: (B, T) thrice, (B, K) -> (B, K, V)."""
        hidden = self.extract_generator_features(src_tokens, segment_ids, padding_mask, documents=documents)
        hidden = hidden.gather(1, masked_positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        return self.generator_head(hidden, self.generator_tokens.weight)

    def discriminate(
        self, tokens: Tensor, segment_ids: Tensor, padding_mask: Tensor | None, documents: PackedDocuments | None = None
    ) -> Tensor:
        """Score every token as replaced (above 0) or not. Shapes: (B, T) thrice -> (B, T)."""
        hidden = self.extract_features(tokens, segment_ids, padding_mask, documents=documents)
        assert self.discriminator_head is not None  # where there is an encoder there is a head
        return self.discriminator_head(hidden)

    def extract_features(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        all_layers: list[Tensor] | None = None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Encode rows with the discriminator.

        Args:
            tokens: ids. Shape: (B, T).
            segment_ids: 0 or 1. Shape: (B, T).
            padding_mask: True at padding; None: there is none. Shape: (B, T).
            all_layers: a list that receives the input of the first layer and the output of each. Shapes: (B, T, C).
            documents: of packed rows; None: a row is one document.

        Returns:
            the last layer's output. Shape: (B, T, C).
        """
        if self.discriminator is None:
            raise InputError("the net was trained with --generator-only and has no discriminator; use its generator")
        return self.discriminator(self.embeddings(tokens, segment_ids, documents=documents), padding_mask, all_layers, documents)

    def extract_generator_features(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        all_layers: list[Tensor] | None = None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Encode rows with the generator; arguments and result as :meth:`extract_features`."""
        embeddings = self.generator_embeddings or self.embeddings
        embedded = embeddings(tokens, segment_ids, self.generator_tokens, documents)
        return self.generator(embedded, padding_mask, all_layers, documents)

    def _bent(self, probs: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        """The distribution to sample from: the generator's own, unless options say otherwise."""
        if self.temperature == 1 and not self.disallow_correct:
            return probs
        return sampling_probabilities(logits, self.temperature, target if self.disallow_correct else None)

    @property
    def generator_tokens(self) -> nn.Embedding:
        """The token table the generator reads and predicts with. Weight: (V, E)."""
        own = self.generator_embeddings
        found = self.embeddings.tokens if own is None or own.tokens is None else own.tokens
        assert found is not None  # the discriminator always has one
        return found

    def train(self, mode: bool = True) -> "ElectraModel":
        """Switch dropout on or off; walks over the 300 modules only where the mode changes, fairseq asks for it twice an update."""
        return self if mode == self.training else super().train(mode)

    def set_num_updates(self, num_updates: int) -> None:
        """Nothing in the networks depends on it, so none of their modules is asked."""

    def max_positions(self) -> Optional[int]:
        """Longest row: None, since the task makes rows that fit."""
        return None

    def upgrade_state_dict_named(self, state_dict: dict, name: str) -> None:
        """Say plainly why a checkpoint does not fit, before PyTorch lists all that is missing."""
        check_dictionary(state_dict, self.dictionary_version)
        check_tensors(state_dict, self.state_dict())


def _check(cfg: ElectraConfig, width: float) -> None:
    if not cfg.temperature > 0:
        raise InputError(f"--temperature must be above 0, got {cfg.temperature}; 1 samples the generator's own distribution")
    if width <= 0 or cfg.generator_layers <= 0:
        raise InputError(f"--generator-hidden-size and --generator-layers are shares above 0, got {width} and {cfg.generator_layers}")
    if width >= 1 and not cfg.generator_only:
        logger.warning(
            f"--generator-hidden-size {width}: a generator as large as the discriminator is known to collapse it; "
            "the paper found 1/4 to 1/2 best (section 3.2)"
        )


def _register(size: str) -> None:
    @register_model_architecture("electra", f"electra_{size}")
    def architecture(args) -> None:
        args.model_size = size
        compat.forget_tpu(args)
        if isinstance(args, argparse.Namespace):  # fairseq calls this again for the options in a checkpoint
            _traits.fill_in(args)
            _traits.fill_in_betas(args)


def _without_size(args) -> None:
    """A bare ``--arch electra`` takes its sizes from ``--finetune-from-model``."""
    compat.forget_tpu(args)
    if isinstance(args, argparse.Namespace):
        _traits.fill_in_betas(args)


ARCH_CONFIG_REGISTRY["electra"] = _without_size
for _size in MODEL_SIZES:
    _register(_size)
