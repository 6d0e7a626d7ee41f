"""The inference server: pictures in, apparent expressions out, over HTTP and WebSocket.

Serves a bundle (`unveil export`) for a declared purpose. Stores no picture, no face and nothing
derived from one, except feedback if that is enabled. Command: ``unveil serve --purpose TEXT``. The
modules, in the order in which they handle a request:

==========================  ===================================================================
``connection_limits.py``    limits the connections and the time a client has for its request
``middleware.py``           checks host, origin, token, size and time of a body; adds headers
``admission_queue.py``      limits the pictures processed at once; further requests get 429
``app.py``                  the routes; ``stream.py``, ``inference.py``, ``feedback.py`` and
                            ``device.py`` have those for video, version 2 of the Open Inference
                            Protocol, user feedback and private mode; ``pages.py`` the web page,
                            the notice, the API documentation and the drawn samples
``prediction_pipeline.py``  bytes -> pixels -> faces -> answers
``decoder_pool.py``         processes (``decoder_worker.py``) that decode pictures and detect
                            faces; one that takes too long is killed
``batching.py``             one thread that runs the model on batches of waiting faces
``model_slot.py``           the active bundle; a newer one replaces it while the server runs
``drift.py``                measures how far recent faces differ from the training faces
``request_audit.py``        records purpose, changes of the bundle and counts per minute
==========================  ===================================================================

The server never imports TensorFlow, Keras, MLflow, Prefect or DVC.
May import: common, config, data, inference.
"""
