"""The `polyseek` command with a fake encoder that takes its time: ``fake_cli.py ARGS...``."""

import os
import time

from polyseek.api import opening
from polyseek.cli import main
from polyseek.testing import FakeEncoder


class SlowFakeEncoder(FakeEncoder):
    """Sleeps for every signal, so that a test can interrupt it half-way."""

    def encode(self, modality, batch, *, role):
        time.sleep(float(os.environ.get("FAKE_ENCODER_SECONDS", "0")) * len(batch))
        return super().encode(modality, batch, role=role)


if __name__ == "__main__":
    opening.load_encoder = lambda name, settings: SlowFakeEncoder()
    main()
