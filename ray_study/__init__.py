"""Scaling studies of reasoning SFT on Ray. Importing this loads nothing heavy."""

__version__ = "0.1.0"
