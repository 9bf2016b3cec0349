import ArrayEngine
import Platform

/// The thread that checks whether an array's members are still there, so that a lost one is noticed before a request
/// needs it.
struct MemberWatch {
    /// Short enough that the state shown of an array is true within a second.
    private static let periodMilliseconds = 500

    private let stopped = OneShotEvent()
    private let finished = OneShotEvent()

    /// - Throws: when there is no thread left.
    init(_ array: LiveArray) throws {
        let thread = try OSThread(name: "watch \(array.index)") { [stopped, finished] in
            while !stopped.wait(milliseconds: Self.periodMilliseconds) { array.watchMembers() }
            finished.set()
        }
        thread.detach()
    }

    /// Ends the thread, and returns when it does not use the array any more.
    func stop() {
        stopped.set()
        finished.wait()
    }
}
