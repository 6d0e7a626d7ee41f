"""Champion promotion: checks of the candidate, comparison with the champion, release of its bundle.

Input: the best evaluated model and the current champion. Output: ``promotion.json``, the alias
``champion`` in the registry, and the bundle in ``data/07_bundle``.
May import: common, config, data, dataset, evaluation, export, inference, registry,
training.
"""
