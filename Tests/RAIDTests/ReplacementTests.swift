import MDFormat
import MemberIO
import RAID
import Testing

@Suite("Replacements")
struct ReplacementTests {
    @Test("places of the old member that cannot be read are computed from the others, and are not held against it")
    func unreadable() {
        let fixture = MaintainedArray(seed: 5)
        let array = fixture.array
        let original = array.members
        #expect(array.beginReplacement(of: 2, content: 0x99))
        array.isUnreadable = { io in
            io.place == 2
                && [4096 + 65536, 4096 + 3 * 65536].contains(where: {
                    io.byteOffset..<io.byteOffset + UInt64(io.byteCount) ~= UInt64($0)
                })
        }
        var schedule = MaintenanceSchedule(.replace, geometry: array.geometry)
        #expect(fixture.run(&schedule) == .done)
        #expect(array.planner.state == .healthy && array.replacement == original[2])
        #expect(array.endRecovery())
        #expect(array.members == original)
    }

    @Test("a replacement that ends early goes on from its boundary, after what a crash left above that")
    func resumes() throws {
        for seed in UInt64(1)...10 {
            let fixture = MaintainedArray(seed: seed)
            let array = fixture.array
            let original = array.members
            let old = Role(index: Int(seed) % 4)
            #expect(array.beginReplacement(of: old, content: 0))
            var schedule = MaintenanceSchedule(.replace, geometry: array.geometry)
            #expect(fixture.run(&schedule, steps: 5) == .cancelled, "seed \(seed)")
            let boundary = try #require(array.planner.replacement).boundary
            #expect(boundary > 0 && boundary < array.geometry.memberDataByteCount, "seed \(seed)")
            let partial = array.replacement
            array.reset(missingMember: nil, members: original)
            #expect(array.beginReplacement(of: old, content: 0x5C, boundary: boundary))
            for index in partial.indices where index < Int(array.geometry.dataByteOffset + boundary) {
                array.replacement[index] = partial[index]
            }
            schedule = MaintenanceSchedule(.replace, geometry: array.geometry, start: boundary)
            #expect(fixture.run(&schedule) == .done)
            #expect(array.replacement == original[old], "seed \(seed)")
            #expect(array.endRecovery())
            #expect(array.members == original, "seed \(seed)")
        }
    }

    @Test("writes below the boundary go to both, those above to the old member only, and zeros to both everywhere")
    func writes() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, stripes: 4)
        #expect(array.beginReplacement(of: 1, content: 0, boundary: 2 * 65536))
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 128 << 10, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 1, count: 128 << 10)
        func places(_ operation: ArrayRequest.Operation, stripe: UInt64) -> [Place] {
            array.submit(
                ArrayRequest(
                    operation, byteOffset: stripe * 128 << 10, byteCount: 128 << 10, memory: memory, tag: 0))
            let places = array.pending.map(\.place).sorted()
            while !array.pending.isEmpty { array.complete(at: 0) }
            return places
        }
        #expect(places(.write, stripe: 1) == [0, 1, 2, 3])
        #expect(places(.write, stripe: 2) == [0, 1, 2])
        #expect(places(.zero, stripe: 3) == [0, 1, 2, 3])
        #expect(places(.flush, stripe: 0) == [0, 1, 2, 3])
        array.planner.endReplacement()
        #expect(places(.write, stripe: 1) == [0, 1, 2])
        #expect(places(.flush, stripe: 0) == [0, 1, 2])
    }

    @Test("the next replacement waits for what is under way to the last one's place")
    func drains() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, stripes: 4)
        #expect(array.beginReplacement(of: 1, content: 0, boundary: 4 * 65536))
        array.submit(ArrayRequest(.flush, tag: 0))
        #expect(array.endRecovery())
        #expect(!array.planner.canBeginReplacement)
        while !array.pending.isEmpty { array.complete(at: 0) }
        #expect(array.planner.canBeginReplacement)
    }

    @Test("what was asked of the old member is not held against the new one, and what was asked of the new one is")
    func lateFailures() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, stripes: 4)
        #expect(array.beginReplacement(of: 1, content: 0, boundary: 4 * 65536))
        array.submit(ArrayRequest(.flush, tag: 0))
        let tokens = array.pending.map { (token: $0.plannerToken, place: $0.place) }
        #expect(tokens.map(\.place) == [0, 1, 2, 3])
        #expect(array.endRecovery())
        #expect(tokens.map { array.planner.isOutdated($0.token, at: $0.place) } == [false, true, false, false])
        array.fail(at: 3)
        #expect(array.planner.state == .degraded(missing: 1))
    }

    @Test("a failure of a member that stayed counts, also when another one has failed since")
    func failureAfterFailure() {
        let array = SimulatedArray(level: .raid5, memberCount: 3, chunkByteCount: 64 << 10, stripes: 4)
        array.submit(ArrayRequest(.flush, tag: 0))
        array.planner.memberFailed(0)
        let token = array.pending.first { $0.place == 2 }!.plannerToken
        #expect(!array.planner.isOutdated(token, at: 2))
    }
}
