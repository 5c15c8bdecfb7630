"""The `polyseek` command with fake encoders that take their time: ``fake_cli.py ARGS...``."""

import os
import time
from dataclasses import replace

from polyseek.api import opening
from polyseek.cli import main
from polyseek.testing import FakeEncoder


class SlowFakeEncoder(FakeEncoder):
    """Sleeps for every signal, so that a test can interrupt it half-way.

    Whatever its name, it embeds alike.
    """

    def __init__(self, name):
        super().__init__()
        self.info = replace(self.info, name=name)

    def encode(self, modality, batch, *, role):
        time.sleep(float(os.environ.get("FAKE_ENCODER_SECONDS", "0")) * len(batch))
        return super().encode(modality, batch, role=role)


if __name__ == "__main__":
    opening.load_encoder = lambda name, settings: SlowFakeEncoder(
        "fake" if name == "mini" else name
    )
    main()
