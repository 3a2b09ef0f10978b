"""ftstudio_generators."""
