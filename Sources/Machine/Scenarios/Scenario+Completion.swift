extension Scenario {
    /// B18 to B30, B45 to B47.
    static let completion: [Scenario] = [
        Scenario(
            .bundledActionCompletedAsLegacy, "bundled-completed-as-legacy",
            "completes slots with ParallelTaskCompletion", CompletesBundledAsLegacy.self),
        Scenario(
            .legacyTaskCompletedAsBundled, "legacy-completed-as-bundled",
            "completes tasks of UserProcessParallelTask with BundledParallelTaskCompletion",
            CompletesLegacyAsBundled.self
        ).mode(.legacy),
        Scenario(
            .overRelease, "over-release", "releases the bundled action after each completion",
            ReleasesBundledAction.self),
        Scenario(
            .missingRetain, "missing-retain", "stores a legacy task's action without retaining it", ForgetsRetain.self
        ).mode(.legacy),
        Scenario(
            .responseVersion, "response-version", "leaves the version of responses 0", LeavesVersionOut.self),
        Scenario(
            .responseNamesAnotherTask, "response-names-another-task", "writes a wrong fControllerTaskIdentifier",
            NamesAnotherTask.self),
        Scenario(
            .responseNamesAnotherTask, "response-names-another-target", "writes a wrong fTargetID",
            NamesAnotherTarget.self),
        Scenario(
            .wrongTransferCount, "transfer-count-forgotten", "leaves fBytesTransferred 0", ForgetsTransferCount.self),
        Scenario(
            .wrongTransferCount, "transfer-count-too-large", "reports more bytes than were asked for",
            ReportsTooManyBytes.self),
        Scenario(
            .badSenseData, "no-sense-data", "claims autosense and sends CHECK CONDITION without sense data",
            LeavesSenseOut.self),
        Scenario(
            .badSenseData, "sense-data-too-long", "sends 255 bytes of sense data", SendsTooMuchSense.self),
        Scenario(
            .slotAddressIsNull, "late-get-address", "calls GetAddress when the descriptor is gone",
            AsksForAddressLate.self),
        Scenario(
            .bundledModeDeclined, "bundled-mode-declined",
            "returns an error from the mapping call, meaning to try again later", DeclinesSlots.self),
        Scenario(.slotMisuse, "slot-completed-twice", "passes each slot back twice", CompletesTwice.self),
        Scenario(
            .slotMisuse, "slot-unknown", "passes a slot back that does not exist", CompletesUnknownSlot.self),
        Scenario(.slotMisuse, "slot-count-too-large", "passes 40 slots back in one call", CompletesTooMany.self),
        Scenario(.slotMisuse, "slot-count-zero", "passes no slot back", CompletesNothing.self),
        Scenario(
            .slotMisuse, "slot-touched-after-completion", "writes to responses after it has passed them back",
            TouchesSlotAfterCompletion.self),
        Scenario(
            .immediateResponse, "immediate-response", "returns TASK_COMPLETE in *response", AnswersAtOnce.self
        ).mode(.legacy),
        Scenario(
            .taskNeverCompleted, "completion-lost", "loses the completions of writes", LosesCompletion.self),
        Scenario(
            .bundledSlotDropped, "slot-dropped", "returns early from a bundled call", ReturnsEarly.self),
    ]
}
