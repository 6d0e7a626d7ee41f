"""Is this data good enough to train on? Validation, datasheet, version diff, label noise.

Takes the manifest and the archive; gives Great Expectations' verdict and Data Docs, a datasheet,
the differences between two versions, and the labels that are probably wrong.
May import: common, config, data, rendering, rules.
"""
