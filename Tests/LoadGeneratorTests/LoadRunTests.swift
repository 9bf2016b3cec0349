import Glibc
import LoadGenerator
import NBDProtocol
import NBDServer
import Platform
import TestSupport
import TestTraits
import Testing

@Suite("Load runs", .serialized, .needsCore)
struct LoadRunTests {
    /// A server over memory on a socket of its own.
    private final class Fixture {
        let service: RAMService
        let path = "/tmp/nbdext-load-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
        private let server: NBDServer

        init(byteCount: Int = 16 << 20) throws {
            service = try RAMService(byteCount: byteCount)
            server = try NBDServer(services: [service])
            _ = try server.listen(at: [.unix(path: path)])
        }

        deinit { server.stop(limitMilliseconds: 60_000) }

        func run(
            _ block: Int, _ order: Workload.Order, reads: Int, _ connections: Int = 1, _ depth: Int = 8,
            end: LoadEnd = .afterOnePass, isChecked: Bool = false, sendsSingly: Bool = false
        ) throws -> LoadResult {
            var run = LoadRun(
                path: path, workload: Workload("test", blockByteCount: block, order: order, readPercent: reads),
                load: LoadDepth(connectionCount: connections, depth: depth), end: end)
            run.isChecked = isChecked
            run.sendsSingly = sendsSingly
            return try run.execute()
        }
    }

    @Test(
        "one pass writes every block once, with the pattern of its place",
        arguments: [4096, 65536, 1 << 20], [1, 4])
    func onePass(block: Int, connections: Int) throws {
        let fixture = try Fixture()
        let result = try fixture.run(block, .sequential, reads: 0, connections)
        #expect(result.writes.count == UInt64((16 << 20) / block))
        #expect(result.reads.count == 0 && result.errorCount == 0)
        #expect(result.writes.latency.count == result.writes.count)
        let pattern = LoadPattern(blockByteCountMax: 4096)
        for offset in stride(from: 0, to: 16 << 20, by: 4096) {
            #expect(memcmp(fixture.service.bytes + offset, pattern.bytes(at: UInt64(offset)), 4096) == 0)
        }
    }

    @Test("what was written in large blocks is read in small ones, at random, in any depth", arguments: [1, 32, 512])
    func checkedReads(depth: Int) throws {
        let fixture = try Fixture()
        _ = try fixture.run(1 << 20, .sequential, reads: 0)
        let mixed = try fixture.run(4096, .random, reads: 70, 4, depth, end: .afterSeconds(0.2), isChecked: true)
        #expect(mixed.mismatchCount == 0 && mixed.errorCount == 0)
        #expect(mixed.reads.count > mixed.writes.count && mixed.writes.count > 0)
        let large = try fixture.run(300 << 10, .sequential, reads: 100, 2, 5, isChecked: true)
        #expect(large.mismatchCount == 0)
        #expect(large.reads.count == 54)
    }

    @Test("a changed byte is found")
    func mismatch() throws {
        let fixture = try Fixture()
        _ = try fixture.run(1 << 20, .sequential, reads: 0)
        fixture.service.bytes.storeBytes(of: 1, toByteOffset: 5_000_000, as: UInt8.self)
        fixture.service.bytes.storeBytes(of: 2, toByteOffset: 5_000_001, as: UInt8.self)
        let result = try fixture.run(4096, .sequential, reads: 100, 1, 32, isChecked: true)
        #expect(result.mismatchCount == 1)
        #expect(result.reads.count == 4096)
    }

    @Test("batches: many requests in a call, and many replies")
    func batches() throws {
        let fixture = try Fixture()
        fixture.service.hold()
        let service = fixture.service
        let path = fixture.path
        // All replies come at once.
        let releaser = Task.detached {
            while service.heldCount < 32 { sched_yield() }
            service.releaseAll()
        }
        let run = LoadRun(
            path: path, workload: Workload("test", blockByteCount: 4096, order: .sequential, readPercent: 0),
            load: LoadDepth(connectionCount: 1, depth: 32), end: .afterOnePass)
        let result = try run.execute()
        releaser.cancel()
        #expect(result.writes.count == 4096)
        #expect(result.receiveCount < result.count && result.sendCount < result.count)
    }

    @Test("sent one by one, each request has a call of its own", arguments: [4096, 1 << 20])
    func singly(block: Int) throws {
        let fixture = try Fixture()
        let written = try fixture.run(block, .sequential, reads: 0, sendsSingly: true)
        #expect(written.sendCount >= written.count && written.count == UInt64((16 << 20) / block))
        let read = try fixture.run(block, .sequential, reads: 100, isChecked: true, sendsSingly: true)
        #expect(read.sendCount == read.count && read.mismatchCount == 0)
        let mixed = try fixture.run(
            block, .random, reads: 50, 2, 32, end: .afterSeconds(0.1), isChecked: true, sendsSingly: true)
        #expect(mixed.sendCount >= mixed.count && mixed.mismatchCount == 0 && mixed.errorCount == 0)
    }

    @Test("requests that fail are counted and do not end the load")
    func errors() throws {
        let fixture = try Fixture(byteCount: 80 << 20)
        // More than a read may ask for.
        let result = try fixture.run(Int(NBD.payloadByteCountMax) + 512, .sequential, reads: 100)
        #expect(result.errorCount == 2 && result.reads.count == 2)
    }

    @Test("no server, an export without room, and a path that is too long are errors")
    func impossible() throws {
        let workload = Workload("test", blockByteCount: 1 << 20, order: .sequential, readPercent: 100)
        let load = LoadDepth(connectionCount: 4, depth: 1)
        func execute(_ path: String) throws {
            _ = try LoadRun(path: path, workload: workload, load: load, end: .afterOnePass).execute()
        }
        #expect(throws: (any Error).self) { try execute("/tmp/nbdext-nobody-listens.sock") }
        #expect(throws: OperationError.self) { try execute("/tmp/" + String(repeating: "x", count: 120)) }
        let fixture = try Fixture(byteCount: 2 << 20)
        #expect(throws: OperationError.self) { try execute(fixture.path) }
    }
}
