"""DICOM studies made from a volume: classic and enhanced MR series, and what goes wrong with them.

``write_classic`` and ``write_enhanced`` cut a volume (with its NIfTI affine) into the slices of a
plane; `stored` are the whole numbers that they hold. Nothing here uses code of `pipeline`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

# Axes of an array in LPS+ that are columns, rows (True: downwards is backwards) and slices.
PLANES = {
    "axial": (0, (1, False), 2),
    "sagittal": (1, (2, True), 0),
    "coronal": (0, (2, True), 1),
}


@dataclasses.dataclass(frozen=True)
class Study:
    """A patient's visit."""

    patient_id: str = "P001"
    patient_name: str = "Doe^Jane"
    name: str = "study"

    @property
    def uid(self) -> str:
        return made_uid(self.patient_id, self.name)

    @property
    def frame_of_reference_uid(self) -> str:
        return made_uid(self.uid, "frame of reference")


@dataclasses.dataclass(frozen=True)
class Series:
    """What the headers say of a series; the values are of a usual FLAIR."""

    description: str = "t2_tirm_tra_dark-fluid"
    number: int = 5
    repetition_ms: float = 9000.0
    echo_ms: float = 90.0
    inversion_ms: float | None = 2500.0
    sequence: tuple[str, ...] = ("SE", "IR")
    contrast_agent: str = ""
    further: tuple[tuple[str, Any], ...] = ()

    def uid(self, study: Study) -> str:
        return made_uid(study.uid, f"{self.number} {self.description}")


FLAIR = Series()
T1 = Series("t1_mpr_sag", 2, 1900.0, 2.5, 900.0, ("GR", "IR"))
T1CE = Series("t1_se_tra post GD", 8, 550.0, 10.0, None, ("SE",), "Gadovist")
T2 = Series("t2_tse_tra", 4, 5000.0, 100.0, None, ("SE",))


def made_uid(*parts: str) -> str:
    """The same of the same parts."""
    return str(generate_uid(entropy_srcs=list(parts)))


def stored(data: np.ndarray) -> np.ndarray:
    """Volume as whole numbers 0 ... 32767: rounded, and scaled to 4000 where it has to be."""
    data = np.asarray(data, np.float64)
    data = data - min(0.0, float(data.min()))
    whole = float(np.abs(data - np.rint(data)).max()) < 1e-3
    if not whole or data.max() > 32767:
        data = data * (4000.0 / data.max())
    return np.rint(data).astype(np.uint16)


