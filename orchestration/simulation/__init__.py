"""What-if: proposed seeds on today's base and on the past year, computed by the text of the models, writing nothing.

`proposal` makes the proposed seeds, `rules` puts those of one policy and day into SQL, `queries` has the statements, `run`
asks them and `report` shows the answer. What the numbers mean is in docs/definitions.md, section Simulation.
"""
