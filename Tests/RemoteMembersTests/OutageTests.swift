import Glibc
import MemberIO
import Platform
import RemoteMembers
import Synchronization
import TestSupport
import TestTraits
import Testing

/// Waits for a member until it is told otherwise.
private final class Patience: OutageRule {
    private let awaited = Mutex(true)
    let looks = Mutex<[Bool]>([])
    let wasLost = OneShotEvent()
    let hasLooked = OneShotEvent()
    let isBack = OneShotEvent()

    func lost(_ reason: String, grace: UInt64) { wasLost.set() }
    var isAwaited: Bool { awaited.withLock { $0 } }
    func giveUp() { awaited.withLock { $0 = false } }
    func isUnchanged(superblock: [UInt8], hasFlushedWrites: Bool) -> Bool {
        looks.withLock { $0.append(hasFlushedWrites) }
        hasLooked.set()
        return hasFlushedWrites && superblock.count == 4096
    }
    func returned() { isBack.set() }
}

/// A member that waits for its server. The server dies of a write at 512 KiB: it hangs up then, and on everything after
/// that.
private final class Outage {
    static let deadlyByteOffset: UInt64 = 512 << 10
    let server: FakeServer
    let rule = Patience()
    let fixture: Fixture
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)

    init() throws {
        let isDying = Mutex(false)
        server = try FakeServer { request in
            isDying.withLock { isDying in
                isDying = isDying || request.byteOffset >= Outage.deadlyByteOffset
                return isDying ? .hangUp : .done
            }
        }
        fixture = try Fixture(server.uri, limits: Fixture.quick, outage: rule)
    }

    deinit { memory.deallocate() }

    /// Writes 4 KiB, while the server lives.
    func write(_ byte: UInt8, at byteOffset: UInt64) {
        #expect(fixture.write(byte, at: byteOffset, count: 4096) == .done)
    }

    /// Starts an operation on 4 KiB, whose token is its place.
    func start(_ kind: MemberIO.Kind, at byteOffset: UInt64, _ memory: UnsafeMutableRawPointer) {
        fixture.start([
            MemberIO(kind: kind, place: 0, byteOffset: byteOffset, byteCount: 4096, memory: memory, token: byteOffset)
        ])
    }

    /// Starts the write that the server dies of, with the first half of the memory.
    func begin() {
        start(.write, at: Self.deadlyByteOffset, memory)
        #expect(rule.wasLost.comes())
    }

    /// Starts a server in the place of the first one, which the test has stopped. The test stops this one too.
    func comeBack(holding bytes: [UInt8]) throws -> FakeServer {
        let again = try FakeServer(path: server.path) { _ in .done }
        again.bytes.copyBytes(from: bytes)
        return again
    }
}

/// Members whose server is lost, and waited for.
@Suite("Outages of remote members", .blocks)
struct OutageTests {
    private static let superblock: UInt64 = 4096

    @Test("what was not durable is written again in order, and what was not answered is asked for again")
    func returns() throws {
        let outage = try Outage()
        let (rule, fixture) = (outage.rule, outage.fixture)
        outage.write(1, at: 65536)
        #expect(fixture.run(.flush) == .done)
        let durable = [UInt8](outage.server.bytes)
        outage.write(2, at: 131072)
        outage.write(3, at: 131072 + 2048)
        #expect(fixture.run(.punch, at: 131072 + 1024, count: 512) == .done)
        memset(outage.memory, 4, 4096)
        outage.begin()
        // What comes meanwhile waits too.
        outage.start(.read, at: 131072, outage.memory + 4096)
        outage.server.stop()
        #expect(fixture.member.loss == nil)

        let again = try outage.comeBack(holding: durable)
        defer { again.stop() }
        let outcomes = fixture.lane.reap(2)
        #expect(Set(outcomes.map(\.token)) == [512 << 10, 131072])
        #expect(outcomes.allSatisfy { $0.status == .done })
        #expect(rule.isBack.comes())
        #expect(again.bytes[65536] == 1)
        #expect(again.bytes[131072] == 2 && again.bytes[131072 + 1023] == 2 && again.bytes[131072 + 1024] == 0)
        #expect(again.bytes[131072 + 2047] == 2 && again.bytes[131072 + 2048] == 3 && again.bytes[131072 + 6143] == 3)
        #expect(again.bytes[512 << 10] == 4)
        #expect(memcmp(outage.memory + 4096, again.bytes.baseAddress! + 131072, 4096) == 0)
        // What was durable is not written again, but looked for.
        let requests = again.requests
        #expect(!requests.contains { $0.kind != .read && $0.byteOffset == 65536 })
        #expect(requests.contains { $0.kind == .read && $0.byteOffset == 65536 })
        #expect(requests.first?.byteOffset == Self.superblock)
        // It is durable with the next flush, and then not written again either.
        #expect(fixture.run(.flush) == .done)
        #expect(fixture.reports.all.isEmpty)
    }

