"""The run: pre-train, train online, evaluate, checkpoint, resume."""
