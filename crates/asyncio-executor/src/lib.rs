//! Runs ready tasks in order on one thread, with cancellation as a request; told how to wake a sleeper, knows nothing of I/O or time.
