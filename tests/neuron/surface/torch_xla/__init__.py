"""Stands in for torch-xla on a CPU: see README.md beside it."""
