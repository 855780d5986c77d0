"""Detection as MONAI's components, for the configs of a bundle: the command line's own steps.

`PrepareCased` before the network, `AnomalyInferer` around it, `ToSourced` behind it, and
`SaveCases` to write the files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import MapTransform
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from tqdm import tqdm

from pipeline.cases.case import Case
from pipeline.cases.extraction.choice import make_extractor
from pipeline.cases.find import find_cases
from pipeline.cases.loop import Failures
from pipeline.cases.transforms import CaseTransforms, Prepared
from pipeline.detection.case_work import CaseWork
from pipeline.detection.detect import begin_anew, is_done, recorded_inputs
from pipeline.detection.detector import (
    NetworkDetector,
    input_files,
    make_network_detector,
)
from pipeline.detection.methods.table import OURS
from pipeline.detection.recipe import MapResult
from pipeline.detection.reconstruction import evaluations_per_slice
from pipeline.detection.source_maps import (
    SourceMaps,
    Spent,
    case_result,
    claim_result,
    least_bytes,
    to_source,
    write_result,
)
from pipeline.errors import InputError
from pipeline.files.case_name import case_folder
from pipeline.files.record.result import InputFile, Provenance
from pipeline.files.writing import make_folder
from pipeline.run.finished import calibration_of
from pipeline.run.model import load_model, usable_device

logger = logging.getLogger(__name__)


def load_detector(
    run_dir: str | Path,
    device: str | torch.device | None = None,
    *,
    false_positive_rate: float | None = None,
    seed: int | None = None,
) -> NetworkDetector:
    """The recipe of a run, ready for cases; as `anomap detect` has it.

    Args:
        false_positive_rate: of the threshold; None takes that of the run.
        seed: of the noise; None takes that of `make_network_detector`.

    Raises:
        InputError: see `usable_device`, `load_model`, `calibration_of` and
            `make_network_detector`.
    """
    run = Path(str(run_dir))
    model = load_model(run, usable_device(device))
    calibration = calibration_of(run)
    chosen = {} if seed is None else {"seed": seed}
    return make_network_detector(
        OURS, model, calibration, false_positive_rate=false_positive_rate, **chosen
    )


def list_cases(
    dataset_dir: str | Path, detector: NetworkDetector, **options: Any
) -> list[dict[Hashable, Any]]:
    """An item for each case in a folder, file or datalist.

    It is ``{"case": Case}``, or ``{"image": name, "unusable": reason}`` without all modalities.

    Args:
        options: of `find_cases`: ``label_scheme``, ``section`` ...

    Raises:
        InputError: there is none.
    """
    modalities = detector.model.config.modalities
    cohort = find_cases(str(dataset_dir), modalities=modalities, **options)
    for note in cohort.notes:
        logger.warning("note: %s", note)
    usable: list[dict[Hashable, Any]] = [{"case": case} for case in cohort.cases]
    incomplete = cohort.incomplete.items()
    return usable + [{"image": name, "unusable": reason} for name, reason in incomplete]


class PrepareCased(MapTransform):
    """A case on the working grid.

    Takes ``case``, a `Case`; or ``image``, the path of a scan, as MONAI Label gives it. Leaves

    - ``image``: ``(C + 1, X, Y, Z)``, the modalities in [-1, 1] and the brain mask as last channel;
      its ``meta`` holds the affine, name and content of the case, and shape and affine of the
      source;
    - ``prepared``: the `Prepared` that knows the way back.

    Args:
        detector: gives modalities and grid.
        brain_extraction: a name in `EXTRACTORS`, for heads that are not skull-stripped.

    Raises:
        InputError: the case cannot be used.
    """

    def __init__(self, detector: NetworkDetector, brain_extraction: str | None = None) -> None:
        super().__init__(keys="image", allow_missing_keys=True)
        config = detector.model.config
        self.detector = detector
        self.transforms = CaseTransforms(
            config.modalities, config.grid, make_extractor(brain_extraction)
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with image and prepared case."""
        case = data["case"] if "case" in data else self._case_of(data["image"])
        prepared = self.transforms(case)
        return {
            **data,
            "image": as_volume(prepared),
            "prepared": prepared,
            "provenance": self.provenance(case),
        }

    def provenance(self, case: Case, known: Sequence[InputFile] = ()) -> Provenance:
        """All that the result of a case depends on; see `input_files`."""
        return self.detector.provenance(input_files(case, known), self.transforms)

    def _case_of(self, image: str | Path) -> Case:
        cohort = find_cases(Path(image), modalities=self.transforms.load.modalities)
        if len(cohort.cases) != 1:
            raise InputError(f"{image}: expected one case, found {len(cohort.cases)}")
        return cohort.cases[0]


