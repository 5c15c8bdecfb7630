"""A plug-in as users write them, so that every process of a server finds the fake encoder."""

import os
import time

from polyseek.testing import FakeEncoder


class PatientEncoder(FakeEncoder):
    """Takes ``FAKE_ENCODER_SECONDS`` for every call."""

    def encode(self, modality, batch, *, role):
        time.sleep(float(os.environ.get("FAKE_ENCODER_SECONDS", "0")))
        return super().encode(modality, batch, role=role)


def load(settings):
    return PatientEncoder()
