/// A mistake that a driver or its configuration can make. The raw value is its name in reports, scenarios and
/// documentation.
///
/// The catalogue (`entry`) says which rule it breaks, how macOS shows it and how to fix it.
public enum DriverFault: String, Sendable, CaseIterable {
    // Queues and life cycle.
    case queueNameOnTaskEntry = "B01"
    case createOnDefaultQueue = "B02"
    case noAuxiliaryQueue = "B03"
    case otherWorkOnAuxiliaryQueue = "B04"
    case interruptsOnDefaultQueue = "B05"
    case waitInStartController = "B06"
    case targetNotReady = "B07"
    case interruptBeforeInitialization = "B08"
    case targetAboveHighestID = "B09"
    case targetIsInitiator = "B10"
    case targetCreatedTwice = "B11"
    case waitInStop = "B12"
    case noTasks = "B13"
    case taskIDNotUnique = "B14"
    case tasksOutstandingAtStop = "B15"
    case notReadyTooLong = "B16"
    case removableToEvadeReadiness = "B17"

    // Completion.
    case bundledActionCompletedAsLegacy = "B18"
    case legacyTaskCompletedAsBundled = "B19"
    case overRelease = "B20"
    case retainOnInvalidObject = "B21"
    case missingRetain = "B22"
    case bundledActionChanged = "B23"
    case responseVersion = "B24"
    case responseNamesAnotherTask = "B25"
    case wrongTransferCount = "B26"
    case badSenseData = "B27"
    case slotAddressIsNull = "B28"
    case bundledModeDeclined = "B29"
    case slotMisuse = "B30"

    // Sizes, DMA, data.
    case stageSizeIsZero = "B31"
    case maxTransferSizeTooSmall = "B32"
    case requiredConstraintMissing = "B33"
    case constraintsNotReported = "B34"
    case constraintNotSettable = "B35"
    case alignmentAbovePageSize = "B36"
    case severalSegments = "B37"
    case badDMASpecification = "B38"
    case busAddressDereferenced = "B39"
    case dataBufferOutsideTask = "B40"
    case completedWhileDeviceWorks = "B41"
    case overlappingWritesReordered = "B42"
    case flushNotHonoured = "B43"
    case writeNotExecuted = "B44"
    case immediateResponse = "B45"
    case taskNeverCompleted = "B46"
    case bundledSlotDropped = "B47"
    case mediaChangeNotAnnounced = "B48"

    // Faults without a row in the table of known bugs.
    case dartFault = "B49"
    case queueCycle = "B50"
    case driverCrash = "B51"
    case powerChangeNotAcknowledged = "B52"

    // The bundle of a DEXT, as its build sees it.
    case personalityDropped = "B53"
    case methodMissing = "B54"
    case userClientWithoutFactory = "B55"

    /// How much harm a fault does.
    public enum Severity: Int, Sendable, Comparable {
        /// Worth knowing; nothing fails.
        case note
        /// Something may fail, depending on what is asked of the driver.
        case warning
        /// Something fails.
        case error

        public static func < (left: Severity, right: Severity) -> Bool { left.rawValue < right.rawValue }
    }

    /// How much harm this fault does.
    public var severity: Severity {
        switch self {
        case .constraintNotSettable, .bundledModeDeclined: .note
        case .alignmentAbovePageSize, .interruptsOnDefaultQueue, .removableToEvadeReadiness: .warning
        default: .error
        }
    }

    /// Faults that a driver with this one seems to have as well, although they only follow from it.
    public var consequences: Set<DriverFault> {
        switch self {
        // Tasks do not come back while the queues that they need are waiting.
        case .createOnDefaultQueue, .otherWorkOnAuxiliaryQueue, .waitInStartController, .waitInStop, .queueCycle:
            [.targetNotReady, .taskNeverCompleted, .bundledSlotDropped, .tasksOutstandingAtStop]
        // A refused completion leaves its task with a driver that does not know it, and may not keep the action.
        case .bundledActionCompletedAsLegacy, .legacyTaskCompletedAsBundled:
            [.missingRetain, .taskNeverCompleted, .tasksOutstandingAtStop]
        // The surplus completion hits the slot's next task.
        case .slotMisuse, .completedWhileDeviceWorks:
            [
                .slotMisuse, .completedWhileDeviceWorks, .writeNotExecuted, .flushNotHonoured,
                .overlappingWritesReordered, .taskNeverCompleted, .tasksOutstandingAtStop,
            ]
        // A driver without slots drops the tasks in them.
        case .slotAddressIsNull: [.bundledSlotDropped, .taskNeverCompleted, .tasksOutstandingAtStop]
        case .taskNeverCompleted, .bundledSlotDropped: [.tasksOutstandingAtStop]
        // The release that follows has no retain of its own.
        case .missingRetain: [.overRelease]
        default: []
        }
    }
}
