import MDFormat
import MemberIO
import Platform
import RAID
import Testing

@Suite("The partial parity log")
struct PartialParityLogTests {
    private static let memberCount = 4
    private static let chunk = 8192
    private static let uuid = (0..<16).map { UInt8($0) }
    /// The smallest area, so that units get full.
    private static let area = PartialParityLogArea(
        byteOffsets: Array(repeating: 4096, count: memberCount), byteCount: PartialParityLogArea.byteCountMin,
        signature: MDPartialParityLog.signature(setUUID: uuid), generations: Array(repeating: 40, count: memberCount))

    private func makeArray(missingMember: Role? = nil, stripes: Int = 6) -> SimulatedArray {
        SimulatedArray(
            level: .raid5, memberCount: Self.memberCount, chunkByteCount: Self.chunk, stripes: stripes,
            missingMember: missingMember, consistency: .partialParityLog(Self.area),
            dataByteOffset: 4096 + Self.area.byteCount)
    }

    private func log(of member: Role, _ array: SimulatedArray) throws -> MDPartialParityLog {
        try array.members[member][4096...].withUnsafeBytes {
            try MDPartialParityLog(parsing: $0, signature: Self.area.signature)
        }
    }

    /// Small writes that are under way together.
    private func submit(_ offsets: [Int], to array: SimulatedArray, from memory: UnsafeMutableRawPointer) {
        for (tag, offset) in offsets.enumerated() {
            array.submit(
                ArrayRequest(
                    .write, byteOffset: UInt64(offset), byteCount: 4096, memory: memory, tag: UInt32(tag)))
        }
    }

