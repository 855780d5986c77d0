"""Hypothesis strategies that several test modules share.

What is drawn from a `random.Random` elsewhere (tests/foreign) is drawn from Hypothesis here, which
then makes a failing input small.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from hypothesis import HealthCheck, Phase, reject, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pipeline.files.record.base import FileRecord
from pipeline.files.record.datalist import Datalist
from pipeline.files.record.summary import Curve

T = TypeVar("T")


def quick(n_examples: int, *, shrinks: bool = True) -> settings:
    """Few examples, the same on every run and on every machine."""
    return settings(
        max_examples=n_examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if shrinks else ())),
        suppress_health_check=list(HealthCheck),
    )


def drawn_by(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    """What a function of a random source makes."""
    return sources().map(make)


def sources() -> st.SearchStrategy[Random]:
    """Random sources for tests/foreign."""
    return st.randoms(use_true_random=False, note_method_calls=False)


TEXTS = st.text(st.characters(exclude_categories=()), max_size=300)
"""Every text that Python can hold, halves of characters too."""


# --- records -------------------------------------------------------------------------------------

_WORDS = st.text(min_size=1, max_size=8)
_NUMBERS = st.floats(-1e30, 1e30)
_INTEGERS = st.integers(-(10**20), 10**20)
_JSON = st.recursive(
    st.none() | st.booleans() | _INTEGERS | _NUMBERS | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=5,
)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: _WORDS,
    int: _INTEGERS,
    float: _NUMBERS,
    bool: st.booleans(),
    types.NoneType: st.none(),
    Any: _JSON,
}


def _falling(values: list[float]) -> dict[str, float]:
    """Thresholds by their rates: the higher the rate, the lower the threshold."""
    return dict(zip(("0.001", "0.05", "0.5"), sorted(values, reverse=True), strict=False))


_RATES = st.lists(_NUMBERS, max_size=3).map(_falling)
_SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("MethodCalibration", "thresholds"): _RATES,
    ("CaseResult", "healthy_thresholds"): st.none() | _RATES,
    ("CaseResult", "p_value"): st.none() | st.floats(0, 1),
    ("OutputFile", "name"): st.sampled_from(("anomaly.nii.gz", "mask.nii.gz", "ä.nii")),
}
"""Fields that take less than their type says."""


def records(kind: type[FileRecord]) -> st.SearchStrategy[FileRecord]:
    """Records of a kind with any values that their types allow."""
    return typing.cast(st.SearchStrategy[FileRecord], _models(kind))


def _models(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    if kind is Curve:
        pairs = st.lists(st.tuples(_NUMBERS, _NUMBERS), max_size=3).map(
            lambda rows: tuple(zip(*rows, strict=True)) or ((), ())
        )
        return st.builds(
            lambda roc, pr: Curve(fpr=roc[0], tpr=roc[1], recall=pr[0], precision=pr[1]),
            pairs,
            pairs,
        )
    fields = {
        name: _field(kind.__name__, name, field.annotation)
        for name, field in kind.model_fields.items()
        if name != "schema_version"
    }
    if kind is Datalist:
        entry = typing.get_args(typing.get_type_hints(kind)["__pydantic_extra__"])[1]
        sections = st.dictionaries(
            st.sampled_from(("training", "validation", "test")), _of(entry), min_size=1
        )
        return sections.map(lambda parts: Datalist(**parts))
    return st.builds(functools.partial(_valid, kind), **fields)


def _field(kind: str, name: str, hint: Any) -> st.SearchStrategy[Any]:
    return _SPECIAL[kind, name] if (kind, name) in _SPECIAL else _of(hint)


def _valid(kind: type[BaseModel], /, **values: Any) -> BaseModel:
    """A record; values that only look right draw another one."""
    try:
        return kind(**values)
    except ValidationError:
        reject()


def _of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type as the fields of records state it."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return st.deferred(lambda: _models(hint))
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _of(inner[0])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*map(_of, inner))
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return st.lists(_of(inner[0]), max_size=2).map(tuple)
        return st.tuples(*map(_of, inner))
    if origin is dict:
        return st.dictionaries(_WORDS, _of(inner[1]), max_size=2)
    raise TypeError(f"no strategy for {hint}")


# --- a volume stored in some way -----------------------------------------------------------------


@dataclass(frozen=True)
class Storing:
    """How a volume of multiples of 4 in 0..1020 is stored, so that nothing of it is lost.

    Attributes:
        axes: the source axis that each stored axis is.
        flips: whether each stored axis runs the other way.
        before, after: layers of background around it, along the stored axes.
        dtype, slope, inter: of the stored numbers.
        version: 1 or 2 of NIfTI.
        order: ``<`` or ``>``.
        packed: whether with gzip.
        forms: codes of qform and sform.
        unit: of lengths, as NIfTI codes it: 1 metre, 2 millimetre, 3 micrometre.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    before: tuple[int, int, int] = (0, 0, 0)
    after: tuple[int, int, int] = (0, 0, 0)
    dtype: str = "f4"
    slope: float = 1.0
    inter: float = 0.0
    version: int = 1
    order: str = "<"
    packed: bool = False
    forms: tuple[int, int] = (1, 1)
    unit: int = 2

    def placed(self, data: np.ndarray, background: float) -> np.ndarray:
        """An array of the source grid on the stored grid, ``(X, Y, Z)``."""
        turned = data.transpose(self.axes)[tuple(slice(None, None, 1 - 2 * f) for f in self.flips)]
        rims = tuple(zip(self.before, self.after, strict=True))
        return np.pad(turned, rims, constant_values=background)

    def affine_of(self, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Affine ``(4, 4)`` of the stored grid, for one of a source grid of that shape."""
        # Stored index to source index.
        back = np.zeros((4, 4))
        back[3, 3] = 1.0
        for stored, source in enumerate(self.axes):
            flip, rim = self.flips[stored], self.before[stored]
            back[source, stored] = -1.0 if flip else 1.0
            back[source, 3] = shape[source] - 1 + rim if flip else -rim
        return affine @ back


_NUMBERS_STORED = (
    *(("f4", 1.0, 0.0), ("f8", 1.0, 0.0), ("i2", 1.0, 0.0), ("u2", 1.0, 0.0), ("i4", 1.0, 0.0)),
    *(("u1", 4.0, 0.0), ("i1", 4.0, 512.0), ("i2", 0.5, 0.0), ("f4", 2.0, -16.0), ("i8", 1.0, 0.0)),
    *(("f8", 0.25, 0.0), ("u4", 2.0, 0.0)),
)


@st.composite
def storings(draw: st.DrawFn) -> Storing:
    """Every way to store a volume that is accepted."""
    layers = st.tuples(*[st.integers(0, 3)] * 3)
    dtype, slope, inter = draw(st.sampled_from(_NUMBERS_STORED))
    return Storing(
        axes=draw(st.permutations(range(3)).map(tuple)),
        flips=draw(st.tuples(*[st.booleans()] * 3)),
        before=draw(layers),
        after=draw(layers),
        dtype=dtype,
        slope=slope,
        inter=inter,
        version=draw(st.sampled_from((1, 2))),
        order=draw(st.sampled_from("<>")),
        packed=draw(st.booleans()),
        forms=draw(st.sampled_from(((1, 1), (0, 1), (1, 0), (2, 4)))),
        unit=draw(st.sampled_from((1, 2, 3))),
    )
