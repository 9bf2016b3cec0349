extension DriverFault {
    /// B31 to B51: sizes, DMA, data, and the faults without a row of their own.
    static let dataEntries: [DriverFault: FaultEntry] = [
        .stageSizeIsZero: FaultEntry(
            "no block of a request obeys the constraints",
            rule: "IOBlockStorageDriver rounds each stage down to whole blocks; a stage of 0 cannot be sent",
            symptom: "EIO, or a request that is never answered, depending on the release",
            fix: "run behind an address mapper; without one raise the segment count (2 at least), and expect requests "
                + "above a page to fail (B37)",
            reference: Reference.storageFamily),
        .maxTransferSizeTooSmall: FaultEntry(
            "maxTransferSize is smaller than what the block layer sends",
            rule: "maxTransferSize limits a whole task and does not split anything: it must cover segment count x "
                + "segment byte count",
            symptom: "EIO on the raw device for larger requests, diskutil error -69825, and no call of the driver",
            fix: "raise maxTransferSize, or lower segment count x segment byte count",
            reference: Reference.forum),
        .requiredConstraintMissing: FaultEntry(
            "a required key is missing from UserReportHBAConstraints",
            rule: "seven keys are required",
            symptom: "panic if it is the alignment mask; otherwise requests are not split below 65535 blocks and fail",
            fix: "report all seven keys",
            reference: Reference.header),
        .constraintsNotReported: FaultEntry(
            "UserReportHBAConstraints was not called in time",
            rule: "it is called once, before UserInitializeController returns; until then the limits of the base class "
                + "hold, which know no segment counts and 32 bits of address",
            symptom: "the controller starts, small transfers work, and larger ones fail at once",
            fix: "call it in UserInitializeController",
            reference: Reference.parallelFamily + "; " + Reference.field),
        .constraintNotSettable: FaultEntry(
            "a DEXT cannot set this key",
            rule: "byte and block counts are not among the keys that UserReportHBAConstraints takes; a KEXT sets them "
                + "as properties",
            symptom: "the value is ignored: the block count stays 65535",
            fix: "limit requests by segment count x segment byte count",
            reference: Reference.forum),
        .alignmentAbovePageSize: FaultEntry(
            "the segment alignment is larger than a page",
            rule:
                "IOMinimumSegmentAlignmentByteCount is about memory addresses and lengths, not about blocks of the disk",
            symptom: "stages shrink to segment count x page size; nothing is aligned to stripes",
            fix: "set it to what the DMA engine needs, 4 for example",
            reference: Reference.storageFamily),
        .severalSegments: FaultEntry(
            "a task's memory has more than one segment",
            rule: "a DEXT gets exactly one segment; without an address mapper each page may be one",
            symptom: "EIO for requests above one page, without a call of the driver",
            fix: "run behind a mapper; or limit a task to one page (segment count 1, segment byte count = page), which "
                + "only memory that is aligned to blocks can obey (B31)",
            reference: Reference.field),
        .badDMASpecification: FaultEntry(
            "the DMA specification does not fit the host",
            rule: "segments are Host64 on a little-endian 64-bit host, with as many address bits as the device has",
            symptom: "the first command with data dies in the kernel's DMA preparation",
            fix: "segmentType = kDMAOutputSegmentHost64, numAddressBits = 64 (or what the device decodes)",
            reference: Reference.field),
        .busAddressDereferenced: FaultEntry(
            "fBufferIOVMAddr was used as a pointer",
            rule: "it is an address on the device's bus; only the device can use it",
            symptom: "EXC_BAD_ACCESS in the DEXT",
            fix: "give the address to the hardware; data that the driver itself needs comes from UserGetDataBuffer",
            reference: Reference.header),
        .dataBufferOutsideTask: FaultEntry(
            "UserGetDataBuffer was called outside of its task's entry, or the bus address was used after it",
            rule: "it is legal only inside UserProcessParallelTask, and afterwards fBufferIOVMAddr is void",
            symptom: "stale data, or zeros",
            fix: "call it in UserProcessParallelTask only, and then use the buffer alone",
            reference: Reference.header),
        .completedWhileDeviceWorks: FaultEntry(
            "a task was completed while the device still worked on its memory",
            rule: "a task that is split into several device commands ends when the last one has ended",
            symptom: "corruption of large writes, or of memory that was reused",
            fix: "count the commands of a task and complete it when the count is 0",
            reference: Reference.field),
        .overlappingWritesReordered: FaultEntry(
            "a write finished before an earlier write to the same blocks was begun",
            rule: "a driver keeps the order of overlapping writes; file systems rely on it",
            symptom: "older data wins; a damaged file system, much later",
            fix: "give commands to the device in the order in which they came",
            reference: Reference.field),
        .flushNotHonoured: FaultEntry(
            "SYNCHRONIZE CACHE was completed without the device having seen it",
            rule: "when it ends with GOOD, everything written before is on the medium",
            symptom: "zeros or old data after a power cut",
            fix: "pass SYNCHRONIZE CACHE to the device and complete it when the device has",
            reference: "SBC-3, 5.22; " + Reference.forum),
        .writeNotExecuted: FaultEntry(
            "a command on the medium was completed with GOOD without the device having seen it",
            rule: "GOOD means that the device has done it",
            symptom: "lost data",
            fix: "complete commands when the device reports them done",
            reference: Reference.header),
        .immediateResponse: FaultEntry(
            "UserProcessParallelTask returned another response than Request_In_Process",
            rule: "any other immediate response counts as a failure, TASK_COMPLETE too",
            symptom: "the command fails with no status",
            fix: "leave *response at Request_In_Process and complete the task with ParallelTaskCompletion, at once if "
                + "it is done",
            reference: Reference.parallelFamily),
        .taskNeverCompleted: FaultEntry(
            "a task was never completed",
            rule: "each task is completed exactly once",
            symptom: "the request hangs; with timeout 0 for ever",
            fix: "complete every command that the device has answered, and fail those that it will not answer",
            reference: Reference.header),
        .bundledSlotDropped: FaultEntry(
            "a slot of a bundled call was dropped",
            rule: "UserProcessBundledParallelTasks has no return value: a command that cannot be run is completed with "
                + "an error",
            symptom: "that command never returns",
            fix: "handle every index of the call; no early return",
            reference: Reference.header),
        .mediaChangeNotAnnounced: FaultEntry(
            "a medium came or went without UserCallMediaParametersHaveChanged",
            rule: "removal is announced as well as arrival",
            symptom: "pages of the old medium stay in the cache",
            fix: "call UserCallMediaParametersHaveChanged for both",
            reference: Reference.field),
        .dartFault: FaultEntry(
            "the device was given an address that is not mapped for it",
            rule: "a task's bus range is fBufferIOVMAddr ..< + fRequestedTransferCount, until the task is completed; "
                + "a write's memory may only be read by the device",
            symptom: "a DART fault: panic, or an error from the device",
            fix: "program addresses inside the task's range, and none after its completion",
            reference: Reference.header),
        .queueCycle: FaultEntry(
            "queues wait for each other",
            rule: "a serial queue that waits for another must not be waited for by it",
            symptom: "a hang",
            fix: "replace one of the waits by an asynchronous block",
            reference: Reference.forum),
        .driverCrash: FaultEntry(
            "the driver crashed",
            rule: "a DEXT is a process: its crash ends it, and with it every command that it owns",
            symptom: "a crash report of the DEXT; commands fail, the DEXT is started again",
            fix: "see the address and the call below",
            reference: Reference.forum),
        .powerChangeNotAcknowledged: FaultEntry(
            "a change of power was not acknowledged",
            rule: "SetPowerState of the base class is the acknowledgement; an override calls it within 20 s",
            symptom: "a panic some 20 s later: setPowerState timed out",
            fix: "call super::SetPowerState (SUPERDISPATCH) when the device has the power, at once if nothing has to "
                + "be done",
            reference: Reference.header + "; " + Reference.forum),
    ]
}