    private func withData(_ body: (UnsafeMutableRawPointer) throws -> Void) rethrows {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 65536, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 7, count: 65536)
        try body(memory)
    }

    private func completeReads(_ array: SimulatedArray) {
        while let read = array.pending.firstIndex(where: { $0.kind == .read }) { array.complete(at: read) }
    }

    private func complete(_ kind: MemberIO.Kind, _ place: Place, of array: SimulatedArray) {
        guard let position = array.pending.firstIndex(where: { $0.kind == kind && $0.place == place }) else {
            Issue.record("no \(kind) at place \(place) is under way")
            return
        }
        array.complete(at: position)
    }

    @Test("data and parity are written when the record is durable, and the record says what they are")
    func order() throws {
        try withData { memory in
            let array = makeArray()
            // Stripe 0, column 1 (member 1), chunk offsets 4096 ..< 8192; its parity is on member 3.
            submit([8192 + 4096], to: array, from: memory)
            completeReads(array)
            #expect(array.pending.map(\.kind) == [.durableWrite])
            #expect(array.pending.map(\.place) == [3] && array.pending[0].byteOffset == 4096)
            #expect(array.pending[0].byteCount == 4096 + 4096)
            array.complete(at: 0)
            #expect(array.pending.map(\.kind) == [.write, .write])
            let written = try log(of: 3, array)
            #expect(written.generation == 41)
            let zeros = CRC32C.checksum(of: Array(repeating: 0, count: 4096))
            #expect(
                written.entries == [
                    MDPartialParityLog.Entry(
                        dataSector: 24, partialParityByteCount: 4096, dataByteCount: 4096, parityRole: 3,
                        checksum: zeros)
                ])
        }
    }

    /// An array whose member 3, which has the parity of stripe 0, is replaced by one that has all but the log.
    private func beginReplacement(of array: SimulatedArray) {
        #expect(array.beginReplacement(of: 3, content: 0, boundary: UInt64(6 * Self.chunk)))
        array.replacement.replaceSubrange(4096..<8192, with: Array(repeating: 0xFF, count: 4096))
    }

    private func logOfReplacement(_ array: SimulatedArray) -> ArraySlice<UInt8> {
        array.replacement[4096..<4096 + Self.area.byteCount]
    }

    @Test("before a replacement takes a role, data and parity are written when the record is durable on both")
    func recordOnBoth() throws {
        try withData { memory in
            let array = makeArray()
            beginReplacement(of: array)
            #expect(!array.copyLogToReplacement())
            array.complete(at: 0)
            submit([0], to: array, from: memory)
            completeReads(array)
            #expect(array.pending.map(\.kind) == [.durableWrite, .durableWrite])
            #expect(array.pending.map(\.place) == [3, 4])
            array.complete(at: 1)
            #expect(array.pending.map(\.place) == [3] && array.copyLogToReplacement())
            array.complete(at: 0)
            #expect(array.pending.map(\.kind) == [.write, .write, .write])
            let record = try log(of: 3, array)
            #expect(record.entries.count == 1)
            #expect(logOfReplacement(array) == array.members[3][4096..<4096 + Self.area.byteCount])
        }
    }

    @Test("a replacement gets a record that is older than itself, and the next record waits for that")
    func recordIsCopied() {
        withData { memory in
            let array = makeArray()
            submit([0], to: array, from: memory)
            completeReads(array)
            beginReplacement(of: array)
            #expect(!array.copyLogToReplacement() && array.pending.map(\.place) == [3])
            complete(.durableWrite, 3, of: array)
            #expect(!array.copyLogToReplacement() && !array.copyLogToReplacement())
            while array.pending.count > 1 {
                array.complete(at: array.pending.firstIndex { $0.kind != .durableWrite }!)
            }
            #expect(array.pending.map(\.place) == [4] && array.hasConsistentParity)
            submit([Self.chunk], to: array, from: memory)
            completeReads(array)
            #expect(array.pending.map(\.kind) == [.durableWrite])
            array.complete(at: 0)
            #expect(array.pending.map(\.place) == [3, 4] && array.copyLogToReplacement())
            #expect(logOfReplacement(array) == array.members[3][4096..<4096 + Self.area.byteCount])
        }
    }

    @Test("a replacement of an array that is not written to gets an empty log")
    func emptyLogIsWritten() throws {
        let array = makeArray()
        beginReplacement(of: array)
        #expect(!array.copyLogToReplacement())
        array.failingMembers = [4]
        array.complete(at: 0)
        #expect(array.planner.replacement == nil && array.copyLogToReplacement())
        beginReplacement(of: array)
        #expect(!array.copyLogToReplacement())
        array.complete(at: 0)
        #expect(array.copyLogToReplacement())
        let written = try logOfReplacement(array).withUnsafeBytes {
            try MDPartialParityLog(parsing: $0, signature: Self.area.signature)
        }
        #expect(written.entries.isEmpty && written.generation == 41)
    }

    @Test("a full stripe's record has no partial parity")
    func fullStripe() throws {
        try withData { memory in
            let array = makeArray()
            array.submit(ArrayRequest(.write, byteOffset: 0, byteCount: 24576, memory: memory, tag: 0))
            #expect(array.pending.map(\.byteCount) == [4096])
            array.complete(at: 0)
            #expect(array.pending.map(\.kind) == [.write, .write, .write, .write])
            let record = try log(of: 3, array)
            #expect(
                record.entries == [
                    MDPartialParityLog.Entry(
                        dataSector: 0, partialParityByteCount: 0, dataByteCount: 24576, parityRole: 3)
                ])
        }
    }

    @Test("writes that become ready while a unit is under way make the next one together")
    func groupCommit() throws {
        try withData { memory in
            let array = makeArray(stripes: 40)
            // Stripes 0, 4, 8, ... have their parity on member 3.
            submit((0..<8).map { $0 * 4 * 3 * Self.chunk }, to: array, from: memory)
            completeReads(array)
            let first = array.pending.filter { $0.kind == .durableWrite }
            #expect(first.map(\.byteCount) == [8192])
            var units = 0
            while !array.pending.isEmpty {
                if array.pending[0].kind == .durableWrite { units += 1 }
                array.complete(at: 0)
            }
            #expect(units == 2)
            let record = try log(of: 3, array)
            #expect(record.entries.count == 7)
            #expect(array.finished.count == 8 && array.hasConsistentParity)
        }
    }

    /// An array with so many writes whose parity is on member 3, made ready by one batch of calls.
    private func makeArrayWithBatch(of count: Int, from memory: UnsafeMutableRawPointer) -> SimulatedArray {
        let array = makeArray(stripes: count * 4)
        array.gathers = true
        submit((0..<count).map { $0 * 4 * 3 * Self.chunk }, to: array, from: memory)
        completeReads(array)
        #expect(array.pending.isEmpty)
        array.endBatch()
        array.drain()
        return array
    }

    @Test("what one batch of calls makes ready is one unit")
    func batch() {
        withData { memory in
            let array = makeArrayWithBatch(of: 8, from: memory)
            #expect(array.pending.map(\.byteCount) == [9 * 4096])
        }
    }

    @Test("a unit holds as much partial parity as its area, and the rest waits")
    func fullUnit() {
        withData { memory in
            let array = makeArrayWithBatch(of: 40, from: memory)
            #expect(array.pending.map { Int($0.byteCount) } == [Self.area.byteCount])
        }
    }

    @Test("a log is written again when its writes and their members' flushes have ended, one flush for all units")
    func reuse() {
        withData { memory in
            let array = makeArray(stripes: 40)
            submit([0], to: array, from: memory)
            completeReads(array)
            array.complete(at: 0)
            submit([4 * 3 * Self.chunk], to: array, from: memory)
            completeReads(array)
            // The second write waits for the first one's data, and then for the flush of it.
            #expect(array.pending.map(\.kind) == [.write, .write])
            array.complete(at: 0)
            #expect(array.pending.map(\.kind) == [.write])
            array.complete(at: 0)
            #expect(array.pending.map(\.kind) == [.flush, .flush])
            // Those of the first write: column 0 of stripe 0, and its parity.
            #expect(Set(array.pending.map(\.place)) == [0, 3])
            array.complete(at: 0)
            #expect(array.pending.map(\.kind) == [.flush])
            array.complete(at: 0)
            #expect(array.pending.map(\.kind) == [.durableWrite])
        }
    }

    @Test("a flush that began before a unit's data was written does not count for it")
    func earlyFlush() {
        withData { memory in
            let array = makeArray(stripes: 40)
            // Parity on member 3 and on member 2; column 0 of stripe 1 is on member 3 as well.
            submit([0, 3 * Self.chunk], to: array, from: memory)
            completeReads(array)
            // The unit on member 3 first, up to its flushes.
            let order: [(MemberIO.Kind, Place)] = [(.durableWrite, 3), (.write, 0), (.write, 3)]
            for (kind, place) in order {
                complete(kind, place, of: array)
            }
            #expect(array.pending.filter { $0.kind == .flush }.map(\.place).sorted() == [0, 3])
            // Now the one on member 2: its flush of member 3 must be one more.
            for (kind, member) in [(MemberIO.Kind.durableWrite, Place(rawValue: 2)), (.write, 3), (.write, 2)] {
                complete(kind, member, of: array)
            }
            #expect(array.pending.filter { $0.kind == .flush }.map(\.place).sorted() == [0, 2, 3])
            complete(.flush, 3, of: array)
            #expect(array.pending.filter { $0.kind == .flush }.map(\.place).sorted() == [0, 2, 3])
        }
    }

    @Test("a log without space ends its writes, with nothing written, and the next one tries again")
    func noSpace() {
        withData { memory in
            let array = makeArray()
            let before = array.members
            array.runsOutOfSpace = { true }
            submit([0], to: array, from: memory)
            while !array.pending.isEmpty { array.complete(at: 0) }
            #expect(array.finished.map(\.status) == [.noSpace])
            #expect(array.members == before)
            array.runsOutOfSpace = { false }
            submit([0], to: array, from: memory)
            while !array.pending.isEmpty { array.complete(at: 0) }
            #expect(array.finished.map(\.status) == [.noSpace, .done])
            #expect(array.hasConsistentParity)
        }
    }

    @Test(
        "after a crash at any point the log makes all parity right, and a member that was not written to can be missing",
        arguments: UInt64(1)...30)
    func crash(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let array = makeArray()
        array.gathers = seed % 2 == 0
        var workload = CrashWorkload(array, using: &generator)
        defer { workload.deallocate() }
        for _ in 0..<60 {
            workload.submit(using: &generator)
            workload.step(using: &generator)
            if Int.random(in: 0..<4, using: &generator) == 0 { checkCrash(workload, seed, using: &generator) }
        }
        let isDone = workload.finish(using: &generator)
        #expect(isDone && array.hasConsistentParity && array.misdirected == 0, "seed \(seed)")
    }

    private func checkCrash(_ workload: CrashWorkload, _ seed: UInt64, using generator: inout SeededGenerator) {
        for luck in CrashImage.Luck.allCases {
            let crashed = CrashImage(workload.array, luck: luck, using: &generator)
            var image = crashed
            _ = image.replayLogs(Self.area, missing: nil)
            #expect(image.wrongSectors == [], "seed \(seed), \(luck)")
            if let fault = workload.firstFault(in: image, missing: nil) {
                Issue.record("seed \(seed), \(luck): \(fault)")
            }
            for missing in image.geometry.roles {
                var image = crashed
                _ = image.replayLogs(Self.area, missing: missing)
                let fault = workload.firstFault(in: image, missing: missing) {
                    // Lost together with what was being written to it.
                    workload.versions[$0].count > 1 && isOn(missing, $0, image.geometry)
                }
                if let fault { Issue.record("seed \(seed), \(luck), without member \(missing): \(fault)") }
            }
        }
    }

    private func isOn(_ member: Role, _ sector: Int, _ geometry: ArrayGeometry) -> Bool {
        let (stripe, column, _) = geometry.position(of: UInt64(sector * CrashImage.sectorByteCount))
        return geometry.member(stripe: stripe, column: column) == member
    }

    @Test(
        "after a crash without a member every sector is old or new, those of the member too", arguments: UInt64(1)...30
    )
    func degradedCrash(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let missing = Role(index: Int(seed) % Self.memberCount)
        let array = makeArray(missingMember: missing)
        array.gathers = seed / 4 % 2 == 0
        var workload = CrashWorkload(array, using: &generator)
        defer { workload.deallocate() }
        for _ in 0..<60 {
            workload.submit(using: &generator)
            workload.step(using: &generator)
            guard Int.random(in: 0..<4, using: &generator) == 0 else { continue }
            for luck in CrashImage.Luck.allCases {
                var image = CrashImage(array, luck: luck, using: &generator)
                _ = image.replayLogs(Self.area, missing: missing)
                if let fault = workload.firstFault(in: image, missing: missing) {
                    Issue.record("seed \(seed), \(luck): \(fault)")
                }
            }
        }
        let isDone = workload.finish(using: &generator)
        #expect(isDone && array.misdirected == 0, "seed \(seed)")
    }

    @Test("a member that fails at any point leaves every write done and all parity right", arguments: UInt64(1)...30)
    func failure(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let array = makeArray()
        array.gathers = seed % 2 == 0
        var workload = CrashWorkload(array, using: &generator)
        defer { workload.deallocate() }
        let failing = Role(index: Int.random(in: 0..<Self.memberCount, using: &generator))
        let failsAt = Int.random(in: 0..<40, using: &generator)
        for round in 0..<60 {
            if round == failsAt { array.failingMembers = [Place(failing)] }
            workload.submit(using: &generator)
            workload.step(using: &generator)
        }
        let isDone = workload.finish(using: &generator)
        #expect(isDone, "seed \(seed)")
        var end = CrashImage(array, luck: .ended, using: &generator)
        let missing: Role? = if case .degraded(let member) = array.planner.state { member } else { nil }
        #expect(workload.firstFault(in: end, missing: missing) == nil, "seed \(seed)")
        // Log entries of finished writes change nothing.
        _ = end.replayLogs(Self.area, missing: missing)
        #expect(workload.firstFault(in: end, missing: missing) == nil, "seed \(seed)")
    }
}
