"""Every bound on what is read and asked for, once; ``docs/security.md`` lists them."""

from __future__ import annotations

MIB = 1 << 20

# Images: a small file must not take all memory.
MAX_VOXELS = 2**29
"""Of one volume, as its header announces it; 512 x 512 x 2048. The voxels then take 2 GiB."""
MAX_FILE_VOXELS = 2**33
"""Of all volumes of a 4-D file; only one of them is held."""
MAX_HEADER_BYTES = 2**26
"""Before the voxels: a NIfTI header and its extensions."""
MAX_TRAILING_BYTES = 2**20
"""After the voxels that a header announces: some programs fill up the last block."""
MAX_DEFLATE_RATIO = 1100
"""No gzip stream unpacks to more than 1032 times its size; a header that says so is wrong."""
MAX_TEXT_HEADER_BYTES = 2**16
"""Of the header of a NRRD or MetaImage file."""
MAX_PICTURE_PIXELS = 2**26
"""Of one picture; 8192 x 8192."""

# DICOM studies, as folders or zips.
MAX_STUDY_FILES = 100_000
"""DICOM files of one path; a study has some thousand."""
MAX_STUDY_FILE_BYTES = 4096 * MIB
"""Of one DICOM file."""
MAX_STUDY_BYTES = 16_384 * MIB
"""Of all members of a zip, unpacked."""
MAX_FRAMES = 20_000
"""Of a multi-frame object; each has a header of its own."""
MAX_CONVERSION_SECONDS = 600
"""Of dcm2niix for one series."""

# Texts: records, configurations, tables.
MAX_RECORD_BYTES = 32 * MIB
"""Of a JSON file; in memory it takes some twenty times that."""
MAX_RECORD_DEPTH = 32
"""Of lists and objects inside each other, in JSON and YAML."""
MAX_NUMBER = 1e30
"""Of a number in a JSON file, either sign; no image, volume or count comes near."""
MAX_CONFIG_BYTES = MIB // 4
"""Of ``config.yaml``, which has some 2 kB."""
MAX_TABLE_BYTES = 64 * MIB
"""Of ``cases.csv`` and ``loss.csv``."""
MAX_QUOTED = 80
"""Characters of a value that a message repeats."""
MAX_REASON = 300
"""Characters of what a library says of a file that it cannot read."""

# Model files, of a run's folder and of a bundle.
MAX_WEIGHTS_BYTES = 1024 * MIB
"""Of ``model.pt``; the largest network has 0.3 GB."""
MAX_CHECKPOINT_BYTES = 8192 * MIB
"""Of ``last.pt``: a network four times, with its mean and the state of the optimizer."""
MAX_WEIGHTS_SHARE = 4
"""Of ``model.pt``, unpacked, in times the size of the network that it is for."""
MAX_ATLASES_BYTES = 512 * MIB
"""Of ``atlases.npz``, all arrays unpacked; shipped ones have 5 MB."""
MAX_ZIP_RATIO = 200
"""Of a member of a zip, unpacked over packed, from 1 MiB on."""

# A configuration: what a training or a detection may ask for.
MAX_TIMESTEPS = 100_000
"""Of the diffusion; its tables have one number for each."""
MAX_GRID_SIZE = 512
"""Pixels along a side of a slice of the working grid."""
MIN_SPACING_MM = 0.1
"""Of pixels and slices of the working grid."""
MAX_BATCH_PIXELS = 1 << 24
"""Of one step of a training: slices times pixels times modalities."""
MAX_EPOCHS = 1_000_000
"""Of a training."""
MAX_SLICES_PER_EPOCH = 10_000_000
"""Of a training."""
MAX_BATCH_SIZE = 4096
"""Slices of one step of a training."""
MAX_WORKERS = 256
"""Processes that load slices."""
MAX_DRAWS = 1000
"""Noise fields of a timestep."""
MAX_RECONSTRUCTIONS = 100
"""Timesteps of a detection."""
MAX_MODALITIES = 16
"""Channels of a network."""

# Findings.
MAX_FINDINGS = 50
"""Parts of a mask that are described one by one, the largest; the others are summed."""

# The app.
MAX_UPLOAD_MB = 300
"""Megabytes of a file that the app takes."""
MAX_UPLOAD_VOXELS = 100_000_000
"""Of a scan that the app takes."""
