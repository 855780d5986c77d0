"""Which formats are read, and what to do with those that are not; names alone are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
PAIR_SUFFIXES, IMG_SUFFIXES = (".hdr", ".hdr.gz"), (".img", ".img.gz")
"""Header and voxels of NIfTI in two files; the header stands for the image."""
MGH_SUFFIXES = (".mgz", ".mgh", ".mgh.gz")
DETACHED_SUFFIXES = (".mhd", ".nhdr")
"""Text headers that name the file of their voxels."""
ITK_SUFFIXES = (".mha", ".nrrd", *DETACHED_SUFFIXES)
VOLUME_SUFFIXES = (
    *(*NIFTI_SUFFIXES, *PAIR_SUFFIXES, *IMG_SUFFIXES),
    *(*MGH_SUFFIXES, *ITK_SUFFIXES),
)
ONE_FILE_SUFFIXES = (*NIFTI_SUFFIXES[::-1], ".mgz", ".mgh", ".mha", ".nrrd")

_SAVE = "save it as .nii.gz"
DICOM_ADVICE = "DICOM: for detect or anomap convert"
_ARCHIVE = "an archive: unpack it"
_COMPRESSED = "not compressed by gzip: unpack it, .nii and .nii.gz are read"

UNREAD: Mapping[str, str] = {
    **dict.fromkeys((".dcm", ".ima", ".dcm.gz", ".dicom"), DICOM_ADVICE),
    **dict.fromkeys((".mnc", ".mnc.gz", ".mnc2"), "MINC: convert with mnc2nii x.mnc x.nii"),
    **dict.fromkeys((".head", ".brik", ".brik.gz"), "AFNI: convert with 3dAFNItoNIFTI"),
    **dict.fromkeys((".par", ".rec"), "Philips PAR/REC: convert with dcm2niix"),
    **dict.fromkeys((".nii.bz2", ".nii.xz", ".nii.zst", ".nii.lz4", ".nii.zip"), _COMPRESSED),
    ".zip": "an archive: unpack it, or where it is of a DICOM study: anomap convert",
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".7z", ".rar"), _ARCHIVE),
    ".bmp": "BMP: save it as PNG",
    ".gif": "GIF: save it as PNG",
    ".webp": "WebP: save it as PNG",
    **dict.fromkeys((".jp2", ".j2k"), "JPEG 2000: save it as PNG"),
    **dict.fromkeys((".tsv.gz", ".csv.gz", ".txt.gz", ".json.gz", ".log.gz"), ""),
    ".gz": "compressed, and no name of NIfTI: if it is NIfTI, call it .nii.gz",
}
"""Endings of images that are reported rather than read, lower case, with the remedy; "" is of no
image."""


def is_volume(path: Path) -> bool:
    """Whether the name says that it is a volume of a format that is read."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def is_picture(path: Path) -> bool:
    """Whether the name says that it is a 2-D picture: PNG, JPEG or TIFF."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def advice_for(path: Path) -> str | None:
    """What to do with an image that is not read, by its longest ending that is known.

    None for what is read and for names that say nothing; "" for those of no image.
    """
    if is_volume(path) or is_picture(path):
        return None
    name = path.name.lower()
    endings = ["." + ".".join(name.split(".")[i:]) for i in range(1, name.count(".") + 1)]
    return next((UNREAD[ending] for ending in endings if ending in UNREAD), None)


def without_suffix(name: str) -> str:
    """A file's name without the ending of its format, where that is one that is read."""
    for suffix in _LONGEST_FIRST:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


_LONGEST_FIRST = sorted((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES), key=len, reverse=True)
