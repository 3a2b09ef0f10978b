"""ftstudio_tokenizers."""
