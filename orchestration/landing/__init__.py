"""Landing: loaders that judge what sources deliver and append it to the change log.

`land_directory` lands a folder of files, `repair` finishes or undoes what a killed landing left, and
`create_landing_tables` makes the empty tables of the contract.
"""

from orchestration.landing.files import land_directory
from orchestration.landing.journal import repair
from orchestration.landing.tables import create_landing_tables

__all__ = ["create_landing_tables", "land_directory", "repair"]
