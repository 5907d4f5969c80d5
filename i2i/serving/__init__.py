"""HTTP service of translators: images, tensors and videos through loaded models, with a web page.

``work/`` loads models and runs requests through the runtime; ``web/`` is HTTP. :func:`i2i.serving.server.serve` starts
both.
"""
