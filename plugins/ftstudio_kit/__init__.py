"""ftstudio_kit."""
