"""Tracked trainings: one architecture, several seeds, learning curves, hardware comparison.

Takes parameters; trains, evaluates and publishes runs to MLflow; returns summaries over the runs.
May import: common, config, dataset, evaluation, registry, training.
"""
