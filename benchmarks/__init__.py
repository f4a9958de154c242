"""Measurements on a demo base: printed, never asserted."""
