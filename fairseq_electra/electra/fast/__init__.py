"""Faster forms of what the files beside this folder compute, with the same results."""
