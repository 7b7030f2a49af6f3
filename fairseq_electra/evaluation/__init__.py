"""Metrics and what they mean."""
