"""Mask, map and summary of a case as DICOM objects: SEG, parametric map, secondary capture."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import __version__
from pipeline.dicom.convert import require
from pipeline.dicom.results.source import Source

MAKER, MODEL = "anomap", "anomap"
SERIAL = "none"
SERIES_NUMBERS = {"seg": 9001, "map": 9002, "summary": 9003}
"""Far above those of scanners, so that results stand at the end of a study."""
LABEL, BODY_PART = "anomaly", "BRAIN"
WARNING = "Research only; not a medical device."


def made_uid(kind: str, source: Source, content: str) -> str:
    """The same identity for the same result of the same series, so that a repeat stores no double.

    Args:
        kind: of object, ``series`` or instance.
        source: the series that it is of.
        content: hash of what it shows.
    """
    uid = require("pydicom.uid")
    words = [MAKER, __version__, kind, source.record.series_uid, content]
    return str(uid.generate_uid(entropy_srcs=words))


def segmentation(mask: np.ndarray, source: Source, content: str) -> Any:
    """A binary DICOM SEG of a mask.

    One segment: category "morphologically abnormal structure" (SCT 49755003), type "lesion" (SCT
    52988006), in the brain (SCT 12738006), found by an automatic algorithm.

    Args:
        mask: ``(slices, rows, columns)`` bool, on the slices of the series.
        source: the series.
        content: hash of the mask, for its identity.

    Returns:
        A pydicom dataset.
    """
    hd = require("highdicom")
    codes = require("pydicom.sr.codedict").codes
    algorithm = hd.AlgorithmIdentificationSequence(
        name=MAKER, family=codes.cid7162.ArtificialIntelligence, version=__version__
    )
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=LABEL,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        anatomic_regions=[codes.SCT.Brain],
        tracking_uid=made_uid("segment", source, content),
        tracking_id=LABEL,
    )
    return hd.seg.Segmentation(
        source_images=list(source.datasets),
        pixel_array=mask.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        omit_empty_frames=bool(mask.any()),
        content_label="ANOMALY",
        content_description="Where the map is above its threshold",
        **_common("seg", source, content),
        series_description="anomap: mask",
    )


def parametric_map(anomaly_map: np.ndarray, cut: float | None, source: Source, content: str) -> Any:
    """A floating-point DICOM parametric map.

    Args:
        anomaly_map: ``(slices, rows, columns)`` float32, >= 0, higher = more anomalous.
        cut: value from which it is in the mask, for the window; None takes the highest value.
        source: the series.
        content: hash of the map, for its identity.

    Returns:
        A pydicom dataset.
    """
    hd = require("highdicom")
    codes = require("pydicom.sr.codedict").codes
    highest = max(float(anomaly_map.max()), 1e-6)
    top = min(highest, 2 * cut) if cut else highest
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="ANOMALY",
        lut_explanation="Anomaly map of anomap, relative to the rest of the brain",
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, highest),
        slope=1.0,
        intercept=0.0,
    )
    window = hd.VOILUTTransformation(
        window_center=top / 2, window_width=top, voi_lut_function="LINEAR_EXACT"
    )
    made = hd.pm.ParametricMap(
        source_images=list(source.datasets),
        pixel_array=anomaly_map.astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="ANOMALY",
        content_description="Higher is more anomalous",
        **_common("map", source, content),
        series_description="anomap: map",
    )
    made.BodyPartExamined = BODY_PART
    return made


def summary(picture: np.ndarray, source: Source, content: str) -> Any:
    """A secondary capture of a page.

    Args:
        picture: ``(rows, columns, 3)`` uint8.
        source: the series.
        content: hash of the page, for its identity.

    Returns:
        A pydicom dataset.
    """
    hd = require("highdicom")
    common = _common("summary", source, content)
    for key in ("manufacturer_model_name", "software_versions", "device_serial_number"):
        del common[key]
    made = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=source.datasets[0],
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **common,
    )
    made.PatientOrientation = None
    made.BodyPartExamined = BODY_PART
    made.SeriesDescription = "anomap: summary"
    made.ImageComments = WARNING
    made.SoftwareVersions = __version__
    made.BurnedInAnnotation = "NO"
    return made


def _common(kind: str, source: Source, content: str) -> dict[str, Any]:
    return {
        "series_instance_uid": made_uid(f"{kind} series", source, content),
        "series_number": SERIES_NUMBERS[kind],
        "sop_instance_uid": made_uid(kind, source, content),
        "instance_number": 1,
        "manufacturer": MAKER,
        "manufacturer_model_name": MODEL,
        "software_versions": __version__,
        "device_serial_number": SERIAL,
    }