    @Test("a member that was rolled back to before its last flush is not gone on with")
    func rolledBack() throws {
        let outage = try Outage()
        let old = [UInt8](outage.server.bytes)
        outage.write(1, at: 65536)
        #expect(outage.fixture.run(.flush) == .done)
        outage.begin()
        outage.server.stop()
        let again = try outage.comeBack(holding: old)
        defer { again.stop() }
        #expect(outage.rule.hasLooked.comes())
        outage.rule.giveUp()
        #expect(outage.fixture.lane.reap(1)[0].status == .failed)
        #expect(outage.rule.looks.withLock { $0.allSatisfy { !$0 } })
        #expect(!again.requests.contains { $0.kind == .write })
        #expect(!outage.rule.isBack.isSet)
        #expect(outage.fixture.member.loss != nil)
    }

    @Test("a place that was written since proves nothing, and a copy without the write that was not durable is taken")
    func touchedWitness() throws {
        let outage = try Outage()
        outage.write(1, at: 65536)
        #expect(outage.fixture.run(.flush) == .done)
        outage.write(2, at: 65536)
        outage.begin()
        outage.server.stop()
        let again = try outage.comeBack(holding: [UInt8](outage.server.bytes))
        defer { again.stop() }
        #expect(outage.fixture.lane.reap(1)[0].status == .done)
        #expect(again.bytes[65536] == 2)
    }

    @Test("who is given up fails with all that was held, and a member that is closed meanwhile ends")
    func givenUp() throws {
        let outage = try Outage()
        outage.begin()
        outage.start(.write, at: 0, outage.memory)
        outage.server.stop()
        outage.rule.giveUp()
        #expect(outage.fixture.lane.reap(2).allSatisfy { $0.status == .failed })
        #expect(outage.fixture.write(1, at: 0, count: 512) == .failed)
        #expect(outage.fixture.reports.waitForLoss())

        let other = try FakeServer { _ in .hangUp }
        let patience = Patience()
        do {
            let member = try RemoteMember(uri: other.uri, readOnly: false, outage: patience) { _, _ in }
            let call = try OSThread(name: "call") { _ = try? member.flush() }
            #expect(patience.wasLost.comes())
            other.stop()
            patience.giveUp()
            call.join()
        }
    }

    @Test("writes are flushed now and then, so that what is kept of them stays small")
    func flushesByItself() throws {
        let server = try FakeServer(byteCount: 32 << 20)
        defer { server.stop() }
        let fixture = try Fixture(server.uri, outage: Patience())
        for round in 0..<24 {
            #expect(fixture.write(UInt8(round), at: UInt64(round) << 20, count: 1 << 20) == .done)
        }
        #expect(server.requests.contains { $0.kind == .flush })
    }

    @Test("when a flush that nobody asked for fails, the next one that is asked for is not answered as good")
    func failedFlush() throws {
        let count = Mutex(0)
        let server = try FakeServer(byteCount: 32 << 20) { request in
            guard request.kind == .flush else { return .done }
            return count.withLock { count in
                count += 1
                return count == 1 ? .error(5) : .done
            }
        }
        defer { server.stop() }
        let fixture = try Fixture(server.uri, outage: Patience())
        for round in 0..<24 {
            #expect(fixture.write(UInt8(round), at: UInt64(round) << 20, count: 1 << 20) == .done)
        }
        #expect(fixture.run(.flush) == .failed)
    }
}
