"""Tests of the room for several labels of a text."""
