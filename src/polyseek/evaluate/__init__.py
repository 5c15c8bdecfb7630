"""Is it any good on your data: the doctor's checks and their report."""
