"""DICOM studies to NIfTI, results back to DICOM, archives."""
