// Tests of SCSI.
