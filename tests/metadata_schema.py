"""What `metadata.json` of a MONAI bundle must hold."""

from __future__ import annotations

TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "string", "pattern": r"^\d+\.\d+(\.\d+)*$"}
FORMAT = {
    "type": "object",
    "required": ["inputs", "outputs"],
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {
            "type": "object",
            "required": ["type", "num_channels", "spatial_shape", "dtype", "value_range"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "required": [
        *("schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version"),
        *("required_packages_version", "task", "description", "authors", "copyright", "name"),
        *("network_data_format", "intended_use", "data_source", "data_type", "references"),
    ],
    "properties": {
        **{name: TEXT for name in ("task", "description", "authors", "copyright", "intended_use")},
        **{name: NUMBER for name in ("version", "monai_version", "pytorch_version")},
        "required_packages_version": {"type": "object", "additionalProperties": NUMBER},
        "changelog": {"type": "object", "minProperties": 1, "additionalProperties": TEXT},
        "network_data_format": FORMAT,
        "volume_data_format": FORMAT,
    },
}
"""MONAI's specification in our words: the published schema cannot be had without a network."""
