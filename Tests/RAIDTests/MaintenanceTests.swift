import MDFormat
import MemberIO
import Platform
import RAID
import Testing

/// An array with random content, and a job that runs alone.
final class MaintainedArray {
    let array: SimulatedArray
    /// What was to be kept of jobs.
    private(set) var records: [MaintenanceRecord] = []
    private var generator: SeededGenerator

    init(seed: UInt64, chunkByteCount: Int = 64 << 10, stripes: Int = 6, members: Int = 4) {
        generator = SeededGenerator(seed: seed)
        array = SimulatedArray(level: .raid5, memberCount: members, chunkByteCount: chunkByteCount, stripes: stripes)
        let count = Int(array.geometry.stripeByteCount) * stripes
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
        defer { memory.deallocate() }
        for offset in stride(from: 0, to: count, by: 8) {
            memory.storeBytes(of: generator.next(), toByteOffset: offset, as: UInt64.self)
        }
        array.submit(
            ArrayRequest(.write, byteOffset: 0, byteCount: UInt64(count), memory: memory.baseAddress!, tag: 0))
        array.completeAll(using: &generator)
        array.finished = []
    }

    /// Runs a job, for so many steps at most, and then ends what is under way.
    /// - Parameter tick: nanoseconds from one look at the clock to the next.
    func run(
        _ schedule: inout MaintenanceSchedule, steps: Int = .max, tick: UInt64 = 0
    ) -> MaintenanceSchedule.End? {
        var left = steps
        var now: UInt64 = 0
        while true {
            now += tick
            for outcome in array.maintained { schedule.ended(outcome) }
            array.maintained = []
            if left == 0 { schedule.cancel() }
            left -= left > 0 ? 1 : 0
            switch schedule.next(now: now, clientOperations: 0) {
            case .record(let record): records.append(record)
            case .submit(let request):
                guard array.submit(request) else { return nil }
                schedule.submitted(request, now: now)
            case .look(let byteOffset): schedule.found(data: array.nextData(from: byteOffset))
            case .wait: array.step(using: &generator)
            case .pause: return nil
            case .end(let end): return end
            }
        }
    }
}

@Suite("Maintenance of an array")
struct MaintenanceTests {
    @Test("a rebuild that ends early goes on from its boundary, and gives back what was lost")
    func resumes() throws {
        for seed in UInt64(1)...10 {
            let fixture = MaintainedArray(seed: seed)
            let array = fixture.array
            let original = array.members
            let lost = Role(index: Int(seed) % 4)
            array.planner.memberFailed(lost)
            array.replace(lost, content: 0)
            var schedule = MaintenanceSchedule(.rebuild, geometry: array.geometry)
            #expect(fixture.run(&schedule, steps: 5) == .cancelled, "seed \(seed)")
            let boundary = try #require(array.planner.recovery).boundary
            #expect(boundary > 0 && boundary < array.geometry.memberDataByteCount, "seed \(seed)")

            // As after a crash: what was rebuilt above the boundary may or may not be there.
            let partial = array.members
            array.reset(missingMember: lost, members: partial)
            array.members = partial
            array.replace(lost, content: 0x5C, boundary: boundary)
            schedule = MaintenanceSchedule(.rebuild, geometry: array.geometry, start: boundary)
            #expect(fixture.run(&schedule) == .done, "seed \(seed)")
            #expect(array.planner.endRecovery())
            #expect(array.planner.state == .healthy)
            #expect(array.members == original, "seed \(seed)")
        }
    }

