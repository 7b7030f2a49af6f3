"""Text from a masked language model: prompted, unconditional, and filled into gaps."""
