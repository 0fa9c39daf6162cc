"""Whom the agent tells how its node stands: one file per listener, all of the same shape (base.py)."""
