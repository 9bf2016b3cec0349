import Platform
import Synchronization

/// Runs commands one after another.
final class CommandOrder: Sendable {
    // Held for as long as a command takes. Only other commands wait for it.
    private let lock = Lock()
    private let places: Places

    /// - Parameter countMax: commands that run or wait.
    init(countMax: Int) { places = Places(countMax) }

    /// Runs a command in its turn.
    ///
    /// - Returns: nil when too many commands wait.
    func inTurn<Result>(_ body: () -> Result) -> Result? {
        guard places.take() else { return nil }
        defer { places.giveBack() }
        return lock.withLock(body)
    }
}

/// A number of places that users take and give back. Threads: any.
final class Places: Sendable {
    private let count: Int
    private let taken = Atomic<Int>(0)

    init(_ count: Int) { self.count = count }

    /// Takes a place.
    ///
    /// - Returns: false when none is left.
    func take() -> Bool {
        if taken.add(1, ordering: .relaxed).newValue <= count { return true }
        giveBack()
        return false
    }

    /// Gives a taken place back.
    func giveBack() { taken.subtract(1, ordering: .relaxed) }
}
