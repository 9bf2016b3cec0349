import DriverHost
import Synchronization

/// The state of a slot, and the facts of its last sending, in one word that changes as a whole.
///
/// From the lowest bit: 3 bits for the state, `isHeld`, the route, 3 bits for the step of recovery, 8 bits for the
/// sequence domain, and 48 bits for the sequence number. At a million tasks a second these last for eight years.
struct SlotWord: RawRepresentable, Equatable, BitwiseCopyable, AtomicRepresentable {
    let rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The word of a slot that the driver has.
    init(sentBy route: TaskRoute, in domain: SequenceDomain, sequence: UInt64) {
        assert(sequence > 0 && sequence >> 48 == 0, "sequence number \(sequence) needs more than 48 bits")
        let facts = UInt64(route.rawValue) << Self.routeShift | UInt64(domain.rawValue) << Self.domainShift
        rawValue = UInt64(SlotState.withDriver.rawValue) | facts | sequence << Self.sequenceShift
    }

    private static let stateMask: UInt64 = 7
    private static let heldBit: UInt64 = 1 << 3
    private static let routeShift: UInt64 = 4
    private static let recoveryShift: UInt64 = 5
    private static let recoveryMask: UInt64 = 7 << recoveryShift
    private static let domainShift: UInt64 = 8
    private static let sequenceShift: UInt64 = 16

    /// The word of a slot that was never used.
    static let unused = SlotWord(rawValue: UInt64(SlotState.free.rawValue))

    // The numbers in a word are those of cases.

    var state: SlotState { SlotState(rawValue: UInt8(rawValue & Self.stateMask))! }
    /// Recovery looks at the slot, which does not change until then. Only a slot that the driver has can be held.
    var isHeld: Bool { rawValue & Self.heldBit != 0 }
    var route: TaskRoute { TaskRoute(rawValue: UInt8(rawValue >> Self.routeShift & 1))! }
    /// The last step of recovery that was taken for the task.
    var recovery: RecoveryStep {
        RecoveryStep(rawValue: UInt8((rawValue & Self.recoveryMask) >> Self.recoveryShift))!
    }
    /// The slots of one domain reach the driver in the order of their sequence.
    var domain: SequenceDomain { SequenceDomain(rawValue: UInt8(truncatingIfNeeded: rawValue >> Self.domainShift)) }
    /// Grows with each slot that is sent.
    var sequence: UInt64 { rawValue >> Self.sequenceShift }

    // The next three are asked for each task, and compare bits instead of making cases of them.

    /// Whether the slot is in this state.
    func isIn(_ state: SlotState) -> Bool { rawValue & Self.stateMask == UInt64(state.rawValue) }

    /// Whether the driver may pass the slot back by this route.
    func isOfDriver(by route: TaskRoute) -> Bool {
        (isIn(.withDriver) || isIn(.abandoned)) && rawValue >> Self.routeShift & 1 == UInt64(route.rawValue)
    }

    /// Whether the slot may become free.
    var mayBecomeFree: Bool { isIn(.completed) || isIn(.claimed) || isIn(.lingering) }

    /// The same slot in another state.
    func moved(to state: SlotState) -> SlotWord {
        assert(!isHeld, "a slot becomes \(state) while recovery looks at it")
        return SlotWord(rawValue: rawValue & ~Self.stateMask | UInt64(state.rawValue))
    }

    /// The same slot, held.
    var held: SlotWord {
        assert(isIn(.withDriver), "a slot is held that the driver does not have: it is \(state)")
        return SlotWord(rawValue: rawValue | Self.heldBit)
    }

    /// The same slot after a step of recovery.
    func after(_ step: RecoveryStep) -> SlotWord {
        SlotWord(rawValue: rawValue & ~Self.recoveryMask | UInt64(step.rawValue) << Self.recoveryShift)
    }
}