def as_volume(prepared: Prepared) -> MetaTensor:
    """A prepared case as ``(C + 1, X, Y, Z)``, the brain mask last; see `PrepareCased`."""
    stack = torch.cat([prepared.slices, prepared.brain.float()], dim=1)
    meta = {
        "case": prepared.case.name,
        "content": prepared.content,
        "spatial_shape": np.array(prepared.source_brain.shape),
        "original_affine": prepared.source_affine,
    }
    return MetaTensor(to_volume(stack), affine=torch.as_tensor(prepared.grid_affine), meta=meta)


def to_volume(stack: Tensor) -> Tensor:
    """Slices ``(N, C, H, W)`` as a volume ``(C, X, Y, Z)``: X along rows, Z along slices."""
    return stack.permute(1, 3, 2, 0).contiguous()


def to_stack(volume: Tensor) -> Tensor:
    """A volume ``(C, X, Y, Z)`` as slices ``(N, C, H, W)``: the inverse of `to_volume`."""
    return volume.permute(3, 0, 2, 1).contiguous()


class FinishedCases:
    """Which cases `SaveCases` has left before, by the same weights and settings; see `is_done`.

    Args:
        prepare: gives what a result depends on.
        output_dir: of `SaveCases`.
        overwrite: none counts as finished.
    """

    def __init__(
        self, prepare: PrepareCased, output_dir: str | Path, *, overwrite: bool = False
    ) -> None:
        self.prepare, self.output_dir, self.overwrite = prepare, Path(str(output_dir)), overwrite

    def __call__(self, case: Case) -> bool:
        """Whether the case is finished.

        Raises:
            InputError: there is a finished result of other settings, or a file that is not ours.
        """
        folder = case_folder(self.output_dir, case.name)
        provenance = self.prepare.provenance(case, recorded_inputs(folder))
        if not self.overwrite and is_done(folder, provenance):
            return True
        claim_result(folder, provenance.modalities, least_bytes([case]))
        return False


class CaseDataset(IterableDataset[dict[Hashable, Any]]):
    """Transformed items; one that cannot be used is logged and left out, the others go on.

    Attributes:
        failed: case name to reason, of the last pass.

    Args:
        data: items, as `list_cases` gives them.
        transform: what is done to each that is not ``unusable``.
        finished: tells the cases to skip; None skips none.

    Raises:
        InputError: no item could be used.
    """

    def __init__(
        self,
        data: Sequence[Mapping[Hashable, Any]],
        transform: Any,
        finished: Callable[[Case], bool] | None = None,
    ) -> None:
        self.data, self.transform, self.finished = data, transform, finished
        self.failed: dict[str, str] = {}

    def __iter__(self) -> Iterator[Any]:
        failures = Failures()
        self.failed = failures.reasons
        for item in tqdm(self.data, desc="detecting", unit="case", disable=None):
            name = getattr(item.get("case"), "name", str(item.get("image")))
            prepared = None
            with failures.catching(name):
                prepared = self._prepared(item)
            if name in self.failed:
                logger.error("%s failed: %s", name, self.failed[name])
            if prepared is not None:
                yield prepared
        if len(self.failed) == len(self.data):
            raise InputError(f"no case could be used: {next(iter(self.failed.values()), 'none')}")

    def _prepared(self, item: Mapping[Hashable, Any]) -> Any:
        """The item transformed; None where its case is finished."""
        if "unusable" in item:
            raise InputError(item["unusable"])
        if self.finished is not None and self.finished(item["case"]):
            return None
        return self.transform(item)


def one_case(items: Sequence[Mapping[Hashable, Any]]) -> dict[Hashable, Any]:
    """A batch of one case: volumes differ in shape, so they are not stacked."""
    (item,) = items
    return {**item, "image": item["image"].unsqueeze(0)}


