import Platform
import Synchronization

/// Where a target is in its life.
enum TargetState: UInt8, BitwiseCopyable, CaseIterable {
    /// There is nothing above it. Its driver may create it.
    case absent
    /// The driver is asked whether it takes the target; then the target is probed, and what is above it is built.
    case creating
    /// The driver has destroyed it while it was being created.
    case ending
    case present
    /// The driver has destroyed it. What is above it stays, and its tasks fail.
    case destroyed
    /// The driver creates it once more, and is asked whether it takes the target.
    case returning

    /// What it may become next.
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

    /// Tasks for such a target do not go to the driver.
    var refusesTasks: Bool { self == .ending || self == .destroyed || self == .returning }
}

/// The lives of all targets. A target is built once: what is above it stays until the controller ends, whatever the driver
/// destroys and creates, so that tasks which are under way always come back to whoever has sent them.
///
/// Threads: any.
final class TargetTable: Sendable {
    /// What a call of UserCreateTargetForID has to do.
    enum Creation: Equatable {
        /// Ask the driver, probe the target and build what is above it; then call `end`.
        case build(turn: UInt64)
        /// It was built before. Ask the driver; then call `end`.
        case accept(turn: UInt64)
        /// It is being built for a driver that has ended. Ask the one that runs.
        case join
        /// The driver has created it already, or is about to.
        case refuse(wasScanned: Bool)
    }

    private struct Target: BitwiseCopyable {
        var state = TargetState.absent
        /// The kernel has looked for it by itself.
        var isScanned = false
        /// The driver that runs has created it.
        var isAnnounced = false
        /// Which creation may change it.
        var turn: UInt64 = 0
    }

    static let capacity = 256
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) let targets: UnsafeMutablePointer<Target>
    private nonisolated(unsafe) var lastTurn: UInt64 = 0
    // SAFETY: the pointer never changes, and the elements are atomics.
    /// By target. Read for each task, so without the lock.
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

    /// The driver, or the kernel's scan, creates a target.
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

    /// A creation has come to its end.
    /// - Parameters:
    ///   - turn: as `create` has given it. One that was overtaken changes nothing.
    ///   - isUsable: the driver takes the target, and everything above it was built.
    /// - Returns: whether the target is present.
    func end(_ id: UInt8, turn: UInt64, isUsable: Bool) -> Bool {
        lock.withLock {
            let target = targets + Int(id)
            guard target.pointee.turn == turn else { return false }
            switch target.pointee.state {
            case .creating: move(target, to: isUsable ? .present : .absent)
            case .ending: move(target, to: isUsable ? .destroyed : .absent)
            case .returning: move(target, to: isUsable ? .present : .destroyed)
            // The driver that was started again does not take it; it may say otherwise later.
            case .present: target.pointee.isAnnounced = isUsable
            case .absent, .destroyed: return false
            }
            return isUsable && target.pointee.state == .present
        }
    }

    /// The driver destroys a target: its tasks fail from now on.
    /// - Returns: whether there was one.
    func destroy(_ id: UInt8) -> Bool {
        lock.withLock {
            let target = targets + Int(id)
            switch target.pointee.state {
            case .absent, .ending, .destroyed: return false
            // What is being built comes to its own end.
            case .creating: move(target, to: .ending)
            case .present, .returning:
                move(target, to: .destroyed)
                _ = beginTurn(target)
            }
            return true
        }
    }

    /// The driver's process is gone: the next one creates its targets anew, which exist.
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

    /// The targets that were built and that the driver which runs has not created.
    var unannounced: [UInt8] {
        lock.withLock {
            (0..<Self.capacity).filter {
                !targets[$0].isAnnounced && (targets[$0].state == .present || targets[$0].state == .destroyed)
            }.map { UInt8($0) }
        }
    }

    func state(of id: UInt8) -> TargetState { lock.withLock { targets[Int(id)].state } }

    /// Whether the kernel has looked for a target by itself.
    func isScanned(_ id: UInt8) -> Bool { lock.withLock { targets[Int(id)].isScanned } }

    /// Whether tasks for a target fail at once.
    func refusesTasks(_ id: UInt8) -> Bool { refusals[Int(id)].load(ordering: .acquiring) }

    /// The one place where a target's state changes.
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
