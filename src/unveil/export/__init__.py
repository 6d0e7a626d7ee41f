"""A registered model -> a bundle: ONNX networks, card, README, and a parity check against Keras.

Takes ``model.keras`` and its report; writes a folder that `unveil.inference` loads anywhere.
May import: common, config, dataset, evaluation, inference, networks, registry,
training.
"""
