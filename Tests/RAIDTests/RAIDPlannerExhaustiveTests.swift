import Glibc
import MDFormat
import MemberIO
import RAID
import Testing

@Suite("The RAID planner in every small case")
struct RAIDPlannerExhaustiveTests {
    private static let chunk = 1024

    /// What an array holds before each case: data, and members with its parity.
    private struct Original {
        let data: [UInt8]
        private(set) var members: [[UInt8]]

        init(_ geometry: ArrayGeometry) {
            let data = (0..<Int(geometry.capacityByteCount)).map { UInt8(truncatingIfNeeded: $0 / 512 * 7 + 1) }
            var members = Array(
                repeating: [UInt8](repeating: 0, count: Int(geometry.dataByteOffset + geometry.memberDataByteCount)),
                count: geometry.memberCount)
            geometry.forEachExtent(byteOffset: 0, byteCount: geometry.capacityByteCount) {
                member, offset, count, from in
                for byte in 0..<Int(count) { members[member][Int(offset) + byte] = data[Int(from) + byte] }
            }
            for stripe in 0..<geometry.memberDataByteCount / geometry.chunkByteCount where geometry.level == .raid5 {
                let parity = geometry.parityMember(stripe: stripe)
                let start = Int(geometry.memberByteOffset(stripe: stripe, chunkOffset: 0))
                for byte in start..<start + Int(geometry.chunkByteCount) {
                    members[parity][byte] = geometry.roles.reduce(0) { $1 == parity ? $0 : $0 ^ members[$1][byte] }
                }
            }
            self.data = data
            self.members = members
        }
    }

    /// A request and the array that it meets.
    private struct Case {
        var operation: ArrayRequest.Operation
        var range: Range<Int>
        var missing: Role?
        /// The member of this I/O, counted in the order they end, fails when it ends.
        var failsAt: Int?
        /// A block that this I/O reads cannot be read, from then on.
        var badAt: Int?
    }

    /// - Returns: how many I/Os there were.
    private func run(_ test: Case, on array: SimulatedArray, _ original: Original) -> Int {
        array.reset(missingMember: test.missing, members: original.members)
        var model = original.data
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: test.range.count, alignment: 512)
        defer { memory.deallocate() }
        memset(memory.baseAddress!, 0xA5, memory.count)
        model.withUnsafeMutableBytes { model in
            let start = model.baseAddress! + test.range.lowerBound
            switch test.operation {
            case .write: memset(start, 0xA5, test.range.count)
            case .zero: memset(start, 0, test.range.count)
            case .read, .flush: break
            }
        }
        array.submit(
            ArrayRequest(
                test.operation, byteOffset: UInt64(test.range.lowerBound), byteCount: UInt64(test.range.count),
                memory: memory.baseAddress!, tag: 0))
        var count = 0
        var wasBad = false
        while let io = array.pending.last {
            if count == test.failsAt { array.failingMembers = [io.place] }
            if count == test.badAt && io.kind.isRead {
                array.badBlocks.add(at: io.place, byteOffset: io.byteOffset)
                wasBad = true
            }
            count += 1
            array.complete(at: array.pending.count - 1)
        }
        let mayFail = array.geometry.level == .raid0 && (test.failsAt != nil || wasBad)
        if mayFail && test.failsAt != nil {
            // What was asked for may have been done in part.
            if test.operation != .read { model.replaceSubrange(test.range, with: array.content()[test.range]) }
        }
        let isRight =
            array.finished.map(\.status) == [mayFail ? .failed : .done] && array.misdirected == 0
            && isEqual(array.content(), model)
            && (!wasBad || mayFail
                || (array.planner.state == .healthy && array.badBlocks.isEmpty && array.corrected.count == 1))
            && (array.geometry.level == .raid0 || array.planner.state != .healthy || array.hasConsistentParity)
            && (test.operation != .read || mayFail || isEqual(Array(memory), Array(model[test.range])))
        if !isRight { Issue.record("members \(array.geometry.memberCount): \(test)") }
        return count
    }

    /// Compares at the speed of memory in debug builds too.
    private func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && memcmp(left, right, left.count) == 0
    }

    private func forEachRange(_ byteCount: Int, _ body: (Range<Int>) -> Void) {
        for start in stride(from: 0, to: byteCount, by: 512) {
            for end in stride(from: start + 512, through: byteCount, by: 512) { body(start..<end) }
        }
    }

    @Test("reads, writes and zeroes of every range, with each member missing or none", arguments: [3, 4, 5])
    func everyRange(memberCount: Int) {
        let array = SimulatedArray(
            level: .raid5, memberCount: memberCount, chunkByteCount: Self.chunk, stripes: memberCount == 5 ? 2 : 3,
            operationCapacity: 16)
        let original = Original(array.geometry)
        for missing in [nil] + array.geometry.roles.map(Optional.some) {
            forEachRange(Int(array.geometry.capacityByteCount)) { range in
                for operation in [ArrayRequest.Operation.read, .write, .zero] {
                    _ = run(Case(operation: operation, range: range, missing: missing), on: array, original)
                }
            }
        }
    }

    @Test("reads, writes and zeroes of every range, with a failure at every I/O", arguments: [3, 4, 5])
    func everyFailure(memberCount: Int) {
        let array = SimulatedArray(
            level: .raid5, memberCount: memberCount, chunkByteCount: Self.chunk, stripes: 2, operationCapacity: 16)
        let original = Original(array.geometry)
        forEachRange(Int(array.geometry.capacityByteCount)) { range in
            for operation in [ArrayRequest.Operation.read, .write, .zero] {
                var test = Case(operation: operation, range: range)
                for failsAt in 0..<run(test, on: array, original) {
                    test.failsAt = failsAt
                    _ = run(test, on: array, original)
                }
            }
        }
    }

    @Test("reads, writes and zeroes of every range, with a bad block at every read", arguments: [3, 4, 5])
    func everyBadBlock(memberCount: Int) {
        let array = SimulatedArray(
            level: .raid5, memberCount: memberCount, chunkByteCount: Self.chunk, stripes: 2, operationCapacity: 16)
        let original = Original(array.geometry)
        forEachRange(Int(array.geometry.capacityByteCount)) { range in
            for operation in [ArrayRequest.Operation.read, .write, .zero] {
                var test = Case(operation: operation, range: range)
                for badAt in 0..<run(test, on: array, original) {
                    test.badAt = badAt
                    _ = run(test, on: array, original)
                }
            }
        }
    }

    @Test(
        "RAID 0: reads, writes and zeroes of every range, with a failure or a bad block at every I/O or none",
        arguments: [2, 3, 4, 5])
    func everyRangeOfRAID0(memberCount: Int) {
        let array = SimulatedArray(
            level: .raid0, memberCount: memberCount, chunkByteCount: Self.chunk, stripes: memberCount > 3 ? 2 : 3)
        let original = Original(array.geometry)
        forEachRange(Int(array.geometry.capacityByteCount)) { range in
            for operation in [ArrayRequest.Operation.read, .write, .zero] {
                let test = Case(operation: operation, range: range)
                for position in 0..<run(test, on: array, original) {
                    var failing = test
                    failing.failsAt = position
                    _ = run(failing, on: array, original)
                    guard operation == .read else { continue }
                    var bad = test
                    bad.badAt = position
                    _ = run(bad, on: array, original)
                }
            }
        }
    }
}
