// Tests of ParallelInterface.
