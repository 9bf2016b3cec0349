import Diagnostics
import DriverHost

/// What `UnreliableDriver` can do wrong.
enum Mistake: CaseIterable {
    case completesTwice, completesUnknownSlot, leavesVersionOut, namesOtherTask, namesOtherTarget, forgetsByteCount
    case dropsCompletion, dropsSlot, answersFlushItself, answersWriteItself, splitsAndCompletesEarly, reordersWrites
    case releasesAction, forgetsRetain, completesSlotAsTask, completesTaskAsSlot, touchesResponse, programsBeyondRange
    case refusesTask, leavesSenseOut

    /// As what it is to be reported.
    var fault: DriverFault {
        switch self {
        case .completesTwice, .completesUnknownSlot, .touchesResponse: .slotMisuse
        case .leavesVersionOut: .responseVersion
        case .namesOtherTask, .namesOtherTarget: .responseNamesAnotherTask
        case .forgetsByteCount: .wrongTransferCount
        case .dropsCompletion: .taskNeverCompleted
        case .dropsSlot: .bundledSlotDropped
        case .answersFlushItself: .flushNotHonoured
        case .answersWriteItself: .writeNotExecuted
        case .splitsAndCompletesEarly: .completedWhileDeviceWorks
        case .reordersWrites: .overlappingWritesReordered
        case .releasesAction: .overRelease
        case .forgetsRetain: .missingRetain
        case .completesSlotAsTask: .bundledActionCompletedAsLegacy
        case .completesTaskAsSlot: .legacyTaskCompletedAsBundled
        case .programsBeyondRange: .dartFault
        case .refusesTask: .immediateResponse
        case .leavesSenseOut: .badSenseData
        }
    }

    /// The modes in which it can be made.
    var modes: [DriverMode] {
        switch self {
        case .forgetsRetain, .completesTaskAsSlot, .refusesTask: [.legacy]
        case .completesTwice, .leavesVersionOut, .namesOtherTask, .namesOtherTarget, .forgetsByteCount,
            .dropsCompletion, .programsBeyondRange, .leavesSenseOut:
            [.bundled, .legacy]
        default: [.bundled]
        }
    }
}
