"""Hyperparameter search: trials of one architecture with other parameters, by Optuna.

Takes the packed train and validation splits; the test split is never read. Writes
``data/11_sweeps/ARCH/NAME``: ``study.db`` (Optuna's study), ``trials.csv``, ``plot.png`` and
``recipe.diff``, a change of ``params.yaml``. Command: ``unveil sweep ARCH``.
"""
