"""Runs language models from plans that samp compiled.

>>> import samp
>>> model = samp.load("tiny.plan")
>>> print(model.generate("The parser reads", max_tokens=12))

A model may be used from any number of threads: while it computes, other Python threads run, and answers of several threads
advance token by token in turns. After ``os.fork`` the child loads the plan anew.
"""

from ._samp import Generated, Model, SampError, Stream, __version__, load

__all__ = ["Generated", "Model", "SampError", "Stream", "__version__", "load"]
