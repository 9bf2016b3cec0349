import Glibc
import MemberIO
import Members
import Platform
import RemoteMembers
import Synchronization
import TestTraits
import Testing

@Suite("Remote members", .blocks)
struct RemoteMemberTests {
    @Test("lanes read and write, and a flush is one")
    func data() throws {
        let server = try FakeServer()
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        #expect(fixture.member.absence == nil)
        #expect(fixture.member.byteCount == 1 << 20)
        #expect(fixture.write(7, at: 4096, count: 8192) == .done)
        #expect(server.bytes[4095] == 0 && server.bytes[4096] == 7 && server.bytes[12287] == 7)
        #expect(server.bytes[12288] == 0)
        var data = [UInt8](repeating: 0xFF, count: 8192)
        let status = data.withUnsafeMutableBytes {
            fixture.run(.read, at: 8192, count: 8192, memory: $0.baseAddress)
        }
        #expect(status == .done)
        #expect(data[..<4096].allSatisfy { $0 == 7 } && data[4096...].allSatisfy { $0 == 0 })
        #expect(fixture.run(.flush) == .done)
        #expect(server.requests.map(\.kind) == [.write, .read, .flush])
    }

    @Test("a member with 300 operations at once ends each of them once")
    func many() throws {
        let server = try FakeServer()
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 300 * 512, alignment: 512)
        defer { memory.deallocate() }
        for index in 0..<300 { memset(memory + index * 512, Int32(index & 0xFF), 512) }
        fixture.start(
            (0..<300).map {
                MemberIO(
                    kind: .write, place: 0, byteOffset: UInt64($0 * 512), byteCount: 512, memory: memory + $0 * 512,
                    token: UInt64($0))
            })
        let outcomes = fixture.lane.reap(300)
        #expect(Set(outcomes.map(\.token)) == Set(0..<300))
        #expect(outcomes.allSatisfy { $0.status == .done })
        #expect(memcmp(memory, server.bytes.baseAddress!, 300 * 512) == 0)
    }

    @Test("large operations are cut, and end when all of their parts have")
    func cut() throws {
        let server = try FakeServer(byteCount: 16 << 20)
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        #expect(fixture.write(3, at: 1 << 20, count: 9 << 20) == .done)
        #expect(server.requests.map(\.byteCount) == [4 << 20, 4 << 20, 1 << 20])
        #expect(server.holds(3, in: 1 << 20..<10 << 20, else: 0))
    }

    @Test("zeros are WRITE_ZEROES, which keeps the space or need not, and never TRIM")
    func zeros() throws {
        let server = try FakeServer()
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        server.bytes.initializeMemory(as: UInt8.self, repeating: 1)
        #expect(fixture.run(.punch, at: 4096, count: 4096) == .done)
        #expect(fixture.run(.zero, at: 8192, count: 4096) == .done)
        #expect(server.requests.map(\.kind) == [.writeZeroes, .writeZeroes])
        #expect(server.requests.map(\.flags) == [0, 2])
        #expect(server.holds(0, in: 4096..<12288, else: 1))
    }

    @Test("a server without WRITE_ZEROES, or with one that does not work, is sent zeros", arguments: [false, true])
    func sentZeros(isOffered: Bool) throws {
        let flags: FakeServer.Flags = isOffered ? .usual : [.fixed, .flush, .trim]
        let server = try FakeServer(byteCount: 8 << 20, flags: flags) {
            $0.kind == .writeZeroes ? .error(95) : .done
        }
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        server.bytes.initializeMemory(as: UInt8.self, repeating: 1)
        #expect(fixture.run(.punch, at: 4096, count: 3 << 20) == .done)
        #expect(server.holds(0, in: 4096..<4096 + (3 << 20), else: 1))
        #expect(fixture.run(.zero, at: 0, count: 4096) == .done)
        #expect(server.bytes[0] == 0)
        let expected: [FakeServer.Kind] = [.write, .write, .write, .write]
        #expect(server.requests.map(\.kind) == (isOffered ? [.writeZeroes] : []) + expected)
    }

    @Test("a durable write has FUA, or is followed by a flush", arguments: [false, true])
    func durableWrite(hasFUA: Bool) throws {
        let server = try FakeServer(byteCount: 8 << 20, flags: hasFUA ? [.usual, .fua] : .usual)
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        var data = [UInt8](repeating: 5, count: 6 << 20)
        let status = data.withUnsafeMutableBytes {
            fixture.run(.durableWrite, at: 4096, count: $0.count, memory: $0.baseAddress)
        }
        #expect(status == .done)
        #expect(server.requests.map(\.kind) == (hasFUA ? [.write, .write] : [.write, .write, .flush]))
        #expect(server.requests.map(\.flags) == (hasFUA ? [1, 1] : [0, 0, 0]))
        #expect(server.holds(5, in: 4096..<4096 + (6 << 20), else: 0))
    }

    @Test("errors of the server fail an operation, and the connection stays", arguments: [5, 22, 28, 108] as [UInt32])
    func errors(code: UInt32) throws {
        let server = try FakeServer { $0.byteOffset == 8192 ? .error(code) : .done }
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        let status: MemberStatus = code == 28 ? .noSpace : code == 22 ? .refused : .failed
        #expect(fixture.write(1, at: 8192, count: 512) == status)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 512, alignment: 512)
        defer { memory.deallocate() }
        let readStatus: MemberStatus = code == 5 ? .unreadable : code == 22 ? .refused : .failed
        #expect(fixture.run(.read, at: 8192, count: 512, memory: memory) == readStatus)
        #expect(fixture.write(1, at: 4096, count: 512) == .done)
        #expect(fixture.reports.all.count == 1)
        #expect(fixture.reports.all[0].contains("write of 512 bytes at 8192 failed"))
        let error = #expect(throws: MemberStoreError.self) { try fixture.member.write(bytes: [0], at: 8192) }
        #expect(error?.status == status)
        #expect(fixture.member.absence == nil)
    }

    /// What the parts of an answer are, and whether the read is done with them.
    static let partialAnswers: [(parts: [Range<Int>], isWhole: Bool)] = [
        ([0..<4096, 4096..<8192], true), ([4096..<8192, 0..<4096], true), ([], false), ([0..<4096], false),
        // libnbd counts what comes, and not where.
        ([0..<4096, 0..<4096], true),
    ]

    @Test("a read answered without all of its data shows nothing of what was in memory", arguments: partialAnswers)
    func missingData(answer: (parts: [Range<Int>], isWhole: Bool)) throws {
        let server = try FakeServer(isStructured: true) { $0.kind == .read ? .parts(answer.parts) : .done }
        defer { server.stop() }
        server.bytes.initializeMemory(as: UInt8.self, repeating: 0x11)
        let fixture = try Fixture(server.uri)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0xEE)
        let status = fixture.run(.read, at: 65536, count: 8192, memory: memory.baseAddress)
        #expect(status == (answer.isWhole ? .done : .unreadable))
        let came = answer.parts.reduce(into: Set<Int>()) { $0.formUnion($1) }
        #expect(memory.indices.allSatisfy { memory[$0] == (came.contains($0) ? 0x11 : 0) })
        if !answer.isWhole {
            #expect(throws: MemberStoreError.self) { _ = try fixture.member.bytes(at: 65536, count: 8192) }
        }
        #expect(fixture.member.absence == nil)
    }

    @Test("a lost server fails what is under way and all that follows; that it is back is told")
    func lost() throws {
        let server = try FakeServer { $0.byteOffset == 65536 ? .hangUp : $0.byteOffset >= 4096 ? .silence : .done }
        let fixture = try Fixture(server.uri, limits: Fixture.quick)
        #expect(fixture.write(1, at: 0, count: 512) == .done)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 512, alignment: 512)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 2, count: 512)
        fixture.start(
            (1...16).map {
                MemberIO(
                    kind: .write, place: 0, byteOffset: UInt64($0 * 4096), byteCount: 512, memory: memory,
                    token: UInt64($0))
            })
        let outcomes = fixture.lane.reap(16)
        #expect(Set(outcomes.map(\.token)) == Set(1...16))
        #expect(outcomes.allSatisfy { $0.status == .failed })
        #expect(fixture.reports.waitForLoss())
        #expect(fixture.reports.all[0].hasPrefix("\(server.uri) is lost: "), "\(fixture.reports.all)")
        // The fake server takes connections again at once.
        #expect(fixture.reports.waitForReturn())
        #expect(fixture.write(1, at: 0, count: 512) == .failed, "what comes back has to be added again")
        #expect(throws: MemberStoreError.self) { try fixture.member.flush() }
        #expect(fixture.member.absence?.hasPrefix("lost: ") == true)
        // A new lane is one that fails too, and nothing that keeps a client out.
        let lane = try MemberLane(engine: .threads, places: [.endpoint(fixture.member)])
        #expect(lane.outstanding == 0)
        server.stop()
    }

    @Test("an idle member whose server goes away is lost")
    func lostWhileIdle() throws {
        let server = try FakeServer()
        let fixture = try Fixture(server.uri, limits: Fixture.quick)
        #expect(fixture.write(1, at: 0, count: 512) == .done)
        server.stop()
        #expect(fixture.reports.waitForLoss())
        #expect(fixture.write(1, at: 0, count: 512) == .failed)
    }

    @Test("a server that does not answer in time is lost", .slow)
    func hanging() throws {
        let server = try FakeServer { $0.kind == .flush ? .silence : .done }
        defer { server.stop() }
        let fixture = try Fixture(server.uri, limits: Fixture.quick)
        #expect(fixture.write(1, at: 0, count: 512) == .done)
        #expect(fixture.run(.flush) == .failed)
        #expect(fixture.reports.all.first?.contains("not answered within") == true, "\(fixture.reports.all)")
        #expect(throws: MemberStoreError.self) { try fixture.member.flush() }
    }

    @Test("a server that shakes hands and answers nothing is lost as soon as one that does not shake hands")
    func hangingFromTheStart() throws {
        let server = try FakeServer { _ in .silence }
        defer { server.stop() }
        var limits = Fixture.quick
        // Tests hang after less.
        limits.answering = 3_600_000
        let fixture = try Fixture(server.uri, limits: limits)
        #expect(throws: MemberStoreError.self) { _ = try fixture.member.bytes(at: 4096, count: 512) }
        #expect(fixture.member.absence?.contains("not answered within") == true)
    }

    @Test("servers that are not there, or are of no use, are told apart", .slow)
    func absence() throws {
        let nobody = try Fixture("nbd+unix:///?socket=/nonexistent/socket", limits: Fixture.quick)
        #expect(nobody.member.absence?.hasPrefix("not reachable: ") == true)
        #expect(nobody.member.absence?.contains("No such file or directory") == true)
        #expect(nobody.member.byteCount == 0)
        #expect(nobody.write(1, at: 0, count: 512) == .failed)

        let silent = try FakeServer(shakesHands: false)
        defer { silent.stop() }
        let waiting = try Fixture(silent.uri, limits: Fixture.quick)
        #expect(waiting.member.absence?.contains("no answer within 2000 ms") == true)

        for (flags, words) in [
            ([.fixed, .flush, .readOnly], "read-only"), ([.fixed], "no flush"),
        ] as [(FakeServer.Flags, String)] {
            let server = try FakeServer(flags: flags)
            defer { server.stop() }
            #expect(try Fixture(server.uri).member.absence?.contains(words) == true)
            #expect(try Fixture(server.uri, readOnly: true).member.absence == nil)
        }
    }

    @Test("a member that is not wanted any more goes at once, even while it connects")
    func impatience() throws {
        let silent = try FakeServer(shakesHands: false)
        defer { silent.stop() }
        var limits = RemoteTimeLimits()
        limits.connecting = 3_600_000
        do { _ = try RemoteMember(uri: silent.uri, readOnly: false, limits: limits) { _, _ in } }
    }

    @Test("the control plane clears what is not known to be zeros")
    func clear() throws {
        let server = try FakeServer(byteCount: 1 << 20)
        defer { server.stop() }
        let fixture = try Fixture(server.uri)
        server.bytes.initializeMemory(as: UInt8.self, repeating: 1)
        try fixture.member.clear(upTo: 500 << 10)
        #expect(server.holds(0, in: 0..<500 << 10, else: 1))
        #expect(try fixture.member.nextData(from: 5000) == 5000, "this server does not know its holes")
        #expect(try fixture.member.nextData(from: 1 << 20) == nil)
    }
}
