"""Many cases: workers, results, the fleet's report."""
