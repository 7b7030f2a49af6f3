"""Tasks with a tag for every word."""

TAGGING = "token_classification"
