"""Graphs that are compiled ahead of a run: what they are made from, where they lie, whether they are whole."""
