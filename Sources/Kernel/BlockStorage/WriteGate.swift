import Synchronization

/// Lets ordinary writes run side by side, and an unaligned write alone.
///
/// An unaligned write reads its edge blocks and writes them back whole, which would undo another write to the same
/// block in between. (On macOS only unaligned writes exclude one another.)
struct WriteGate: ~Copyable {
    /// Bit 31: an unaligned write waits or runs. Bits 0 to 30: the number of ordinary writes under way.
    private let state = Atomic<UInt32>(0)
    private static let closed: UInt32 = 1 << 31

    /// Counts an ordinary write in, unless the gate is closed.
    func enter() -> Bool {
        let old = state.add(1, ordering: .acquiringAndReleasing).oldValue
        if old & Self.closed == 0 { return true }
        _ = leave()
        return false
    }

    /// Counts an ordinary write out.
    /// - Returns: whether it was the last that a closed gate waited for.
    func leave() -> Bool {
        state.subtract(1, ordering: .acquiringAndReleasing).newValue == Self.closed
    }

    /// Closes the gate to ordinary writes.
    /// - Returns: whether none is under way.
    func close() -> Bool {
        state.bitwiseOr(Self.closed, ordering: .acquiringAndReleasing).oldValue & ~Self.closed == 0
    }

    func open() {
        state.bitwiseAnd(~Self.closed, ordering: .acquiringAndReleasing)
    }
}
