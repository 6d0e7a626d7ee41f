"""A bundle and a picture -> faces, probabilities and a decision, without Keras.

Takes an exported bundle (ONNX) and images or video; gives boxes, tracks, class probabilities and
the answer at the bundle's threshold, as text, JSON lines, CSV or an annotated picture.
May import: common, data.
"""
