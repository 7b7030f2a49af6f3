"""A plain NumPy transcription of Clark et al. 2020 and of BERT's encoder, written from the papers.

It computes row by row and token by token. It shares no code with the package and is as slow as it is plain.
"""

from math import erf, log, sqrt

import numpy as np


def gelu(x):
    return np.array([0.5 * v * (1 + erf(v / sqrt(2))) for v in x.ravel()]).reshape(x.shape)


def layer_norm(x, weight, bias, eps=1e-12):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def normalized(x, name, p, eps=1e-12):
    """LayerNorm, without a bias where there is none; RMSNorm has a gain (Zhang and Sennrich 2019, eq. 4)."""
    if name + ".gain" in p:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * p[name + ".gain"]
    return layer_norm(x, p[name + ".weight"], p.get(name + ".bias", 0.0), eps)


def linear(x, name, p):
    return x @ p[name + ".weight"].T + p.get(name + ".bias", 0.0)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rotate(vector, position, base=10000):
    """RoFormer, equation 34: pairs (x0, x1), (x2, x3), ... turned by position * base^(-2i/d)."""
    out = np.empty_like(vector)
    d = len(vector)
    for i in range(d // 2):
        angle = position * base ** (-2 * i / d)
        a, b = vector[2 * i], vector[2 * i + 1]
        out[2 * i] = a * np.cos(angle) - b * np.sin(angle)
        out[2 * i + 1] = a * np.sin(angle) + b * np.cos(angle)
    return out


def attention(x, name, p, heads, real, rotary, base=10000):
    """One row. x: (T, C); real: True where a token may be attended to, by all (T,) or by each (T, T)."""
    length, width = x.shape
    seen = np.broadcast_to(real, (length, length))
    qkv = linear(x, name + "qkv", p)
    q, k, v = (qkv[:, i * width : (i + 1) * width] for i in range(3))
    d = width // heads
    mixed = np.zeros_like(x)
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        qh, kh, vh = q[:, part], k[:, part], v[:, part]
        if rotary:
            qh = np.stack([rotate(row, t, base) for t, row in enumerate(qh)])
            kh = np.stack([rotate(row, t, base) for t, row in enumerate(kh)])
        for t in range(length):
            scores = np.array([qh[t] @ kh[s] / sqrt(d) if seen[t, s] else -np.inf for s in range(length)])
            mixed[t, part] = softmax(scores) @ vh
    return linear(mixed, name + "out", p)


def encoder(
    embedded, real, p, prefix, heads, layers, rotary, norm="post", bases=(1e4, 1e4), local=(0, 3), eps=1e-12
):
    """One row through the layers.

    norm: post, pre, or pre_but_first; bases: of rotary angles, in layers that see the row and in those that
    see a window; local: tokens of the window, 0 for none, and every how many layers one sees the row; eps: of
    the norms. What
    the linear layers and norms are, and whether there are gates (Shazeer 2020, equation 6), the parameters p
    say by their names and shapes.
    """
    x = embedded
    if f"{prefix}.projection.weight" in p:
        x = linear(x, f"{prefix}.projection", p)
    length = len(x)
    window, global_every = local
    for i in range(layers):
        name = f"{prefix}.layers.{i}."
        seen, base = np.broadcast_to(real, (length, length)), bases[0]
        if window and i % global_every:
            near = np.array([[abs(t - s) <= window / 2 for s in range(length)] for t in range(length)])
            seen, base = seen & near, bases[1]
        is_read_as_it_is = norm == "post" or (norm == "pre_but_first" and i == 0)
        read = x if is_read_as_it_is else normalized(x, name + "attention_layer_norm", p, eps)
        x = x + attention(read, name + "attention.", p, heads, seen, rotary, base)
        if norm == "post":
            x = normalized(x, name + "attention_layer_norm", p, eps)
        read = x if norm == "post" else normalized(x, name + "output_layer_norm", p, eps)
        f, inner = linear(read, name + "intermediate", p), p[name + "output.weight"].shape[1]
        f = gelu(f[:, :inner]) * (f[:, inner:] if f.shape[1] > inner else 1.0)
        x = x + linear(f, name + "output", p)
        if norm == "post":
            x = normalized(x, name + "output_layer_norm", p, eps)
    return x if norm == "post" else normalized(x, f"{prefix}.layer_norm", p, eps)


def embed(tokens, segments, p, prefix="embeddings", eps=1e-12):
    x = p[f"{prefix}.tokens.weight"][tokens]
    if f"{prefix}.segments.weight" in p:
        x = x + p[f"{prefix}.segments.weight"][segments]
    if f"{prefix}.positions.weight" in p:
        x = x + p[f"{prefix}.positions.weight"][: len(tokens)]
    return normalized(x, f"{prefix}.layer_norm", p, eps)


def generator_states(tokens, segments, real, p, heads, layers, rotary):
    """(T, C) what the generator's encoder returns."""
    return encoder(embed(tokens, segments, p), real, p, "generator", heads, layers, rotary)


def generator_logits(tokens, segments, real, p, heads, layers, rotary):
    """(T, V) scores at every position."""
    h = generator_states(tokens, segments, real, p, heads, layers, rotary)
    h = gelu(h @ p["generator_head.dense.weight"].T + p["generator_head.dense.bias"])
    h = normalized(h, "generator_head.layer_norm", p)
    return h @ p["embeddings.tokens.weight"].T + p["generator_head.bias"]


def discriminator_logits(tokens, segments, real, p, heads, layers, rotary):
    """(T,) scores: above 0 means replaced."""
    h = encoder(embed(tokens, segments, p), real, p, "discriminator", heads, layers, rotary)
    return replaced_token_scores(h, p)


def replaced_token_scores(h, p, eps=1e-12):
    """(T,) scores of the discriminator's last states, (T, C)."""
    h = gelu(h @ p["discriminator_head.dense.weight"].T + p["discriminator_head.dense.bias"])
    if any(name.startswith("discriminator_head.layer_norm.") for name in p):
        h = normalized(h, "discriminator_head.layer_norm", p, eps)
    return (h @ p["discriminator_head.prediction.weight"].T + p["discriminator_head.prediction.bias"])[:, 0]


def draw(logits, uniform):
    """Inverse of the distribution function of softmax(logits) at ``uniform``."""
    total = 0.0
    probs = softmax(logits)
    for token, prob in enumerate(probs):
        total += prob
        if uniform < total:
            return token
    return len(probs) - 1


def masked_lm_loss(logits, originals):
    """Summed over masked positions: -log p(x_t | x_masked), equation 1."""
    return -sum(log(softmax(row)[token]) for row, token in zip(logits, originals, strict=True))


def z_loss(logits):
    """Summed over masked positions: the squared logarithm of what the softmax divides by (PaLM, section 5).

    logits: (K, V), of the generator.
    """
    return sum(log(sum(np.exp(row))) ** 2 for row in logits)


def policy_loss(logits, sampled, advantages):
    """Summed over masked positions: its gradient is -(R - b) grad log p_G(sampled token), appendix F."""
    rows = zip(logits, sampled, advantages, strict=True)
    return -sum(advantage * log(softmax(row)[token]) for row, token, advantage in rows)


def rewards(logits, replaced):
    """Each masked position: -log D where the sample is the original, else -log(1 - D), appendix F."""
    p_replaced = 1 / (1 + np.exp(-logits))
    return np.array([-log(p if wrong else 1 - p) for p, wrong in zip(p_replaced, replaced, strict=True)])


def baseline(states, p):
    """-log sigmoid(w h) at each masked position, appendix F."""
    z = states @ p["generator_baseline.weight"][0] + p["generator_baseline.bias"][0]
    return np.array([-log(1 / (1 + np.exp(-each))) for each in z])


def discriminator_loss(logits, replaced):
    """Summed over all positions of the row, equation 2."""
    loss = 0.0
    for score, is_replaced in zip(logits, replaced, strict=True):
        p_replaced = 1 / (1 + np.exp(-score))
        loss -= log(p_replaced) if is_replaced else log(1 - p_replaced)
    return loss


def main_logits(tokens, segments, real, p, heads, layers, rotary):
    """(T, V) scores of the main encoder of Replace MLM and All-Tokens MLM, section 3.4."""
    h = encoder(embed(tokens, segments, p), real, p, "discriminator", heads, layers, rotary)
    h = gelu(h @ p["language_head.dense.weight"].T + p["language_head.dense.bias"])
    h = layer_norm(h, p["language_head.layer_norm.weight"], p["language_head.layer_norm.bias"])
    return h @ p["embeddings.tokens.weight"].T + p["language_head.bias"]


def all_tokens_loss(logits, corrupted, originals, copied=None):
    """Summed over all positions of the row: D puts its weight on the input token, 1 - D on the softmax."""
    loss = 0.0
    for position, (row, read, original) in enumerate(zip(logits, corrupted, originals, strict=True)):
        probability = softmax(row)[original]
        if copied is not None:
            d = copied[position]
            probability = d * (read == original) + (1 - d) * probability
        loss -= log(probability)
    return loss


def draw_from(probs, uniform):
    """Inverse of a distribution function at ``uniform``."""
    total = 0.0
    for token, prob in enumerate(probs):
        total += prob
        if uniform < total:
            return token
    return len(probs) - 1


def noise_logits(tokens, segments, p, heads, layers, rotary):
    """(T, V) scores of Electric's two-tower cloze model: token t from those before it and those behind it."""
    length = len(tokens)
    upto = np.tril(np.ones((length, length), bool))
    embedded = embed(tokens, segments, p)
    left = encoder(embedded, upto, p, "noise_model.left", heads, layers, rotary)
    right = encoder(embedded, upto.T, p, "noise_model.right", heads, layers, rotary)
    nothing = np.zeros(left.shape[1])
    h = np.array(
        [
            np.concatenate([left[t - 1] if t > 0 else nothing, right[t + 1] if t + 1 < length else nothing])
            for t in range(length)
        ]
    )
    h = gelu(h @ p["noise_model.head.dense.weight"].T + p["noise_model.head.dense.bias"])
    h = layer_norm(h, p["noise_model.head.layer_norm.weight"], p["noise_model.head.layer_norm.bias"])
    return h @ p["embeddings.tokens.weight"].T + p["noise_model.head.bias"]


def noise_contrastive_loss(energies, noise_probs, is_noise):
    """Summed over the n positions of a row that can be noise, of which k are.

    -log P(where the token comes from), with (n - k) exp(-E) tokens of the text for k q of noise.
    energies: (n,); noise_probs: (n,) q of the tokens that stand there; is_noise: (n,) bool.
    """
    n, k, loss = len(energies), int(sum(is_noise)), 0.0
    for energy, q, noise in zip(energies, noise_probs, is_noise, strict=True):
        of_text, of_noise = (n - k) * np.exp(-energy), k * q
        loss -= log((of_noise if noise else of_text) / (of_text + of_noise))
    return loss
