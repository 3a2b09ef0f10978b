"""ftstudio: a plugin-based studio for fine-tuning language models in a terminal."""

__version__ = "0.1.0"
