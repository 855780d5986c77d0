"""Numbers to the coordinates of small charts; ``assets/charts.svg.j2`` draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.files.record.summary import Mean

WIDTH, HEIGHT = 440, 330
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 12, 46
ROW_HEIGHT, LABEL_WIDTH = 30, 132
"""Of charts with a row a method: the names stand left of the area."""
VOXEL_NOTE = (
    "Numbers: the area, all voxels of all cases pooled; AUROC and AUPRC of the table are means "
    "over cases."
)


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from values to pixels; the low end lies at ``start``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; values beyond the ends lie at the ends."""
        low, high, value = (
            (math.log10(max(v, 1e-9)) if self.log else v) for v in (self.low, self.high, value)
        )
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Pixel and text of the ticks."""
        if self.log:
            first, last = (math.ceil(math.log10(v) - 1e-9) for v in (self.low, self.high))
            values = [10.0**power for power in range(first, last + 1) if 10**power <= self.high]
        else:
            step = _nice((self.high - self.low) / 5)
            count = int((self.high - self.low) / step + 1e-9)
            values = [self.low + i * step for i in range(count + 1)]
        return [(self(value), f"{value:g}") for value in (round(v, 6) for v in values)]


def _nice(step: float) -> float:
    """The least of 1, 2, 5, 10 ... times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * 0.999)


@dataclass(frozen=True)
class CaseValue:
    """A number of a case; ``case`` is its index in the viewer, None where it is not there."""

    name: str
    value: float
    case: int | None = None


@dataclass(frozen=True)
class SizeMean:
    """Mean Dice of ``n`` tumours of a range of volumes in millilitres; None where undefined."""

    low_ml: float
    high_ml: float
    mean: float | None
    n: int


@dataclass(frozen=True)
class Dot:
    """A case at a pixel; ``case`` as of `CaseValue`."""

    x: float
    y: float
    title: str
    case: int | None = None


@dataclass(frozen=True)
class Line:
    """A polyline in the colour of series ``series``."""

    points: str
    series: int
    title: str


@dataclass(frozen=True)
class Bar:
    """A mean, a horizontal stroke from x1 to x2 at y; ``text`` stands above it."""

    x1: float
    x2: float
    y: float
    text: str = ""


