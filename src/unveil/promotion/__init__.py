"""Which model becomes champion: the checks, the challenge, and the release of its bundle.

Takes the best evaluated model and the champion; gives ``promotion.json``, the alias in the registry
and the bundle in ``data/07_bundle``.
May import: common, config, data, evaluation, export, inference, registry, training.
"""
