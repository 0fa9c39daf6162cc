"""The process of the embedded AWS: ministack with the overlay, until it is told to stop or its parent is gone.

`server.EmbeddedAws` starts it, with ministack's settings in the environment: `python -m paceline.local.aws.main`.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from ministack import app

from paceline.local.aws import overlay
from paceline.local.aws.store import Store
from paceline.local.aws.views import capacity, fsx, hyperpod, launch_templates, network, remembered

STATE = "paceline_overlay"
"""The overlay's name among ministack's services: its state is saved as `paceline_overlay.json`."""
PARENT_CHECK_SECONDS = 0.5


def install() -> Store:
    """Add the overlay to the ministack of this process."""
    store = Store()
    overlay.install(store)
    fsx.install(store)
    capacity.install(store)
    launch_templates.install()
    network.install(store)
    remembered.install(store, {"sagemaker": hyperpod.operations(store)})
    app._state_map[STATE] = STATE
    app._loaded_modules[STATE] = store
    return store


def stop_with(parent: int) -> None:
    """Ask this process to stop, saving its state, as soon as it is no longer a child of `parent`."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve until SIGTERM, or until the parent ends in whatever way."""
    install()
    threading.Thread(target=stop_with, args=[os.getppid()], daemon=True).start()
    app.main()


if __name__ == "__main__":
    main()
