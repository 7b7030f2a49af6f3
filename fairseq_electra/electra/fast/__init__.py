"""The same results, quicker."""
