"""One brain with and without a tumour."""

from __future__ import annotations

import pytest
from phantoms import phantom

from pipeline.phantom.subject import Phantom


@pytest.fixture(scope="session")
def healthy() -> Phantom:
    return phantom(0)


@pytest.fixture(scope="session")
def sick() -> Phantom:
    return phantom(0, tumour=True, contrast="bright")
