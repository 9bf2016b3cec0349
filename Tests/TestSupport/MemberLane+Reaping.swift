import MemberIO
import Members

extension MemberLane {
    /// Waits for outcomes until so many have come; takes few at a time, so that some are left.
    package func reap(_ count: Int) -> [MemberCompletion] {
        let buffer = UnsafeMutableBufferPointer<MemberCompletion>.allocate(capacity: 3)
        defer { buffer.deallocate() }
        var outcomes: [MemberCompletion] = []
        while outcomes.count < count {
            let reaped = reap(into: buffer)
            outcomes += buffer[..<reaped]
            if reaped == 0 { wait(orReadable: -1) }
        }
        return outcomes
    }
}
