import Platform
import RAIDController

/// The thread that looks where an array's members are, so that one that is gone is known before somebody wants it.
struct MemberWatch {
    /// What is shown of an array is true within a second.
    private static let periodMilliseconds = 500

    private let stopped = Event()
    private let finished = Event()

    /// - Parameter target: which of the card's arrays.
    /// - Throws: when there is no thread left.
    init(card: RAIDController, target: Int) throws {
        let thread = try OSThread(name: "watch \(target)") { [stopped, finished] in
            while !stopped.wait(milliseconds: Self.periodMilliseconds) { card.watchMembers(target: target) }
            finished.set()
        }
        thread.detach()
    }

    /// Returns when the thread is done with the card.
    func stop() {
        stopped.set()
        finished.wait()
    }
}
