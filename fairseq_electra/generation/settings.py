"""The options of text generation, and their limits."""

from dataclasses import dataclass

from fairseq_electra.errors import InputError

METHODS = ("diffusion", "mask-predict", "gibbs")
ORDERS = ("confidence", "random")

SMALLEST_TEMPERATURE = 1e-6  # smaller ones are no numbers of float32, or draw nothing but the likeliest token
LARGEST_TEMPERATURE = 1e6  # all tokens are then alike
SMALLEST_TOP_P = 1e-6  # as of temperatures


@dataclass(frozen=True)
class Settings:
    """How text is generated.

    Args:
        method: a member of :data:`METHODS`.
        steps: the number of passes through the generator for each text; a text may need fewer or more
            (:mod:`fairseq_electra.generation.schedule`, :mod:`fairseq_electra.generation.unmasking`).
        block: number of tokens of a block; blocks are finished from left to right. 0: one block.
        order: which tokens stay first: those drawn with the highest probability, or random ones.
        remask: tokens that stayed in an earlier step of the same block may be masked again.
        temperature: divides the scores; 0: the likeliest token is taken.
        top_k: draw from the k likeliest tokens alone; 0: from all.
        top_p: draw from the likeliest tokens alone that have this probability together.
        no_repeat: no sequence of this many tokens occurs twice in a text; 0: any may.
        seed: random seed.
        critic: the discriminator chooses which tokens are masked again, instead of ``order``.
        candidates: number of texts of which the one is kept that looks most original to the discriminator.

    Raises:
        InputError: an option is out of its range, or does not fit the method.
    """

    method: str = "diffusion"
    steps: int = 64
    block: int = 0
    order: str = "confidence"
    remask: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    no_repeat: int = 0
    seed: int = 1
    critic: bool = False
    candidates: int = 1

    def __post_init__(self) -> None:
        for name, value, allowed in (("method", self.method, METHODS), ("order", self.order, ORDERS)):
            if value not in allowed:
                raise InputError(f"no {name} {value!r}; use one of {', '.join(allowed)}")
        for option, least in (
            *(("steps", 1), ("candidates", 1), ("block", 0), ("top_k", 0), ("no_repeat", 0), ("seed", 0)),
            ("temperature", 0),
        ):
            if not getattr(self, option) >= least:
                name = option.replace("_", "-")
                raise InputError(f"--{name} must be {least} or more, got {getattr(self, option)}")
        if self.temperature > LARGEST_TEMPERATURE:
            raise InputError(
                f"--temperature must be at most {LARGEST_TEMPERATURE:g}, at which all tokens are alike, got"
                f" {self.temperature:g}"
            )
        if 0 < self.temperature < SMALLEST_TEMPERATURE:
            raise InputError(
                f"--temperature must be 0 or at least {SMALLEST_TEMPERATURE:g}, got {self.temperature:g};"
                " 0 takes the likeliest token"
            )
        if not SMALLEST_TOP_P <= self.top_p <= 1:
            raise InputError(f"--top-p must lie between {SMALLEST_TOP_P:g} and 1, got {self.top_p}")
        if self.method == "gibbs" and (self.critic or self.remask or self.block or self.order == "random"):
            raise InputError(
                "--method gibbs draws one token after the other; leave out --critic, --remask, --block and"
                " --order"
            )
        if self.critic and self.remask:
            raise InputError("with --critic tokens are masked again in any case; leave out --remask")
        is_random = self.temperature > 0 or self.method == "gibbs" or self.order == "random"
        if self.candidates > 1 and not is_random:
            raise InputError(
                f"--temperature 0 makes {self.candidates} candidates that are all the same; give another,"
                " or leave out --candidates"
            )
        if self.critic and self.order == "random":
            raise InputError("with --critic the discriminator chooses the order; leave out --order")
        if self.method == "mask-predict" and (self.block or self.order == "random"):
            raise InputError(
                "--method mask-predict has one block and orders by confidence; leave out --block and --order,"
                " or use --method diffusion --remask"
            )

    @property
    def masks_again(self) -> bool:
        """Whether a token that stayed may be masked again."""
        return self.remask or self.critic or self.method == "mask-predict"

    @property
    def needs_discriminator(self) -> bool:
        """Whether p(replaced) is asked for."""
        return self.critic or self.candidates > 1
