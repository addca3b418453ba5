from collections.abc import Iterator

import pytest

from tests.support import tools
from tests.support.socketio_clients import JavaScript


@pytest.fixture(scope="module")
def javascript() -> Iterator[JavaScript]:
    """The official client, in one Node process."""
    tools.require("socket.io-client")
    node = JavaScript()
    yield node
    node.stop()
