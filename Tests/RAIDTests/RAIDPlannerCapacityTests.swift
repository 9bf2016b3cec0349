import MDFormat
import MemberIO
import Platform
import RAID
import Testing

@Suite("The RAID planner at its limits")
struct RAIDPlannerCapacityTests {
    @Test("writes to the same chunk offsets take effect in order of arrival", arguments: UInt64(1)...20)
    func arrivalOrder(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let array = SimulatedArray(
            level: .raid5, memberCount: 4, chunkByteCount: 8192, stripes: 1,
            operationCapacity: seed % 2 == 0 ? 3 : 2048)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 30 * 4096, alignment: 4096)
        defer { memory.deallocate() }
        for tag in 0..<30 {
            let data = memory + tag * 4096
            data.initializeMemory(as: UInt8.self, repeating: UInt8(tag + 1), count: 4096)
            array.submit(ArrayRequest(.write, byteOffset: 2048, byteCount: 4096, memory: data, tag: UInt32(tag)))
        }
        array.completeAll(using: &generator)
        #expect(array.finished.map(\.tag) == Array(0..<30), "seed \(seed)")
        #expect(array.content()[2048..<6144].allSatisfy { $0 == 30 }, "seed \(seed)")
        #expect(array.hasConsistentParity, "seed \(seed)")
    }

    @Test(
        "with one operation at a time every request still ends, also when the member fails", arguments: [false, true])
    func oneOperation(fails: Bool) {
        var generator = SeededGenerator(seed: 1)
        let array = SimulatedArray(
            level: .raid5, memberCount: 4, chunkByteCount: 4096, stripes: 20, operationCapacity: 1)
        let byteCount = Int(array.geometry.capacityByteCount)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 9, count: byteCount)
        for tag in UInt32(0)..<10 {
            let length = UInt64(byteCount) / 2
            array.submit(
                ArrayRequest(
                    tag % 3 == 2 ? .read : .write, byteOffset: UInt64(tag) * 512, byteCount: length, memory: memory,
                    tag: tag))
        }
        for _ in 0..<40 { array.complete(at: 0) }
        if fails { array.failingMembers = [2] }
        array.completeAll(using: &generator)
        #expect(Set(array.finished.map(\.tag)) == Set(0..<10))
        #expect(array.finished.count == 10)
        #expect(array.finished.allSatisfy { $0.status == .done })
    }

    @Test("nothing grows once it has been as large as it gets")
    func noGrowth() {
        let geometry = ArrayGeometry(
            level: .raid5, memberCount: 5, chunkByteCount: 65536, memberDataByteCount: 1 << 30, dataByteOffset: 0)
        let scratch = UnsafeMutableRawPointer(bitPattern: 1 << 32)!
        // Addresses only: the planner never follows them, so there need not be any memory.
        let planner = RAIDPlanner(
            geometry: geometry, requestCapacity: 64, scratch: scratch, zeroes: UnsafeRawPointer(scratch))
        var output = PlannerOutput()
        var pending: [PlannerToken] = []
        var generator = SeededGenerator(seed: 7)
        var capacities: [Int] = []
        pending.reserveCapacity(4096)
        for round in 0..<200 {
            for tag in UInt32(0)..<64 {
                let offset = UInt64.random(in: 0..<1_000_000, using: &generator) * 512
                let memory = UnsafeMutableRawPointer(bitPattern: 1 << 40)!
                planner.submit(
                    ArrayRequest(.write, byteOffset: offset, byteCount: 4096, memory: memory, tag: tag), into: &output)
            }
            var finished = 0
            while finished < 64 {
                pending += output.memberIOs.map(\.plannerToken)
                finished += output.finished.count
                output.removeAll()
                for token in pending { planner.complete(token, .done, into: &output) }
                pending.removeAll(keepingCapacity: true)
            }
            output.removeAll()
            let now = [
                output.memberIOs.capacity, output.parityJobs.capacity, output.paritySources.capacity,
                output.groups.capacity, output.finished.capacity,
            ]
            if round == 0 { capacities = now }
            #expect(now == capacities)
        }
    }
}
