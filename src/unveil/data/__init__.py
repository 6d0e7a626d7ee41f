"""Labelled face images -> manifest and packed arrays.

Takes an archive, a folder or a CSV; gives ``faces.zip``, one row per face in ``manifest.parquet``
and one uint8 array per split, with near duplicates, defects, splits and corrections applied.
May import: common, config, rules.
"""
