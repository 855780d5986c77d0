"""An archive (PACS) over DIMSE: find and fetch a study, store results."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dicom.convert import require
from pipeline.errors import InputError
from pipeline.files.scratch import remove_scratch, scratch_folder
from pipeline.files.texts import quoted
from pipeline.files.writing import write_folder

logger = logging.getLogger(__name__)

CONNECT_S, ANSWER_S = 10, 120
"""Seconds that a connection, and an answer of the archive, may take."""
MR_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
"""MR, enhanced MR, and what was converted to it."""
_PENDING, _SUCCESS = (0xFF00, 0xFF01), 0x0000


@dataclass(frozen=True)
class Peer:
    """An archive.

    Attributes:
        host, port: where it listens.
        called: its AE title; ``calling``: ours.
    """

    host: str
    port: int
    called: str
    calling: str = "ANOMAP"

    def __str__(self) -> str:
        return f"{self.called} at {self.host}:{self.port}"


def peer_of(server: str, called: str, calling: str = "ANOMAP") -> Peer:
    """An archive from what a user gives.

    Args:
        server: ``host:port``.
        called, calling: AE titles, 1 to 16 characters.

    Raises:
        InputError: one of them cannot be right.
    """
    host, _, port = server.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--server {server}: expected HOST:PORT, such as pacs.example:104")
    for name in (called, calling):
        if not 0 < len(name.strip()) <= 16 or not name.isascii() or "\\" in name:
            raise InputError(f"{quoted(name)}: an AE title has 1 to 16 plain characters")
    return Peer(host.strip("[]"), int(port), called, calling)


def pull_study(peer: Peer, study_uid: str, folder: Path) -> Path:
    """Fetch the MR series of a study, whole or not at all.

    Args:
        peer: the archive.
        study_uid: StudyInstanceUID.
        folder: gets a folder of the study, named by a hash of the UID.

    Returns:
        That folder; one that is there already, with all that the archive has, is not fetched again.

    Raises:
        InputError: the archive cannot be reached, has no such study, or did not send all of it.
    """
    _check_uid(study_uid)
    target = folder / f"study-{hashlib.sha256(study_uid.encode()).hexdigest()[:8]}"
    series = _series_of(peer, study_uid)
    found = {uid: kind for one in series for uid, kind in _objects_of(peer, study_uid, one)}
    expected = {uid for uid, kind in found.items() if kind in MR_CLASSES}
    if not expected and "" not in found.values():
        raise InputError(f"{peer}: has no MR images of the study {study_uid}")
    if not _is_there(target, expected):
        scratch = scratch_folder()
        try:
            for one in series:
                _get(peer, study_uid, one, scratch)
            _move_whole(scratch, target, expected, peer)
        finally:
            remove_scratch(scratch)
    return target


def _is_there(target: Path, expected: set[str]) -> bool:
    """Whether all of a study was fetched before."""
    there = {path.stem for path in target.glob("*.dcm")} if target.is_dir() else set()
    if there and there >= expected:
        return True
    if target.exists():
        raise InputError(
            f"{target}: holds another state of this study than the archive has now; move it away"
        )
    return False


def _move_whole(scratch: Path, target: Path, expected: set[str], peer: Peer) -> None:
    """What arrived to its place, if all of it did."""
    arrived = {path.stem: path for path in scratch.glob("*.dcm")}
    if not arrived:
        raise InputError(f"{peer}: sent no MR images of the study: repeat the command")
    if missing := expected - set(arrived):
        raise InputError(
            f"{peer}: sent {len(arrived)} of the {len(expected)} images of the study; "
            f"{min(missing)} did not come: repeat the command"
        )
    write_folder(target, {path.name: path.read_bytes() for path in arrived.values()})


def push_objects(peer: Peer, paths: Sequence[Path]) -> int:
    """Store objects, once the archive has said that it takes objects of all their kinds.

    An archive knows no transactions: of a command that is killed between two objects the first are
    there. They have the same identity each time, so a repeat completes them.

    Returns:
        The number that it took.

    Raises:
        InputError: it cannot be reached, or refuses an object; which were stored is said.
    """
    pydicom = require("pydicom")
    datasets = [pydicom.dcmread(path) for path in paths]
    classes = sorted({str(dataset.SOPClassUID) for dataset in datasets})
    syntaxes = sorted({str(dataset.file_meta.TransferSyntaxUID) for dataset in datasets})
    contexts = {uid: syntaxes for uid in classes}
    with _associated(peer, contexts) as association:
        _check_taken(association, classes, peer)
        for number, (path, dataset) in enumerate(zip(paths, datasets, strict=True)):
            if said := _why_not_stored(association.send_c_store(dataset)):
                raise InputError(
                    f"{path}: {peer} {said}; {number} of {len(paths)} objects are stored: repeat "
                    "the command, it makes no doubles"
                )
    return len(datasets)


def _check_taken(association: Any, classes: Sequence[str], peer: Peer) -> None:
    """See that an archive takes objects of all these SOP classes."""
    taken = {str(context.abstract_syntax) for context in association.accepted_contexts}
    if refused := set(classes) - taken:
        uid = require("pydicom.uid").UID
        names = ", ".join(sorted(uid(one).name for one in refused))
        raise InputError(f"{peer}: does not take objects of the kind {names}; nothing was sent")


def _why_not_stored(status: Any) -> str:
    """What an answer says against an object; "" where it is stored, with a warning or without."""
    code = getattr(status, "Status", None)
    if code is None:
        return "did not answer"
    is_stored = code == _SUCCESS or 0xB000 <= code <= 0xBFFF
    return "" if is_stored else f"refused it (0x{code:04x})"


# --- find and get ---------------------------------------------------------------------------------


def _check_uid(uid: str) -> None:
    if not require("pydicom.uid").UID(uid).is_valid:
        raise InputError(f"{quoted(uid)}: no UID: expected digits and dots, 64 at most")


def _series_of(peer: Peer, study_uid: str) -> list[str]:
    keys = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": study_uid}
    found = _find(peer, {**keys, "SeriesInstanceUID": "", "Modality": ""})
    if not found:
        raise InputError(f"{peer}: has no study {study_uid}")
    return [str(one.SeriesInstanceUID) for one in found if one.get("Modality", "MR") in ("MR", "")]


def _objects_of(peer: Peer, study_uid: str, series_uid: str) -> list[tuple[str, str]]:
    """Instances of a series with their SOP classes, "" where the archive does not tell them.

    What is not told may be an MR image or none, so that it need not come.
    """
    keys = {"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": study_uid}
    keys |= {"SeriesInstanceUID": series_uid, "SOPInstanceUID": "", "SOPClassUID": ""}
    return [
        (str(one.SOPInstanceUID), str(one.get("SOPClassUID", "") or ""))
        for one in _find(peer, keys)
    ]


def _find(peer: Peer, keys: Mapping[str, str]) -> list[Any]:
    sop = require("pynetdicom.sop_class")
    model = sop.StudyRootQueryRetrieveInformationModelFind
    found = []
    with _associated(peer, {str(model): None}) as association:
        for status, identifier in association.send_c_find(_dataset(keys), model):
            _check_status(status, peer, "the search")
            if identifier is not None:
                found.append(identifier)
    return found


def _get(peer: Peer, study_uid: str, series_uid: str, folder: Path) -> None:
    """Every image of a series as ``<SOPInstanceUID>.dcm``, as the archive has it."""
    net, sop = require("pynetdicom"), require("pynetdicom.sop_class")
    model = sop.StudyRootQueryRetrieveInformationModelGet
    contexts: dict[str, Any] = {str(model): None}
    contexts |= dict.fromkeys(MR_CLASSES, net.ALL_TRANSFER_SYNTAXES)

    def keep(event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if not require("pydicom.uid").UID(uid).is_valid:
            return 0xC000
        (folder / f"{uid}.dcm").write_bytes(event.encoded_dataset())
        return _SUCCESS

    roles = [net.build_role(uid, scp_role=True) for uid in MR_CLASSES]
    keys = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": study_uid}
    keys |= {"SeriesInstanceUID": series_uid}
    handlers = [(net.evt.EVT_C_STORE, keep)]
    with _associated(peer, contexts, roles, handlers) as association:
        for status, _ in association.send_c_get(_dataset(keys), model):
            _check_status(status, peer, "the transfer")


def _dataset(keys: Mapping[str, str]) -> Any:
    dataset = require("pydicom").Dataset()
    for key, value in keys.items():
        setattr(dataset, key, value)
    return dataset


def _check_status(status: Any, peer: Peer, what: str) -> None:
    code = getattr(status, "Status", None)
    if code is None:
        raise InputError(f"{peer}: broke off {what}, or did not answer within {ANSWER_S} s")
    if code not in (*_PENDING, _SUCCESS, 0xB000):
        comment = str(status.get("ErrorComment", "")) or "no reason given"
        raise InputError(f"{peer}: {what} failed (0x{code:04x}: {comment})")


@contextmanager
def _associated(
    peer: Peer,
    contexts: Mapping[str, Any],
    roles: Sequence[Any] = (),
    handlers: Sequence[Any] = (),
) -> Iterator[Any]:
    """An open association.

    Raises:
        InputError: there is none to be had.
    """
    net = require("pynetdicom")
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = net.AE(ae_title=peer.calling)
    entity.connection_timeout = CONNECT_S
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = ANSWER_S
    for uid, syntaxes in contexts.items():
        entity.add_requested_context(uid, syntaxes or net.DEFAULT_TRANSFER_SYNTAXES)
    association = entity.associate(
        peer.host,
        peer.port,
        ae_title=peer.called,
        ext_neg=list(roles),
        evt_handlers=list(handlers),
    )
    if not association.is_established:
        raise InputError(f"{peer}: {_why_not(association)}")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _why_not(association: Any) -> str:
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = getattr(answer, "reason_str", "") or "no reason given"
        return f"refused the connection ({reason}); check the AE titles on both sides"
    if association.is_aborted:
        return "cannot be reached, or broke off the connection"
    return "takes none of what is asked for"
