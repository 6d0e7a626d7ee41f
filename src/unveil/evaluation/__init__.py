"""A trained network and the test split -> metrics with intervals, plots, ranking, explanations.

Takes ``model.keras`` and packed faces; gives ``metrics.json``, predictions, calibration, slices,
fairness, the comparison of all networks, and saliency maps.
May import: common, config, data, networks, quality, rendering, training.
"""
