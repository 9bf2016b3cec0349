import HardwareBus
import ParallelInterface
import Platform

/// The provider of a driver that brings its own targets: a PCI function without registers and without work.
///
/// Threads: any.
final class SoftwareFunction: PCIFunction, @unchecked Sendable {
    // SAFETY: only under `lock`.
    private var isTaken = Array(repeating: false, count: ParallelController.laneCount(arrayCount: 0))
    private let lock = Lock()

    /// True, because it fills no memory.
    override var countsFilledBytes: Bool { true }

    override func makeLane() throws -> Int {
        try lock.withLock { () throws(OSError) in
            guard let lane = isTaken.firstIndex(of: false) else {
                throw OSError(code: 12, doing: "make another lane: all \(isTaken.count) are in use")
            }
            isTaken[lane] = true
            return lane
        }
    }

    override func releaseLane(_ lane: Int) { lock.withLock { isTaken[lane] = false } }
}
