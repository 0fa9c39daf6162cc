"""What is deployed together: one file per stack, split by lifecycle and blast radius."""