def cut(
    data: np.ndarray, affine: np.ndarray, plane: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slices ``(n, rows, columns)``, and affine (LPS+) of (column, row, slice) and its columns."""
    image = nib.Nifti1Image(stored(data), affine)
    target = nib.orientations.axcodes2ornt(("L", "P", "S"))
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.io_orientation(affine), target)
    )
    columns, (rows, backwards), slices = PLANES[plane]
    array = np.asarray(turned.dataobj)
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ turned.affine
    if backwards:
        array = np.flip(array, rows)
        to_lps = to_lps.copy()
        to_lps[:3, 3] += to_lps[:3, rows] * (array.shape[rows] - 1)
        to_lps[:3, rows] *= -1
    order = [columns, rows, slices]
    vectors = to_lps[:3, order]
    return np.transpose(array, (slices, rows, columns)), to_lps[:3, 3], vectors


def write_classic(
    folder: Path,
    data: np.ndarray,
    affine: np.ndarray,
    *,
    study: Study = Study(),
    series: Series = FLAIR,
    plane: str = "axial",
    shear_mm: float = 0.0,
    moved_mm: dict[int, float] | None = None,
    missing: Collection[int] = (),
    twice: Collection[int] = (),
    names: str = "IM{:04d}",
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> list[Path]:
    """One file a slice, in the folder; the paths in the order of the slices.

    Args:
        data: volume ``(X, Y, Z)``.
        affine: of its NIfTI.
        shear_mm: along the columns of the image from one slice to the next, as of a gantry tilt.
        moved_mm: slice to a shift of its position along the normal, as of a varying spacing.
        missing: slices that are not written.
        twice: slices that are written a second time, under another name and SOP instance UID.
        transfer_syntax: compressed ones need a plugin of pydicom.
    """
    slices, origin, vectors = cut(data, affine, plane)
    folder.mkdir(parents=True, exist_ok=True)
    spacing = np.linalg.norm(vectors, axis=0)
    units = vectors / spacing
    written = []
    for k, pixels in enumerate(slices):
        if k in missing:
            continue
        position = origin + k * vectors[:, 2] + k * shear_mm * units[:, 1]
        position = position + (moved_mm or {}).get(k, 0.0) * units[:, 2]
        for copy in range(1 + (k in twice)):
            uid = made_uid(series.uid(study), f"slice {k} copy {copy}")
            dataset = _image(study, series, MRImageStorage, uid)
            dataset.InstanceNumber = k + 1
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
            _geometry(dataset, position, units, spacing)
            _timing(dataset, series)
            _set_pixels(dataset, pixels)
            _set_further(dataset, series)
            path = folder / (names.format(k + 1) + ("" if not copy else f"_copy{copy}"))
            _save(dataset, path, transfer_syntax)
            written.append(path)
    return written


def write_enhanced(
    path: Path,
    data: np.ndarray,
    affine: np.ndarray,
    *,
    study: Study = Study(),
    series: Series = FLAIR,
    plane: str = "axial",
    missing: Collection[int] = (),
    backwards: bool = False,
) -> Path:
    """One Enhanced MR Image object; ``backwards``: its first frame is the last slice."""
    slices, origin, vectors = cut(data, affine, plane)
    path.parent.mkdir(parents=True, exist_ok=True)
    spacing = np.linalg.norm(vectors, axis=0)
    units = vectors / spacing
    kept = [k for k in range(len(slices)) if k not in missing]
    kept = kept[::-1] if backwards else kept
    uid = made_uid(series.uid(study), "enhanced")
    dataset = _image(study, series, EnhancedMRImageStorage, uid)
    _enhanced_header(dataset, series)
    _set_pixels(dataset, slices[kept])
    dataset.SharedFunctionalGroupsSequence = [_shared_groups(series, units, spacing)]
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame_groups(number, k + 1, origin + k * vectors[:, 2])
        for number, k in enumerate(kept, start=1)
    ]
    _set_further(dataset, series)
    _save(dataset, path)
    return path


def write_localiser(folder: Path, *, study: Study = Study(), number: int = 1) -> list[Path]:
    """Three single slices, one a plane."""
    data = np.zeros((64, 64, 64)) + np.arange(64)[:, None, None]
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -126.0
    series = Series("localizer", number, 20.0, 5.0, None, ("GR",))
    paths = []
    for plane in PLANES:
        rest = [k for k in range(64) if k != 32]
        paths += write_classic(
            folder, data, affine, study=study, series=series, plane=plane, missing=rest,
            names="LOC_" + plane + "_{:04d}",
        )  # fmt: skip
    for i, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        dataset.InstanceNumber = i + 1
        dataset.SOPInstanceUID = made_uid(series.uid(study), f"localizer {i}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path, enforce_file_format=True)
    return paths


def write_screenshot(path: Path, *, study: Study = Study()) -> Path:
    """A secondary capture, as viewers leave it."""
    series = Series("Screenshot", 99, 1.0, 1.0, None, ("RM",))
    uid = made_uid(series.uid(study), "screenshot")
    dataset = _image(study, series, SecondaryCaptureImageStorage, uid)
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.InstanceNumber = 1
    del dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator
    dataset.PatientOrientation = ""
    _set_pixels(dataset, np.full((32, 32), 7, np.uint16))
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(dataset, path)
    return path


# --- parts of a header ----------------------------------------------------------------------------


def _image(study: Study, series: Series, sop_class: str, uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.PatientName, dataset.PatientID = study.patient_name, study.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "19500101", "O"
    dataset.StudyInstanceUID, dataset.StudyID = study.uid, "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "A1", "Who^Doctor"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = (
        "20240102"
    )
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = (
        "101112"
    )
    dataset.SeriesInstanceUID, dataset.SeriesNumber = series.uid(study), series.number
    dataset.SeriesDescription = dataset.ProtocolName = series.description
    dataset.Modality = "MR"
    dataset.Manufacturer, dataset.ManufacturerModelName = "anomap tests", "made"
    dataset.InstitutionName, dataset.DeviceSerialNumber = "nowhere", "1"
    dataset.SoftwareVersions = "1"
    dataset.FrameOfReferenceUID = study.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    dataset.BodyPartExamined, dataset.PatientPosition = "BRAIN", "HFS"
    if series.contrast_agent:
        dataset.ContrastBolusAgent = series.contrast_agent
    return dataset


def _geometry(
    dataset: Dataset, position: np.ndarray, units: np.ndarray, spacing: np.ndarray
) -> None:
    dataset.ImagePositionPatient = _decimals(position)
    dataset.ImageOrientationPatient = _decimals([*units[:, 0], *units[:, 1]])
    dataset.PixelSpacing = _decimals([spacing[1], spacing[0]])
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimals([spacing[2]])[0]
    dataset.SliceLocation = _decimals([float(position @ np.cross(units[:, 0], units[:, 1]))])[0]


def _timing(dataset: Dataset, series: Series) -> None:
    dataset.ScanningSequence = list(series.sequence)
    dataset.SequenceVariant, dataset.ScanOptions = ["SK"], ""
    dataset.MRAcquisitionType, dataset.EchoTrainLength = "2D", 1
    dataset.RepetitionTime, dataset.EchoTime = series.repetition_ms, series.echo_ms
    if series.inversion_ms is not None:
        dataset.InversionTime = series.inversion_ms
    dataset.MagneticFieldStrength, dataset.FlipAngle = 3.0, 90.0
    dataset.ImagingFrequency, dataset.EchoNumbers = 123.2, 1
    dataset.AcquisitionNumber = 1


def _set_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    """Frames ``([n,] rows, columns)`` of 16 bits."""
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.ascontiguousarray(pixels, "<u2").tobytes()


def _set_further(dataset: Dataset, series: Series) -> None:
    for key, value in series.further:
        if value is None:
            dataset.pop(key, None)
        else:
            setattr(dataset, key, value)


def _decimals(values: Sequence[float] | np.ndarray) -> list[pydicom.valuerep.DSfloat]:
    return [pydicom.valuerep.DSfloat(float(v), auto_format=True) for v in values]


def _save(dataset: FileDataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> None:
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


# --- of enhanced objects --------------------------------------------------------------------------


def _enhanced_header(dataset: FileDataset, series: Series) -> None:
    dataset.InstanceNumber = 1
    dataset.AcquisitionDateTime = "20240102101112"
    dataset.AcquisitionDuration, dataset.AcquisitionNumber = 60.0, 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.PixelPresentation, dataset.VolumetricProperties = "MONOCHROME", "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "NONE"
    dataset.ComplexImageComponent, dataset.AcquisitionContrast = "MAGNITUDE", _contrast(series)
    dataset.ContentQualification, dataset.ResonantNucleus = "RESEARCH", "1H"
    dataset.KSpaceFiltering, dataset.MagneticFieldStrength = "NONE", 3.0
    dataset.ApplicableSafetyStandardAgency = "IEC"
    dataset.PulseSequenceName, dataset.MRAcquisitionType = "*tir2d1", "2D"
    inverted = series.inversion_ms is not None
    dataset.InversionRecovery = "YES" if inverted else "NO"
    dataset.EchoPulseSequence = "GRADIENT" if "GR" in series.sequence else "SPIN"
    dataset.MultipleSpinEcho = dataset.MultiPlanarExcitation = "NO"
    dataset.PhaseContrast = dataset.TimeOfFlightContrast = "NO"
    dataset.SteadyStatePulseSequence, dataset.EchoPlanarPulseSequence = "NONE", "NO"
    dataset.SpectrallySelectedSuppression, dataset.SaturationRecovery = "NONE", "NO"
    dataset.OversamplingPhase, dataset.GeometryOfKSpaceTraversal = "NONE", "RECTILINEAR"
    dataset.SegmentedKSpaceTraversal, dataset.RectilinearPhaseEncodeReordering = (
        "SINGLE",
        "LINEAR",
    )
    dataset.KSpaceFiltering, dataset.BurnedInAnnotation = "NONE", "NO"
    dataset.LossyImageCompression, dataset.PresentationLUTShape = "00", "IDENTITY"
    dataset.NumberOfKSpaceTrajectories = 1
    if series.contrast_agent:
        agent = Dataset()
        agent.CodeValue, agent.CodingSchemeDesignator = "C-17800", "SRT"
        agent.CodeMeaning = series.contrast_agent
        agent.ContrastBolusAgentNumber = 1
        agent.ContrastBolusVolume = None
        agent.ContrastBolusIngredientCodeSequence = DicomSequence([])
        agent.ContrastBolusIngredientConcentration = None
        agent.ContrastBolusAdministrationRouteSequence = _item(
            CodeValue="47625008", CodingSchemeDesignator="SCT", CodeMeaning="Intravenous route"
        )
        dataset.ContrastBolusAgentSequence = DicomSequence([agent])
        del dataset.ContrastBolusAgent
    organisation = Dataset()
    organisation.DimensionOrganizationUID = made_uid(dataset.SOPInstanceUID, "dimensions")
    dataset.DimensionOrganizationSequence = DicomSequence([organisation])
    index = Dataset()
    index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
    index.DimensionIndexPointer = pydicom.tag.Tag("InStackPositionNumber")
    index.FunctionalGroupPointer = pydicom.tag.Tag("FrameContentSequence")
    stack = Dataset()
    stack.DimensionOrganizationUID = organisation.DimensionOrganizationUID
    stack.DimensionIndexPointer = pydicom.tag.Tag("StackID")
    stack.FunctionalGroupPointer = pydicom.tag.Tag("FrameContentSequence")
    dataset.DimensionIndexSequence = DicomSequence([stack, index])
    dataset.AcquisitionContextSequence = DicomSequence([])


def _contrast(series: Series) -> str:
    if series.inversion_ms is not None and series.echo_ms > 50:
        return "FLUID_ATTENUATED"
    return "T2" if series.echo_ms > 50 else "T1"


def _item(**values: Any) -> DicomSequence:
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    return DicomSequence([item])


def _shared_groups(series: Series, units: np.ndarray, spacing: np.ndarray) -> Dataset:
    groups = Dataset()
    groups.PixelMeasuresSequence = _item(
        PixelSpacing=_decimals([spacing[1], spacing[0]]),
        SliceThickness=_decimals([spacing[2]])[0],
        SpacingBetweenSlices=_decimals([spacing[2]])[0],
    )
    groups.PlaneOrientationSequence = _item(
        ImageOrientationPatient=_decimals([*units[:, 0], *units[:, 1]])
    )
    groups.FrameAnatomySequence = _item(
        FrameLaterality="U",
        AnatomicRegionSequence=_item(
            CodeValue="12738006", CodingSchemeDesignator="SCT", CodeMeaning="Brain"
        ),
    )
    groups.PixelValueTransformationSequence = _item(
        RescaleIntercept=0, RescaleSlope=1, RescaleType="US"
    )
    groups.FrameVOILUTSequence = _item(WindowCenter=500, WindowWidth=1000)
    groups.MRImageFrameTypeSequence = _item(
        FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast=_contrast(series),
    )
    groups.MRTimingAndRelatedParametersSequence = _item(
        RepetitionTime=series.repetition_ms,
        FlipAngle=90.0,
        EchoTrainLength=1,
        RFEchoTrainLength=1,
        GradientEchoTrainLength=0,
        SpecificAbsorptionRateSequence=_item(
            SpecificAbsorptionRateDefinition="IEC_HEAD", SpecificAbsorptionRateValue=0.1
        ),
        GradientOutputType="DB_DT",
        GradientOutput=1.0,
        OperatingModeSequence=_item(OperatingModeType="STATIC FIELD", OperatingMode="IEC_NORMAL"),
    )
    groups.MREchoSequence = _item(EffectiveEchoTime=series.echo_ms)
    modifier: dict[str, Any] = {
        "InversionRecovery": "YES" if series.inversion_ms is not None else "NO",
        "FlowCompensation": "NONE",
        "Spoiling": "NONE",
        "T2Preparation": "NO",
        "SpectrallySelectedExcitation": "NONE",
        "SpatialPresaturation": "NONE",
        "PartialFourier": "NO",
        "ParallelAcquisition": "NO",
    }
    if series.inversion_ms is not None:
        modifier["InversionTimes"] = [series.inversion_ms]
    groups.MRModifierSequence = _item(**modifier)
    groups.MRImagingModifierSequence = _item(
        MagnetizationTransfer="NONE",
        BloodSignalNulling="NO",
        Tagging="NONE",
        TransmitterFrequency=123.2,
        PixelBandwidth=100.0,
    )
    groups.MRReceiveCoilSequence = _item(
        ReceiveCoilName="HEAD",
        ReceiveCoilManufacturerName="",
        ReceiveCoilType="VOLUME",
        QuadratureReceiveCoil="NO",
    )
    groups.MRTransmitCoilSequence = _item(
        TransmitCoilName="BODY", TransmitCoilManufacturerName="", TransmitCoilType="BODY"
    )
    groups.MRAveragesSequence = _item(NumberOfAverages=1)
    groups.MRFOVGeometrySequence = _item(
        InPlanePhaseEncodingDirection="ROW",
        MRAcquisitionFrequencyEncodingSteps=64,
        MRAcquisitionPhaseEncodingStepsInPlane=64,
        PercentSampling=100.0,
        PercentPhaseFieldOfView=100.0,
    )
    if series.contrast_agent:
        groups.ContrastBolusUsageSequence = _item(
            ContrastBolusAgentNumber=1,
            ContrastBolusAgentAdministered="YES",
            ContrastBolusAgentDetected="YES",
        )
    return groups


def _frame_groups(number: int, place: int, position: np.ndarray) -> Dataset:
    groups = Dataset()
    groups.FrameContentSequence = _item(
        StackID="1",
        InStackPositionNumber=place,
        DimensionIndexValues=[1, place],
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime="20240102101112",
        FrameAcquisitionDateTime="20240102101112",
        FrameAcquisitionDuration=100.0,
    )
    groups.PlanePositionSequence = _item(ImagePositionPatient=_decimals(position))
    return groups
