// Tests of RAID.
