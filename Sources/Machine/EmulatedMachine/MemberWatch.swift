import Platform
import RAIDController

/// The thread that checks whether an array's members are still there, so that a lost one is noticed before a request
/// needs it.
struct MemberWatch {
    /// Short enough that the state shown of an array is true within a second.
    private static let periodMilliseconds = 500

    private let stopped = OneShotEvent()
    private let finished = OneShotEvent()

    /// - Parameter target: which of the card's arrays.
    /// - Throws: when there is no thread left.
    init(card: RAIDController, target: Int) throws {
        let thread = try OSThread(name: "watch \(target)") { [stopped, finished] in
            while !stopped.wait(milliseconds: Self.periodMilliseconds) { card.watchMembers(target: target) }
            finished.set()
        }
        thread.detach()
    }

    /// Ends the thread, and returns when it does not use the card any more.
    func stop() {
        stopped.set()
        finished.wait()
    }
}
