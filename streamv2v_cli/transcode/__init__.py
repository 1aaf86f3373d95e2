"""One input to one output: the job, its three threads, and what is said of it."""
