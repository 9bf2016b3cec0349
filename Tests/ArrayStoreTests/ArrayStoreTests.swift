// Tests of ArrayStore.
