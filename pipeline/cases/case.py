"""A case, its files, and the cohort that was found under a path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import printable
from pipeline.files.case_name import CaseName, checked_subject
from pipeline.files.paths import checked_path


@dataclass(frozen=True)
class ImageFile:
    """A file and, where it is 4-D, the channel in it.

    Attributes:
        path: of any format that is read.
        channel: index into the fourth axis; None where the image is 3-D.

    Raises:
        InputError: the path is not UTF-8.
    """

    path: Path
    channel: int | None = None

    def __post_init__(self) -> None:
        checked_path(self.path)


@dataclass(frozen=True)
class Case:
    """One subject's images of one visit.

    Attributes:
        name: unique in its cohort and fit for a folder name; any text given is checked.
        subject: what splits are made by; several cases may share one.
        images: modality (``flair``, ``t1``, ``t1ce``, ``t2``, ...) to file.
        label: lesion label map (0 background, see ``label_scheme``), or None.
        brain_mask: file whose voxels > 0 are brain (a mask or a parcellation; any grid that
            overlaps in world space), or None where the background of the image is zero.
        exclude: mask of voxels that do not count as healthy (white-matter lesions), or None.
        healthy: True where folder, datalist or flag says so; False where a lesion label or a
            folder says otherwise; None where nothing is said.
        label_scheme: what the label's values mean: a key of
            `pipeline.cases.labels.LABEL_SCHEMES`, or ``auto``.

    Raises:
        InputError: name or subject cannot be one; see `CaseName` and `checked_subject`.
    """

    name: str
    subject: str
    images: Mapping[str, ImageFile]
    label: ImageFile | None = None
    brain_mask: ImageFile | None = None
    exclude: ImageFile | None = None
    healthy: bool | None = None
    label_scheme: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", CaseName(self.name))
        checked_subject(self.subject)

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """Every file of the case, images first."""
        return tuple(self.roles.values())

    @property
    def roles(self) -> dict[str, ImageFile]:
        """Modality, ``label``, ``brain_mask`` or ``exclude`` to its file, images first."""
        others = {"label": self.label, "brain_mask": self.brain_mask, "exclude": self.exclude}
        return {**self.images, **{role: file for role, file in others.items() if file is not None}}


@dataclass(frozen=True)
class Cohort:
    """What was found under a path: the cases, and the files left out with the reason.

    Attributes:
        root: the path searched, absolute.
        cases: sorted by name.
        left_out: file to the reason why no case uses it.
        layout: the name of the layout recognised, one of `pipeline.cases.layouts.read.LAYOUTS`.
        notes: what was assumed, one sentence each.
        incomplete: case that could not be used, though it has an image, to the reason.
    """

    root: Path
    cases: tuple[Case, ...]
    left_out: Mapping[Path, str] = field(default_factory=dict)
    layout: str = ""
    notes: tuple[str, ...] = ()
    incomplete: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Names of files get into what is said: whatever they hold, it is one line that prints.
        said = {
            "left_out": {path: printable(why) for path, why in self.left_out.items()},
            "notes": tuple(map(printable, self.notes)),
            "incomplete": {printable(k): printable(why) for k, why in self.incomplete.items()},
        }
        for name, value in said.items():
            object.__setattr__(self, name, value)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects, sorted, each once."""
        return tuple(sorted({case.subject for case in self.cases}))
