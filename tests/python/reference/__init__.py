"""A second, independent computation of every number in docs/definitions.md, in pandas, to hold the marts against."""
