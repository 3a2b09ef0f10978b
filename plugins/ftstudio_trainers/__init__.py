"""ftstudio_trainers."""
