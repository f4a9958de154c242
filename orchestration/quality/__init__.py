"""What guards the data: checks of the configuration seeds, and expectation suites per layer."""
