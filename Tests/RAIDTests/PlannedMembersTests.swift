import MDFormat
import Testing

@testable import RAID

@Suite("Who is there of an array")
struct PlannedMembersTests {
    static let unit: UInt64 = 65536

    static func members(_ level: RAIDLevel = .raid5, missing: Role? = nil) -> PlannedMembers {
        PlannedMembers(
            geometry: ArrayGeometry(
                level: level, memberCount: 3, chunkByteCount: Int(unit), memberDataByteCount: 4 * unit,
                dataByteOffset: 4096),
            missing: missing)
    }

    @Test("RAID 0 does without no member, RAID 5 without one")
    func failures() {
        var striped = Self.members(.raid0)
        var hasReplacement = striped.fail(1)
        #expect(!hasReplacement && striped.state == .failed)
        var members = Self.members()
        #expect(members.canDoWithout(2))
        hasReplacement = members.fail(1)
        #expect(!hasReplacement && members.state == .degraded(missing: 1) && members.absent == 1)
        #expect(!members.canDoWithout(2))
        // A member fails once.
        let generation = members.generation
        hasReplacement = members.fail(1)
        #expect(!hasReplacement && members.generation == generation)
        hasReplacement = members.fail(2)
        #expect(!hasReplacement && members.state == .failed && members.absent == nil)
        hasReplacement = members.fail(0)
        #expect(!hasReplacement && members.state == .failed)
    }

    @Test("a recovering member is there below its boundary")
    func boundary() {
        var members = Self.members(missing: 2)
        var hasBegun = members.begin(Recovery(member: 1, boundary: 0))
        #expect(!hasBegun, "that member is there")
        hasBegun = members.begin(Recovery(member: 2, boundary: Self.unit))
        #expect(hasBegun && members.absent == nil)
        #expect(members.missing(in: 0..<Self.unit) == nil)
        #expect(members.missing(in: 0..<Self.unit + 512) == 2)
        // Only work that begins at the boundary moves it.
        members.noteRecovered(2 * Self.unit..<3 * Self.unit)
        #expect(members.recovery?.boundary == Self.unit)
        for start in 1..<4 as Range<UInt64> {
            let isWhole = members.endRecovery()
            #expect(!isWhole)
            members.noteRecovered(start * Self.unit..<(start + 1) * Self.unit)
        }
        let isWhole = members.endRecovery()
        #expect(isWhole && members.state == .healthy && members.recovery == nil)
    }

    @Test("a recovering member that fails is missing again, and nothing is lost")
    func recoveringFails() {
        var members = Self.members(missing: 0)
        let hasBegun = members.begin(Recovery(member: 0, boundary: 0))
        #expect(hasBegun && members.canDoWithout(0))
        let hasReplacement = members.fail(0)
        #expect(!hasReplacement && members.state == .degraded(missing: 0) && members.recovery == nil)
    }

    @Test("a replacement takes the role when it has everything, or when the member fails", arguments: [false, true])
    func replacement(isComplete: Bool) {
        var members = Self.members()
        members.beginReplacement(Recovery(member: 1, boundary: isComplete ? 4 * Self.unit : Self.unit))
        #expect(members.replacement?.member == 1 && members.missing == nil)
        let before = members.generation
        if isComplete {
            let isWhole = members.endRecovery()
            #expect(isWhole && members.state == .healthy)
        } else {
            let hasReplacement = members.fail(1)
            #expect(hasReplacement && members.state == .degraded(missing: 1) && members.absent == nil)
            #expect(members.missing(in: 0..<Self.unit) == nil && members.missing(in: 0..<2 * Self.unit) == 1)
        }
        #expect(members.replacementRole == 1 && members.replacement == nil)
        // What went to the member before says nothing of the one that has its role.
        #expect(members.isOutdated(before, at: 1) && !members.isOutdated(members.generation, at: 1))
        #expect(members.isOutdated(age: members.generation - before, at: 1) && !members.isOutdated(age: 0, at: 1))
        #expect(!members.isOutdated(before, at: 0))
    }

    @Test("a replacement is given up when another member fails")
    func replacementEnds() {
        var members = Self.members()
        members.beginReplacement(Recovery(member: 1, boundary: 0))
        let hasReplacement = members.fail(0)
        #expect(!hasReplacement && members.state == .degraded(missing: 0))
        #expect(members.recovery == nil && members.replacementRole == nil)
    }

    @Test("no replacement begins while I/O to an earlier one is under way")
    func replacementIO() async {
        var members = Self.members()
        members.beginReplacement(Recovery(member: 1, boundary: 0))
        var output = PlannerOutput()
        members.emitToReplacement(.flush(1, token: members.token(.flushRound)), into: &output)
        #expect(output.memberIOs.map(\.place) == [3] && output.memberIOs[0].plannerToken.isToReplacement)
        members.endReplacement()
        #expect(members.hasReplacementIO && !members.canBeginReplacement)
        members.endReplacementIO()
        #expect(!members.hasReplacementIO && members.canBeginReplacement)
        await #expect(processExitsWith: .failure) {
            var members = Self.members()
            members.endReplacementIO()
        }
    }
}