@dataclass(frozen=True)
class Row:
    """A method: dots of its cases, its mean, and the ends of the interval."""

    y: float
    name: str
    series: int
    mean: float | None
    interval: tuple[float, float] | None
    dots: tuple[Dot, ...]
    text: str


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        description: the text alternative.
        legend: series number, name and value of each line.
    """

    title: str
    description: str
    x_title: str
    x_ticks: Sequence[tuple[float, str]]
    y_title: str = ""
    y_ticks: Sequence[tuple[float, str]] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()
    bars: Sequence[Bar] = ()
    rows: Sequence[Row] = ()
    legend: Sequence[tuple[int, str, str]] = field(default=())
    height: int = HEIGHT
    left: int = LEFT
    note: str = ""

    @property
    def right(self) -> int:
        """Right end of the area."""
        return WIDTH - RIGHT

    @property
    def bottom(self) -> int:
        """Lower end of the area."""
        return self.height - BOTTOM


def curve_chart(
    title: str,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    areas: Mapping[str, float | None],
    *,
    x_title: str,
    y_title: str,
    of_images: bool = False,
) -> Chart | None:
    """Curves in the unit square, the first drawn last; None where there is none.

    Args:
        curves: name -> x and y, in [0, 1].
        areas: name -> what the legend says.
        of_images: the curves count whole images, not voxels.
    """
    x, y = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, HEIGHT - BOTTOM, TOP)
    lines, legend = [], []
    for i, (name, (xs, ys)) in enumerate(curves.items()):
        if not xs:
            continue
        points = " ".join(f"{x(a)},{y(b)}" for a, b in zip(xs, ys, strict=True))
        lines.append(Line(points, i, name))
        area = areas.get(name)
        legend.append((i, name, "-" if area is None else f"{area:.3f}"))
    if not lines:
        return None
    return Chart(
        title,
        f"{title} over all {'images' if of_images else 'brain voxels'}. Area: "
        + "; ".join(f"{n} {v}" for _, n, v in legend),
        x_title,
        x.ticks(),
        y_title,
        y.ticks(),
        lines=lines[::-1],
        legend=legend,
        note="" if of_images else VOXEL_NOTE,
    )


def size_chart(
    dices: Sequence[CaseValue],
    volumes_ml: Mapping[str, float],
    strata: Sequence[SizeMean],
    *,
    y_title: str,
) -> Chart | None:
    """Dice against lesion volume on a logarithmic axis; None without a lesion.

    Args:
        dices: of each case, in [0, 1].
        volumes_ml: name of a case -> volume of its lesion, 0 where it is healthy.
        strata: drawn as bars where they are defined.
    """
    ill = [d for d in dices if math.isfinite(d.value) and volumes_ml[d.name] > 0]
    if not ill:
        return None
    x = _volume_scale([volumes_ml[dice.name] for dice in ill])
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    means = "; ".join(
        f"from {s.low_ml:g} mL {s.mean:.2f}, n = {s.n}" for s in strata if s.mean is not None
    )
    return Chart(
        "Dice by lesion size",
        f"{y_title} of each tumour against its volume. Means: {means}",
        "lesion volume, mL",
        x.ticks(),
        y_title,
        y.ticks(),
        dots=[_size_dot(dice, volumes_ml[dice.name], x, y) for dice in ill],
        bars=_size_bars(strata, x, y),
    )


def _size_bars(strata: Sequence[SizeMean], x: Scale, y: Scale) -> list[Bar]:
    return [
        Bar(x(s.low_ml), x(min(s.high_ml, x.high)), y(s.mean), f"{s.mean:.2f} (n = {s.n})")
        for s in strata
        if s.mean is not None and s.n
    ]


def _volume_scale(volumes_ml: Sequence[float]) -> Scale:
    """Whole powers of ten around the volumes."""
    low = 10.0 ** math.floor(math.log10(min(volumes_ml)))
    high = max(10.0 ** math.ceil(math.log10(max(volumes_ml))), 10 * low)
    return Scale(low, high, LEFT, WIDTH - RIGHT, log=True)


def _size_dot(dice: CaseValue, volume_ml: float, x: Scale, y: Scale) -> Dot:
    title = f"{dice.name}: {volume_ml:.1f} mL, Dice {dice.value:.3f}"
    return Dot(x(volume_ml), y(dice.value), title, dice.case)


def row_chart(
    title: str,
    values: Mapping[str, Sequence[CaseValue]],
    means: Mapping[str, Mean],
    *,
    x_title: str,
    x_high: float | None = None,
) -> Chart | None:
    """A row a method: a dot a case, the mean and its interval; None where nothing is defined.

    Args:
        values: method -> a value of each case, >= 0.
        means: method -> mean, and its interval.
        x_high: upper end of the axis; None takes the highest value.
    """
    values = {m: [v for v in vs if math.isfinite(v.value)] for m, vs in values.items()}
    if not any(values.values()):
        return None
    top = max(one.value for vs in values.values() for one in vs)
    height = TOP + ROW_HEIGHT * len(values) + BOTTOM
    x = Scale(0, x_high or max(top * 1.03, 1e-6), LABEL_WIDTH, WIDTH - RIGHT)
    rows = [
        _row(i, name, own, means.get(name, Mean(mean=None)), x)
        for i, (name, own) in enumerate(values.items())
    ]
    return Chart(
        title,
        f"{title}, mean and 95 % interval: " + "; ".join(f"{row.name} {row.text}" for row in rows),
        x_title,
        x.ticks(),
        rows=rows,
        height=height,
        left=LABEL_WIDTH,
    )


def _row(i: int, name: str, cases: Sequence[CaseValue], mean: Mean, x: Scale) -> Row:
    y = TOP + ROW_HEIGHT * (i + 0.5)
    text = "-" if mean.mean is None else f"{mean.mean:.3g}"
    ends = _ends(mean)
    if ends is not None:
        text += f" [{ends[0]:.3g}, {ends[1]:.3g}]"
    return Row(
        y,
        name,
        i,
        None if mean.mean is None else x(mean.mean),
        None if ends is None else (x(ends[0]), x(ends[1])),
        tuple(Dot(x(c.value), y, f"{name}, {c.name}: {c.value:.3g}", c.case) for c in cases),
        text,
    )


def _ends(mean: Mean) -> tuple[float, float] | None:
    """Both ends of the interval, None where one is undefined."""
    low, high = mean.ci95 or (None, None)
    return None if low is None or high is None else (low, high)
