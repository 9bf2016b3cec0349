extension Scenario {
    /// B01 to B17, B50, B51.
    static let lifeCycle: [Scenario] = [
        Scenario(
            .queueNameOnTaskEntry, "queue-name-on-task-entry", "declares UserProcessParallelTask with QUEUENAME",
            NamesQueueOnTaskEntry.self),
        Scenario(
            .createOnDefaultQueue, "create-on-default-queue", "calls UserCreateTargetForID in UserStartController",
            CreatesOnDefaultQueue.self),
        Scenario(
            .noAuxiliaryQueue, "no-auxiliary-queue", "creates AuxiliaryQueue and does not register it",
            RegistersNoAuxiliaryQueue.self),
        Scenario(
            .otherWorkOnAuxiliaryQueue, "interrupts-on-auxiliary-queue", "handles interrupts on AuxiliaryQueue",
            TakesInterruptsOnAuxiliaryQueue.self),
        Scenario(
            .otherWorkOnAuxiliaryQueue, "completions-on-creating-queue",
            "creates targets and posts completions on one queue of its own", CompletesOnCreatingQueue.self),
        Scenario(
            .otherWorkOnAuxiliaryQueue, "completions-wait-for-creating-queue",
            "waits in its interrupt handler for the queue that creates targets", WaitsForCreatingQueue.self),
        Scenario(
            .interruptsOnDefaultQueue, "interrupts-on-default-queue", "handles interrupts on the Default queue",
            TakesInterruptsOnDefaultQueue.self),
        Scenario(
            .waitInStartController, "wait-in-start-controller", "waits in UserStartController for the targets",
            WaitsInStartController.self),
        Scenario(
            .waitInStartController, "sleep-in-start-controller", "sleeps in UserStartController",
            SleepsInStartController.self),
        Scenario(
            .targetNotReady, "guard-until-registered", "fails a target's commands until its creation has returned",
            GuardsUntilRegistered.self),
        Scenario(
            .interruptBeforeInitialization, "interrupt-before-initialization",
            "handles an interrupt before it has a tracking record", InterruptsBeforeInitialization.self
        ).crashing(),
        Scenario(
            .targetAboveHighestID, "target-above-highest-id", "creates target 5 and reported 3 as the highest ID",
            CreatesTargetAboveHighestID.self),
        Scenario(
            .targetIsInitiator, "target-is-initiator", "reports the target's ID as its own",
            HasInitiatorIDOfTarget.self),
        Scenario(
            .targetCreatedTwice, "target-created-twice", "creates a target twice", CreatesTwice.self),
        Scenario(
            .targetCreatedTwice, "target-created-and-scanned", "creates a target and lets the kernel scan",
            CreatesAndIsScanned.self),
        Scenario(
            .waitInStop, "destroy-in-stop", "calls UserDestroyTargetForID in Stop", DestroysInStop.self, .stop),
        Scenario(
            .waitInStop, "wait-in-stop", "waits in Stop for the queue that creates targets", WaitsInStop.self, .stop),
        Scenario(.noTasks, "no-tasks", "reports a maximum task count of 0", HasNoTasks.self),
        Scenario(.taskIDNotUnique, "task-id-zero", "never sets the ID in UserMapHBAData", LeavesTaskIDZero.self),
        Scenario(.taskIDNotUnique, "task-id-repeated", "gives all tasks the same ID", RepeatsTaskID.self),
        Scenario(
            .tasksOutstandingAtStop, "tasks-outstanding-at-stop", "returns from Stop without completing its tasks",
            KeepsTasksAtStop.self, .stopWithTaskOutstanding),
        Scenario(
            .notReadyTooLong, "not-ready-too-long", "reports 02/04/01 for longer than the system waits (here 0.6 s)",
            BecomesReadyForEver.self),
        removable,
        Scenario(
            .queueCycle, "queue-cycle", "lets two queues of its own wait for each other", CrossesQueues.self),
        Scenario(
            .powerChangeNotAcknowledged, "power-change-not-acknowledged",
            "overrides SetPowerState and does not call the base class", KeepsPowerChange.self,
            .basicThenWait(milliseconds: 3000)),
        Scenario(.driverCrash, "driver-crash", "reads behind the end of an array", Crashes.self).crashing(),
    ]

    private static var removable: Scenario {
        var scenario = Scenario(
            .removableToEvadeReadiness, "removable-disk", "shows a fixed disk as one with a removable medium")
        scenario.disksAreRemovable = true
        return scenario
    }
}
