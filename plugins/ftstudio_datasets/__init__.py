"""ftstudio_datasets."""
