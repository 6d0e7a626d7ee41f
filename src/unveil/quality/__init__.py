"""Data quality: validation, datasheet, version diff and label audit.

Reads the manifest and the archive; writes the result of Great Expectations with Data Docs, a
datasheet, the differences between two versions, and the labels that are probably wrong.
May import: common, config, data, dataset, rendering, rules.
"""
