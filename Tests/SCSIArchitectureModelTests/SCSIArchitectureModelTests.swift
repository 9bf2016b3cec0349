// Tests of SCSIArchitectureModel.