NAMELESS = "case"
"""The name of a scan that comes without one."""


class AnomalyInferer(Inferer):
    """The detection recipe as a MONAI inferer around the 2-D network.

    Args:
        detector: the recipe with its atlases; its own network is not used.
    """

    def __init__(self, detector: NetworkDetector) -> None:
        super().__init__()
        self.detector = detector
        self.grid = detector.model.config.grid

    def __call__(
        self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Maps of prepared volumes.

        Args:
            inputs: ``(N, C + 1, X, Y, Z)`` as `PrepareCased` leaves them.
            network: a module, called as ``network(x, timesteps)``.

        Returns:
            ``(N, 1 + C, X, Y, Z)`` on the CPU: the anomaly map, then the pseudo-healthy image.
        """
        told = inputs.meta.get("content") if isinstance(inputs, MetaTensor) else None
        contents = [told] * len(inputs) if isinstance(told, str) or told is None else told
        return torch.stack(
            [
                self._map(torch.as_tensor(volume), network, content)
                for volume, content in zip(inputs, contents, strict=True)
            ]
        )

    def _map(self, volume: Tensor, network: Callable[..., Any], content: str | None) -> Tensor:
        assert isinstance(network, nn.Module)
        device = next(network.parameters()).device
        stack = to_stack(volume.cpu())
        prepared = Prepared.on_grid(
            Case(name="volume", subject="", images={}),
            *(stack[:, :-1], stack[:, -1:] > 0.5, self.grid),
            content=content,
        )
        result = self.detector.compute_with(network, device, CaseWork(prepared))
        return to_volume(torch.cat([result.anomaly_map, result.pseudo_healthy], dim=1))


class ToSourced(MapTransform):
    """From what `AnomalyInferer` gives to maps on the scan's own grid.

    Leaves ``pred``, the mask ``(1, X, Y, Z)`` uint8 (0 background, 1 anomaly), ``anomaly``
    ``(1, X, Y, Z)`` and ``pseudo_healthy`` ``(C, X, Y, Z)`` float32, with the scan's affine.

    Args:
        detector: gives the threshold.
    """

    def __init__(self, detector: NetworkDetector) -> None:
        super().__init__(keys="pred")
        self.detector = detector

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with mask, map and pseudo-healthy image on the scan's grid."""
        pred = torch.as_tensor(data["pred"])
        stack = to_stack(pred.reshape(pred.shape[-4:]))
        prepared: Prepared = data["prepared"]
        spent = evaluations_per_slice(self.detector.model.config.detection)
        maps = to_source(prepared, self.detector, MapResult(stack[:, :1], stack[:, 1:], spent))
        if maps.mask is None:
            raise InputError(f"{self.detector.threshold.rule}: there is no threshold for the mask")
        found = {
            "pred": maps.mask[None].astype(np.uint8),
            "anomaly": maps.anomaly_map[None],
            "pseudo_healthy": maps.pseudo_healthy,
        }
        tensors: dict[Hashable, Any] = {
            key: MetaTensor(volume, affine=torch.as_tensor(prepared.source_affine))
            for key, volume in found.items()
        }
        return {**data, **tensors, "maps": maps}


class SaveCases:
    """Handler of an evaluator: writes ``output_dir/<case>/`` as `anomap detect` does.

    Args:
        detector: what found it.
        output_dir: made if it is not there.

    Raises:
        InputError: ``output_dir`` cannot be written to.
    """

    def __init__(self, detector: NetworkDetector, output_dir: str | Path) -> None:
        self.detector, self.output_dir = detector, Path(str(output_dir))
        self.start = 0.0
        make_folder(self.output_dir)

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)

    def _begin(self, engine: Engine) -> None:
        self.start = time.monotonic()

    def _save(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        prepared: Prepared = batch["prepared"]
        maps: SourceMaps = output["maps"]
        evaluations = evaluations_per_slice(self.detector.model.config.detection)
        spent = Spent(evaluations, time.monotonic() - self.start)
        unlike = self.detector.unlike(CaseWork(prepared))
        result = case_result(prepared, self.detector, maps, spent, batch["provenance"], unlike)
        folder = case_folder(self.output_dir, prepared.case.name)
        begin_anew(folder)
        write_result(folder, prepared.source_affine, prepared.source_brain, maps, result)
