extension DriverFault {
    /// B18 to B30: completion.
    static let completionEntries: [DriverFault: FaultEntry] = [
        .bundledActionCompletedAsLegacy: FaultEntry(
            "the bundled action was given to ParallelTaskCompletion",
            rule: "a command is completed by the route on which it arrived",
            symptom: "__assert_rtn in OSMetaClassBase::QueueForObject, the DEXT dies, then a panic",
            fix: "complete slots with BundledParallelTaskCompletion, and only tasks of UserProcessParallelTask with "
                + "ParallelTaskCompletion",
            reference: Reference.forum),
        .legacyTaskCompletedAsBundled: FaultEntry(
            "a legacy task was completed by BundledParallelTaskCompletion",
            rule:
                "a command is completed by the route on which it arrived; early commands may be legacy in bundled mode",
            symptom: "a crash or a lost completion",
            fix: "keep with each command how it came, and complete legacy ones with their own action",
            reference: Reference.forum),
        .overRelease: FaultEntry(
            "an object was released more often than it was retained",
            rule: "the bundled action is not consumed by a completion; a legacy action has one retain and one release",
            symptom: "use after free: a crash in a later completion",
            fix: "retain the bundled action once, on the first call, and never release it",
            reference: Reference.forum),
        .retainOnInvalidObject: FaultEntry(
            "retain was called on something that is not an object",
            rule: "an action field is valid only after it was stored",
            symptom: "immediate reset of the machine, without a report",
            fix: "initialise action fields to nullptr and check them",
            reference: Reference.forum),
        .missingRetain: FaultEntry(
            "a legacy task's action was stored without a retain",
            rule:
                "the action belongs to the caller; a driver that uses it after UserProcessParallelTask has returned retains it",
            symptom: "the action is freed before its completion; a crash that depends on timing",
            fix: "completion->retain() in UserProcessParallelTask, release() after ParallelTaskCompletion",
            reference: Reference.forum),
        .bundledActionChanged: FaultEntry(
            "the bundled action changed between two calls",
            rule: "one action serves all bundled calls of a controller",
            symptom: "an assertion in the driver",
            fix: "none: the kernel's side would be at fault",
            reference: Reference.forum),
        .responseVersion: FaultEntry(
            "a response was not filled in",
            rule: "each response carries version 1 and is written before its slot is passed back",
            symptom: "the kernel drops the response: the task hangs until its time is up, or for ever",
            fix: "fill the whole response, fResponse.version = kScsiUserParallelTaskResponseCurrentVersion1 first",
            reference: Reference.header + "; " + Reference.field),
        .responseNamesAnotherTask: FaultEntry(
            "a response names another task or target than its slot",
            rule: "fTargetID and fControllerTaskIdentifier are copied from the command",
            symptom: "the completion is lost, or ends the wrong command",
            fix: "copy both fields from the command that is being completed",
            reference: Reference.parallelFamily),
        .wrongTransferCount: FaultEntry(
            "GOOD was reported with a wrong fBytesTransferred",
            rule: "fBytesTransferred is what was really moved: all of it for a successful read or write",
            symptom: "kIOReturnUnderrun at the top, or data that nobody wrote",
            fix: "set fBytesTransferred in every response",
            reference: Reference.header),
        .badSenseData: FaultEntry(
            "the sense data of a CHECK CONDITION is missing or too long",
            rule: "an HBA that performs autosense delivers sense data with every CHECK CONDITION, 252 bytes at most",
            symptom: "endless REQUEST SENSE, or sense data that is misread",
            fix: "copy the sense data and its true length, or answer false from UserDoesHBAPerformAutoSense",
            reference: Reference.parallelFamily + "; SPC-4, 4.5"),
        .slotAddressIsNull: FaultEntry(
            "the address of the shared slots was asked for too late",
            rule: "a mapping does not keep its descriptor; GetAddress is called at once and the pointer kept",
            symptom: "GetAddress returns 0; data abort in the kernel, reboot loop until the device is unplugged",
            fix: "call GetAddress inside UserMapBundledParallelTaskCommandAndResponseBuffers and keep the pointer, or "
                + "retain the descriptor too",
            reference: Reference.forum),
        .bundledModeDeclined: FaultEntry(
            "the shared slots were declined: the driver is in legacy mode for good",
            rule: "the mode is chosen once, by what UserMapBundledParallelTaskCommandAndResponseBuffers returns",
            symptom: "commands come by UserProcessParallelTask only",
            fix: "return kIOReturnSuccess once the mappings stand; there is no second chance",
            reference: Reference.header),
        .slotMisuse: FaultEntry(
            "a slot was used that the driver does not own",
            rule: "a slot belongs to the driver from the bundled call that names it to the completion that passes it "
                + "back; 1 to 32 slots a call, each once",
            symptom: "memory corruption, wrong data, lost commands",
            fix: "keep a record of each slot from submission to completion; touch nothing afterwards",
            reference: Reference.header),
    ]
}
