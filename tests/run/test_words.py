"""What a user may say is what there is."""

from __future__ import annotations

from pipeline.detection.methods import choice
from pipeline.detection.methods.table import LADDER, METHODS, RAW_METHODS
from pipeline.noise.noises import Coarse, Gaussian, Mixed, Simplex
from pipeline.run import words
from pipeline.run.config import BOUNDS
from pipeline.run.presets import PRESETS
from pipeline.run.settings import to_dict


def test_methods_and_groups_are_those_of_the_tables() -> None:
    assert LADDER[:-1] == words.STEPS
    own = [name for name in METHODS if name not in (*LADDER[:-1], *RAW_METHODS)]
    assert set(words.METHODS) <= set(own)
    others = set(own) - set(words.METHODS)  # that other tests registered
    assert all(dict(METHODS[name].identity) for name in others)  # type: ignore[union-attr]
    assert all(choice._group(name) for name in words.GROUPS)
    assert {f"{name}_raw" for name in words.METHODS} <= set(RAW_METHODS)


def test_settings_presets_noises_and_rates_are_those_of_runs() -> None:
    tree = to_dict(PRESETS["tiny"])
    for section, keys in words.SETTINGS.items():
        inner = tree[section] if section else {k: v for k, v in tree.items() if k not in NESTED}
        assert set(inner) == set(keys), section
    assert {*words.SETTINGS, ""} == {*NESTED, ""}
    assert tuple(PRESETS) == words.PRESETS
    kinds = (Simplex, Gaussian, Coarse, Mixed)
    assert tuple(kind.__name__.lower() for kind in kinds) == words.NOISES
    low, high = min(words.FALSE_POSITIVE_RATES), max(words.FALSE_POSITIVE_RATES)
    assert BOUNDS["detection.false_positive_rate"] == (low, high)
    assert words.is_setting("diffusion.noise_parameters.octaves")
    assert words.is_setting("training.epochs")
    assert not words.is_setting("training.epoch")
    assert not words.is_setting("grid")


NESTED = ("grid", "diffusion", "training", "detection")
