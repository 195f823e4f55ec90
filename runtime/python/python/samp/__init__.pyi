import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal, Optional, Union, overload

import numpy as np
import numpy.typing as npt

__all__ = ["Generated", "Model", "SampError", "Stream", "__version__", "load"]

__version__: str

Finish = Literal["stop", "length", "context_full", "cancelled"]
Prompt = Union[str, Sequence[Mapping[str, str]], Sequence[int]]

class SampError(RuntimeError):
    """What samp refuses or cannot do; the message says what to do about it."""

    code: Optional[str]
    """The code that ``samp explain`` knows, such as ``"E1301"``, if the error has one."""

class Generated:
    """A finished answer; ``str()`` of it is its text."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> list[int]:
        """The tokens, the one that ended it included."""
    @property
    def finish(self) -> Finish: ...
    @property
    def prompt_tokens(self) -> int: ...

class Stream(Iterator[str]):
    """An answer on its way: an iterator over pieces of text, never half a character."""

    def __iter__(self) -> Stream: ...
    def __next__(self) -> str: ...
    @property
    def tokens(self) -> list[int]:
        """The tokens so far."""
    @property
    def finish(self) -> Optional[Finish]:
        """Why it ended, once it has."""
    def close(self) -> None:
        """Ends it, and gives its room in the cache back. So does dropping it."""
    def __enter__(self) -> Stream: ...
    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None: ...

class Model:
    """A plan that is loaded on a device. Threads may share it."""

    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] | None = None,
        ignore_eos: bool = False,
        stream: Literal[False] = False,
    ) -> Generated: ...
    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] | None = None,
        ignore_eos: bool = False,
        stream: Literal[True],
    ) -> Stream: ...
    def logits(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits of the token after each of ``tokens``: float32, ``[tokens, vocab]``."""
    def encode(self, prompt: Prompt) -> list[int]:
        """The tokens of a text, with those that begin texts, or of a conversation by the chat template."""
    def decode(self, tokens: Sequence[int], *, skip_special: bool = True) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def max_context(self) -> int:
        """Most positions of a sequence."""
    @property
    def digest(self) -> str:
        """The plan's digest, which ``load`` can be asked to check."""

def load(
    plan: Union[str, os.PathLike[str]],
    *,
    device: Optional[str] = None,
    threads: Optional[int] = None,
    kv_tokens: Optional[int] = None,
    digest: Optional[str] = None,
) -> Model:
    """Opens a plan, checks every byte of it, and loads it on a device: by default the one that the plan is for.

    ``threads`` compute and belong to this model (one for each core); ``kv_tokens`` are the positions that the KV cache holds
    over all sequences (all that the plan's limits allow).
    """
