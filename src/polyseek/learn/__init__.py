"""Fitting: hub bias and calibration, on what ships with an encoder or on a collection."""
