"""Trainings that are recorded: one architecture, several seeds, learning curves, hardware.

Takes parameters; trains, evaluates and publishes to MLflow; gives summaries over the runs.
May import: common, config, data, evaluation, registry, training.
"""
