"""Data preparation: from labelled face images to a manifest and packed arrays.

Ingests an archive, a folder or a CSV into ``faces.zip``, writes one row per face to
``manifest.parquet`` and one uint8 array per split, with near duplicates, defects, splits and
corrections applied.
May import: common, config, dataset, rules.
"""
