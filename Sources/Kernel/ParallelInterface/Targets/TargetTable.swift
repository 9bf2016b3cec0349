import Platform
import Synchronization

/// The states of a target's life.
enum TargetState: UInt8, BitwiseCopyable, CaseIterable {
    /// No stack is above it. Its driver may create it.
    case absent
    /// The driver is asked whether it takes the target; then the target is probed, and the stack above it is built.
    case creating
    /// The driver destroyed it during its creation.
    case ending
    case present
    /// The driver destroyed it. The stack above it stays, and its tasks fail.
    case destroyed
    /// The driver creates it once more, and is asked whether it takes the target.
    case returning

    /// The legal next states.
    var successors: [TargetState] {
        switch self {
        case .absent: [.creating]
        case .creating: [.present, .absent, .ending]
        case .ending: [.destroyed, .absent]
        case .present: [.destroyed]
        case .destroyed: [.returning]
        case .returning: [.present, .destroyed]
        }
    }

    /// Tasks for a target in this state fail without going to the driver.
    var refusesTasks: Bool { self == .ending || self == .destroyed || self == .returning }
}

/// The lives of all targets. A target's stack is built once and stays until the controller ends, whatever the driver
/// destroys and creates, so that tasks under way always come back to their sender.
///
/// Threads: any.
final class TargetTable: Sendable {
    /// The work of a call of UserCreateTargetForID.
    enum Creation: Equatable {
        /// Ask the driver, probe the target and build the stack above it; then call `end`.
        case build(turn: UInt64)
        /// The stack was built before. Ask the driver; then call `end`.
        case accept(turn: UInt64)
        /// The stack is being built for a driver that has ended. Ask the driver that runs.
        case join
        /// The driver has created the target already, or is creating it.
        case refuse(wasScanned: Bool)
    }

    private struct Target: BitwiseCopyable {
        var state = TargetState.absent
        /// The kernel looked for it by itself.
        var isScanned = false
        /// The running driver has created it.
        var isAnnounced = false
        /// The number of the creation that may change it.
        var turn: UInt64 = 0
    }

    static let capacity = 256
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) let targets: UnsafeMutablePointer<Target>
    private nonisolated(unsafe) var lastTurn: UInt64 = 0
    // SAFETY: the pointer never changes, and the elements are atomics.
    /// Whether tasks fail, by target. Read without the lock, since it is read for each task.
    private nonisolated(unsafe) let refusals: UnsafeMutablePointer<Atomic<Bool>>

    init() {
        targets = .allocate(capacity: Self.capacity)
        targets.initialize(repeating: Target(), count: Self.capacity)
        refusals = .allocate(capacity: Self.capacity)
        for target in 0..<Self.capacity { (refusals + target).initialize(to: Atomic(false)) }
    }

    deinit {
        targets.deallocate()
        refusals.deinitialize(count: Self.capacity)
        refusals.deallocate()
    }

    /// Begins the creation of a target by the driver or by the kernel's scan.
    func create(_ id: UInt8, isScan: Bool) -> Creation {
        lock.withLock {
            let target = targets + Int(id)
            let isKnown = target.pointee.isAnnounced
            switch target.pointee.state {
            case .absent:
                target.pointee.isScanned = isScan
                target.pointee.isAnnounced = true
                move(target, to: .creating)
                return .build(turn: beginTurn(target))
            case .destroyed:
                target.pointee.isAnnounced = true
                move(target, to: .returning)
                return .accept(turn: beginTurn(target))
            case .present where !isKnown:
                target.pointee.isAnnounced = true
                return .accept(turn: beginTurn(target))
            case .creating where !isKnown:
                target.pointee.isAnnounced = true
                return .join
            case .creating, .ending, .present, .returning: return .refuse(wasScanned: target.pointee.isScanned)
            }
        }
    }

    /// Ends a creation.
    /// - Parameters:
    ///   - turn: the number from `create`. An overtaken creation changes nothing.
    ///   - isUsable: the driver takes the target, and the stack above it is complete.
    /// - Returns: whether the target is present.
    func end(_ id: UInt8, turn: UInt64, isUsable: Bool) -> Bool {
        lock.withLock {
            let target = targets + Int(id)
            assert(turn > 0 && turn <= lastTurn, "creation \(turn) of target \(id) was never begun")
            guard target.pointee.turn == turn else { return false }
            switch target.pointee.state {
            case .creating: move(target, to: isUsable ? .present : .absent)
            case .ending: move(target, to: isUsable ? .destroyed : .absent)
            case .returning: move(target, to: isUsable ? .present : .destroyed)
            // A restarted driver that does not take the target may create it later.
            case .present: target.pointee.isAnnounced = isUsable
            case .absent, .destroyed: return false
            }
            return isUsable && target.pointee.state == .present
        }
    }

    /// Destroys a target, whose tasks fail from now on.
    /// - Returns: whether there was one.
    func destroy(_ id: UInt8) -> Bool {
        lock.withLock {
            let target = targets + Int(id)
            switch target.pointee.state {
            case .absent, .ending, .destroyed: return false
            // The creation under way ends by itself.
            case .creating:
                assert(target.pointee.turn > 0, "target \(id) is being created by nobody")
                move(target, to: .ending)
            case .present, .returning:
                move(target, to: .destroyed)
                _ = beginTurn(target)
            }
            return true
        }
    }

    /// Notes that the driver's process ended. The next driver creates the existing targets anew.
    func driverEnded() {
        lock.withLock {
            for id in 0..<Self.capacity {
                targets[id].isAnnounced = false
                guard targets[id].state == .returning else { continue }
                move(targets + id, to: .destroyed)
                _ = beginTurn(targets + id)
            }
        }
    }

    /// The targets with a stack that the running driver has not created.
    var unannounced: [UInt8] {
        lock.withLock {
            (0..<Self.capacity).filter {
                !targets[$0].isAnnounced && (targets[$0].state == .present || targets[$0].state == .destroyed)
            }.map { UInt8($0) }
        }
    }

    func state(of id: UInt8) -> TargetState {
        lock.withLock {
            let state = targets[Int(id)].state
            assert(refusesTasks(id) == state.refusesTasks, "target \(id) is \(state), and its tasks do not know it")
            return state
        }
    }

    /// Whether the kernel looked for a target by itself.
    func isScanned(_ id: UInt8) -> Bool { lock.withLock { targets[Int(id)].isScanned } }

    /// Whether tasks for a target fail at once.
    func refusesTasks(_ id: UInt8) -> Bool { refusals[Int(id)].load(ordering: .acquiring) }

    /// Changes a target's state. Every change goes this way; an illegal one traps.
    private func move(_ target: UnsafeMutablePointer<Target>, to state: TargetState) {
        precondition(
            target.pointee.state.successors.contains(state),
            "target \(target - targets) cannot become \(state): it is \(target.pointee.state)")
        target.pointee.state = state
        refusals[target - targets].store(state.refusesTasks, ordering: .releasing)
    }

    private func beginTurn(_ target: UnsafeMutablePointer<Target>) -> UInt64 {
        lastTurn += 1
        target.pointee.turn = lastTurn
        return lastTurn
    }
}
