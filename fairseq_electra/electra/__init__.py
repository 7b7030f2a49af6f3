"""ELECTRA as the paper has it, in PyTorch and NumPy alone."""
