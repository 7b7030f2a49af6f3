"""Scores of generated text: perplexity under a causal language model, diversity, accuracy of infilling."""
