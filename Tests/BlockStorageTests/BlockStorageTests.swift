// Tests of BlockStorage.
