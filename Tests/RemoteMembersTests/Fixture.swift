import Glibc
import MemberIO
import Members
import Platform
import RemoteMembers
import Synchronization
import TestSupport

/// Collects what a member reports, and lets a test wait for it.
final class Reports: Sendable {
    private let texts = Mutex<[String]>([])
    private let lost = OneShotEvent()
    private let returned = OneShotEvent()

    var all: [String] { texts.withLock { $0 } }

    func add(_ text: String) {
        texts.withLock { $0.append(text) }
        if text.contains(" is lost: ") { lost.set() }
        if text.contains("can be reached again") { returned.set() }
    }

    func waitForLoss() -> Bool { lost.comes() }
    func waitForReturn() -> Bool { returned.comes() }
}

/// A member behind a server, and a lane that has it alone.
final class Fixture {
    let reports = Reports()
    let member: RemoteMember
    let lane: MemberLane

    init(
        _ uri: String, readOnly: Bool = false, limits: RemoteTimeLimits = RemoteTimeLimits(),
        outage: (any OutageRule)? = nil
    ) throws {
        member = try RemoteMember(uri: uri, readOnly: readOnly, limits: limits, outage: outage) { [reports] text, _ in
            reports.add(text)
        }
        lane = try MemberLane(engine: .threads, places: [.endpoint(member)])
    }

    /// Short enough for a test, long enough for a busy machine to keep.
    static var quick: RemoteTimeLimits {
        var limits = RemoteTimeLimits()
        limits.connecting = 2000
        limits.answering = 1500
        limits.firstRetry = 10
        return limits
    }

    func start(_ ios: [MemberIO]) { ios.withUnsafeBufferPointer { lane.start($0, fileBase: 0) } }

    /// Does one operation.
    func run(
        _ kind: MemberIO.Kind, at byteOffset: UInt64 = 0, count: Int = 0, memory: UnsafeMutableRawPointer? = nil
    ) -> MemberStatus {
        start([
            MemberIO(kind: kind, place: 0, byteOffset: byteOffset, byteCount: count, memory: memory, token: 1)
        ])
        return lane.reap(1)[0].status
    }

    func write(_ byte: UInt8, at byteOffset: UInt64, count: Int) -> MemberStatus {
        var data = [UInt8](repeating: byte, count: count)
        return data.withUnsafeMutableBytes { run(.write, at: byteOffset, count: count, memory: $0.baseAddress) }
    }
}