    @Test("a rebuild of empty stripes reads and writes nothing")
    func skipsHoles() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, stripes: 64)
        array.planner.memberFailed(1)
        array.replace(1, content: 0)
        var schedule = MaintenanceSchedule(.rebuild, geometry: array.geometry)
        #expect(schedule.next(now: 0, clientOperations: 0) == .look(from: 0))
        schedule.found(data: array.nextData(from: 0))
        let skip = MaintenanceRequest(.skipIfHole, byteOffset: 0, byteCount: array.geometry.memberDataByteCount)
        #expect(schedule.next(now: 0, clientOperations: 0) == .submit(skip))
        #expect(array.submit(skip))
        #expect(array.pending.isEmpty)
        #expect(array.maintained.map(\.result) == [.done])
        #expect(array.planner.endRecovery())
    }

    @Test("a stripe that was written after it had seemed empty is not skipped")
    func skipLooksAgain() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, stripes: 8)
        array.planner.memberFailed(1)
        array.replace(1, content: 0)
        array.members[0][4096 + 65536 * 3] = 7
        #expect(array.submit(MaintenanceRequest(.skipIfHole, byteOffset: 0, byteCount: 8 * 65536)))
        #expect(array.maintained.map(\.result) == [.hasData])
        #expect(array.planner.recovery?.boundary == 0)
    }

    @Test("what is rebuilt from zeros is punched, not written")
    func zerosStayHoles() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, stripes: 2)
        array.planner.memberFailed(1)
        array.replace(1, content: 9)
        #expect(array.submit(MaintenanceRequest(.rebuild, byteOffset: 0, byteCount: 65536)))
        while array.pending.contains(where: { $0.kind == .read }) { array.complete(at: 0) }
        #expect(array.pending.map(\.kind) == [.punch])
    }

    @Test(
        "a check finds every wrong block and changes nothing; a repair makes the parity right",
        arguments: [4096, 65536])
    func findsWrongParity(chunk: Int) {
        let fixture = MaintainedArray(seed: 3, chunkByteCount: chunk, stripes: 12)
        let array = fixture.array
        let original = array.members
        var places: [UInt64] = []
        for stripe in [UInt64(1), 5, 11] {
            let chunkOffset = UInt64(chunk) - 4096
            let parity = array.geometry.parityMember(stripe: stripe)
            array.members[parity][
                Int(array.geometry.memberByteOffset(stripe: stripe, chunkOffset: chunkOffset)) + 17] ^= 0x40
            places.append(stripe * UInt64(chunk) + chunkOffset)
        }
        let damaged = array.members
        for job in [MaintenanceSchedule.Job.check, .repair] {
            #expect(array.members == damaged)
            var schedule = MaintenanceSchedule(job, geometry: array.geometry)
            #expect(fixture.run(&schedule) == .done)
            #expect(schedule.wrongByteCount == 3 * 4096)
            #expect(schedule.wrongPlaces.sorted() == places)
        }
        #expect(array.members == original)
    }

    @Test("an interrupted check goes on from any of its records, and counts each wrong block once")
    func resumesChecks() throws {
        for seed in UInt64(1)...10 {
            let fixture = MaintainedArray(seed: seed, chunkByteCount: 16384, stripes: 40)
            let array = fixture.array
            for stripe in [UInt64(1), 5, 11, 30, 39] {
                let parity = array.geometry.parityMember(stripe: stripe)
                array.members[parity][Int(array.geometry.memberByteOffset(stripe: stripe, chunkOffset: 4096))] ^= 1
            }
            var schedule = MaintenanceSchedule(.check, geometry: array.geometry)
            #expect(fixture.run(&schedule, tick: 1_000_000_000) == .done)
            let whole = (schedule.wrongByteCount, schedule.wrongPlaces.sorted())
            #expect(whole.0 == 5 * 4096)
            let records = fixture.records
            #expect(records.count > 3 && Set(records.map(\.position)).count == records.count, "seed \(seed)")
            for record in records {
                #expect(record.isPossible(in: array.geometry))
                var rest = MaintenanceSchedule(resuming: record, geometry: array.geometry)
                #expect(rest.doneByteCount == record.position)
                #expect(fixture.run(&rest) == .done)
                #expect((rest.wrongByteCount, rest.wrongPlaces.sorted()) == whole, "seed \(seed), \(record)")
            }
        }
    }

    @Test("what was asked of a failed member is not believed when another one in its place answers")
    func outdatedReads() {
        let fixture = MaintainedArray(seed: 8)
        let array = fixture.array
        let original = array.content()
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { memory.deallocate() }
        // A read of member 0's chunk in the first stripe, and a write beside it that reads member 0 for the parity.
        let column = (0..<3).first { array.geometry.member(stripe: 0, column: $0) == 0 }!
        let start = UInt64(column) * array.geometry.chunkByteCount
        let beside = UInt64((column + 1) % 3) * array.geometry.chunkByteCount
        array.submit(ArrayRequest(.read, byteOffset: start + 8192, byteCount: 4096, memory: memory, tag: 0))
        (memory + 4096).initializeMemory(as: UInt8.self, repeating: 0x33, count: 4096)
        array.submit(ArrayRequest(.write, byteOffset: beside, byteCount: 4096, memory: memory + 4096, tag: 1))
        #expect(array.pending.filter { $0.place == 0 }.count == 2)
        array.planner.memberFailed(0)
        array.replace(0, content: 0)
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.finished.map(\.status) == [.done, .done])
        let read = UnsafeRawBufferPointer(start: memory, count: 4096)
        #expect(Array(read) == Array(original[Int(start) + 8192..<Int(start) + 12288]))
        var schedule = MaintenanceSchedule(.rebuild, geometry: array.geometry)
        #expect(fixture.run(&schedule) == .done)
        #expect(array.planner.endRecovery())
        var expected = original
        for index in 0..<4096 { expected[Int(beside) + index] = 0x33 }
        #expect(array.content() == expected)
        #expect(array.hasConsistentParity)
    }

    @Test("a check of a degraded array fails at once")
    func checkOfDegraded() {
        let fixture = MaintainedArray(seed: 4)
        fixture.array.planner.memberFailed(2)
        var schedule = MaintenanceSchedule(.check, geometry: fixture.array.geometry)
        #expect(fixture.run(&schedule) == .failed)
    }

    @Test("clients at work slow a job down, and idle ones do not")
    func throttles() {
        let geometry = ArrayGeometry(
            level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, memberDataByteCount: 1 << 30, dataByteOffset: 4096)
        func bytes(clientsWork: Bool) -> UInt64 {
            var schedule = MaintenanceSchedule(.check, geometry: geometry)
            var operations: UInt64 = 0
            // A second, in steps of a tenth of a millisecond.
            for tick in UInt64(0)..<10_000 {
                if clientsWork { operations += 1 }
                switch schedule.next(now: tick * 100_000, clientOperations: operations) {
                case .look(let byteOffset): schedule.found(data: byteOffset)
                case .submit(let request):
                    schedule.submitted(request, now: tick * 100_000)
                    schedule.ended(MaintenanceOutcome(request: request, result: .done, wrongBlocks: 0))
                default: break
                }
            }
            return schedule.doneByteCount
        }
        #expect((29 << 20...32 << 20).contains(bytes(clientsWork: true)))
        #expect(bytes(clientsWork: false) > 300 << 20)
    }
}
