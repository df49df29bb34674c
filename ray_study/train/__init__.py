"""One run: what it costs, the order of its batches, the loop, and its checkpoints. Importing this loads nothing heavy."""
