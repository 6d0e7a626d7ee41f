"""Bytes of pictures -> what their faces look like, over HTTP and WebSocket.

Takes a bundle (`unveil export`) and a declared purpose; keeps no picture, no face and nothing made
of one, but for feedback where that is wanted. Command: ``unveil serve --purpose TEXT``. From a
socket to an answer a request passes

=================  ==============================================================================
``connection.py``  how many connections there are, and how long one may take to say what it wants
``guard.py``       host, origin, token, size and time of a body; headers of every answer
``turnstile.py``   how many requests are worked on at once; one too many is told to come back
``app.py``         the routes, ``stream.py`` and ``inference.py`` those of video and of version 2
                   of the Open Inference Protocol, ``feedback.py`` that of what people say it was
``pipeline.py``    bytes -> pixels -> faces -> answers, by
``pool.py``        processes that decode and find faces (``worker.py``), killed when it takes long
``batching.py``    one thread that asks the model about all faces that wait, of
``live.py``        the bundle of now, which a better one replaces while it answers
``watch.py``       how far the faces of late are from those it was trained on
=================  ==============================================================================

The server never imports TensorFlow, Keras, MLflow, Prefect or DVC.
May import: common, config, data, inference.
"""
