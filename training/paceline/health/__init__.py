"""Whether a node is fit to train: checks, the runner that keeps them honest, and the agent that runs them all day."""
