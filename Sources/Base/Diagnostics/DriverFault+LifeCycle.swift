extension DriverFault {
    /// B01 to B17: queues and life cycle.
    static let lifeCycleEntries: [DriverFault: FaultEntry] = [
        .queueNameOnTaskEntry: FaultEntry(
            "a queue is named on a task entry point",
            rule: "UserProcessParallelTask and UserProcessBundledParallelTasks are targets of OSActions and already "
                + "bound to the Default queue",
            symptom: "kernel panic while the DEXT loads; after the reboot it is listed as [activated waiting for user]",
            fix: "remove QUEUENAME from the method's declaration; more queues do not make a storage driver faster",
            reference: Reference.forum),
        .createOnDefaultQueue: FaultEntry(
            "UserCreateTargetForID was called on the Default queue",
            rule: "creating a target calls the driver back (UserInitializeTargetForID, probe commands) on the Default "
                + "queue before it returns",
            symptom: "the call never returns; the process cannot be killed and only a reboot helps",
            fix: "leave a block or an action on AuxiliaryQueue in UserStartController, and call UserCreateTargetForID "
                + "there",
            reference: Reference.header),
        .noAuxiliaryQueue: FaultEntry(
            "no queue is registered as AuxiliaryQueue",
            rule: "a queue that a method names by QUEUENAME is not created by the system",
            symptom: "UserCreateTargetForID never returns, no target appears",
            fix:
                "in UserInitializeController: IODispatchQueue::Create, then SetDispatchQueue(\"AuxiliaryQueue\", queue)",
            reference: Reference.forum),
        .otherWorkOnAuxiliaryQueue: FaultEntry(
            "the queue on which targets are created does other work",
            rule: "AuxiliaryQueue runs UserCreateTargetForID and what calls it, and nothing else",
            symptom: "UserCreateTargetForID never returns, and returns success the moment Stop begins",
            fix: "give interrupts, timers and completions a queue of their own",
            reference: Reference.forum),
        .interruptsOnDefaultQueue: FaultEntry(
            "the interrupt source is on the Default queue",
            rule: "completions are taken on a queue of their own, since the kernel's calls need the Default queue",
            symptom: "BundledParallelTaskCompletion can wait for the queue that it was called on",
            fix: "create a queue for interrupts and pass it to IOInterruptDispatchSource::Create",
            reference: Reference.forum),
        .waitInStartController: FaultEntry(
            "UserStartController waits instead of returning",
            rule: "UserStartController starts services and returns; targets are created afterwards, on AuxiliaryQueue",
            symptom: "the registry stays busy; after 60 s a busy-timeout panic",
            fix: "do not wait for targets or queues in UserStartController: return, and go on in a block on "
                + "AuxiliaryQueue",
            reference: Reference.parallelFamily + "; " + Reference.field),
        .targetNotReady: FaultEntry(
            "a target was created before the driver could serve it",
            rule: "commands to a target arrive before UserCreateTargetForID returns",
            symptom: "UserCreateTargetForID hangs, or the target is missing",
            fix: "make the I/O path ready first; do not hold probe commands back or fail them until the target is "
                + "\"registered\"",
            reference: Reference.forum),
        .interruptBeforeInitialization: FaultEntry(
            "an interrupt or completion came before the driver was ready for it",
            rule: "an interrupt may come as soon as its source is enabled",
            symptom: "the DEXT dies with an address size fault at 0x8: a field of a record that is NULL",
            fix: "enable the interrupt source when everything that its handler uses is in place, and ignore tokens "
                + "that have no record",
            reference: Reference.forum),
        .targetAboveHighestID: FaultEntry(
            "a target's ID is above the highest ID that was reported",
            rule: "completions are matched to targets up to UserReportHighestSupportedDeviceID only",
            symptom: "TEST UNIT READY is sent, then silence",
            fix: "report the highest target ID from UserReportHighestSupportedDeviceID",
            reference: Reference.parallelFamily),
        .targetIsInitiator: FaultEntry(
            "a target has the initiator's ID",
            rule: "the initiator's ID belongs to the HBA itself",
            symptom: "UserCreateTargetForID fails",
            fix: "report an initiator ID that no target has, above the highest target for example",
            reference: Reference.parallelFamily),
        .targetCreatedTwice: FaultEntry(
            "a target was created twice",
            rule: "either the driver manages devices and creates targets, or the kernel scans all IDs",
            symptom: "the second creation fails, or a duplicate device hangs",
            fix: "answer true from UserDoesHBAPerformDeviceManagement and create each target once",
            reference: Reference.parallelFamily + "; " + Reference.field),
        .waitInStop: FaultEntry(
            "Stop waits for something that waits for Stop",
            rule: "while Stop runs the Default queue is taken, and the kernel destroys the targets itself",
            symptom: "the process stays in termination; after 60 s a busy-timeout panic",
            fix: "in Stop cancel sources, complete what the driver owns and call super; do not wait for queues and do "
                + "not call UserDestroyTargetForID",
            reference: Reference.field),
        .noTasks: FaultEntry(
            "UserReportMaximumTaskCount reported 0",
            rule: "the count is the size of the task pool",
            symptom: "the driver does not load",
            fix: "report the number of commands that the hardware takes at a time",
            reference: Reference.header),
        .taskIDNotUnique: FaultEntry(
            "UserMapHBAData gave a task ID that is 0 or not unique",
            rule: "completions find their task by this ID; 0 means \"the first outstanding task\"",
            symptom: "the first command works; later completions end the wrong task, or none",
            fix: "count up from 1 in UserMapHBAData",
            reference: Reference.parallelFamily),
        .tasksOutstandingAtStop: FaultEntry(
            "Stop returned while the driver owned tasks",
            rule: "a driver completes everything that it owns before Stop returns",
            symptom: "termination waits, or the kernel ends the tasks and a late completion hits freed memory",
            fix: "in Stop, complete each task with SERVICE_DELIVERY_OR_TARGET_FAILURE before super::Stop",
            reference: Reference.parallelFamily),
        .notReadyTooLong: FaultEntry(
            "a disk reported \"becoming ready\" for longer than the system waits",
            rule: "a fixed disk has 45 s from its first TEST UNIT READY",
            symptom: "the disk fails and stays failed until it is attached again",
            fix: "create the target when its medium is ready",
            reference: Reference.samFamily + "; " + Reference.field),
        .removableToEvadeReadiness: FaultEntry(
            "a disk with a write cache says that its medium is removable",
            rule: "SYNCHRONIZE CACHE is sent only to a disk whose write cache state is known, which is not asked of "
                + "removable media",
            symptom: "every flush succeeds at once and does nothing; APFS loses its barriers",
            fix: "clear the RMB bit of INQUIRY for a fixed disk",
            reference: Reference.field),
    ]
}
