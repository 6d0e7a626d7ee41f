"""Tracked trainings: the main job, one architecture, seeds, learning curves, search, hardware.

Takes parameters; trains, evaluates and publishes runs to MLflow; returns summaries over the runs.
May import: common, config, data, dataset, evaluation, inference, registry, rendering, training.
"""
