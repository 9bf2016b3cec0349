import HostileInput
import Platform
import RAID
import TestTraits
import Testing

/// Members' metadata with right checksums and values that nobody would write.
@Suite("Hostile metadata", .busy)
struct HostileMetadataTests {
    /// What each trial begins with; the seed says the rest.
    private func trial(_ changes: [MetadataChange], _ generator: inout SeededGenerator) throws -> String {
        let kind = MetadataImage.kinds[generator.below(MetadataImage.kinds.count)]
        let (isDirty, isRebuilding) = (generator.below(2) == 0, generator.below(4) == 0)
        let force = generator.below(2) == 0
        let image = try MetadataImage(kind, isDirty: isDirty, isRebuilding: isRebuilding)
        let cut = MetadataImage.HalfDone(rawValue: generator.below(8))
        if let cut { try image.cut(cut, told: generator.below(16)) }
        for change in changes { try image.apply(change) }
        image.repairChecksums()
        let missing = generator.below(8)
        let members = image.members.enumerated().filter { $0.offset != missing }.map(\.element)
        let outcome = MetadataTrial.run(members, force: force)
        let what =
            "\(kind.map { "\($0)" } ?? "RAID 0") \(isDirty ? "dirty" : "clean") \(cut.map { "\($0)" } ?? ""): \(changes)"
        #expect(!outcome.hasWritten, "\(what): \(outcome.refusal ?? "")")
        return what
    }

    @Test("every field survives every extreme value, on one member and on all", .slow)
    func fields() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("hostile metadata: seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for field in MetadataChange.fields {
            for value in MetadataChange.extremes where field.width == 8 || value < 1 << UInt64(8 * field.width) {
                let change = MetadataChange(
                    member: generator.below(2) == 0 ? nil : generator.below(4), area: field.area, offset: field.offset,
                    width: field.width, value: value)
                _ = try trial([change], &generator)
            }
        }
    }

    @Test("so do several fields at once", .slow)
    func combinations() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("hostile metadata, combined: seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let changes = (0..<2 + generator.below(3)).map { _ in
                let field = MetadataChange.fields[generator.below(MetadataChange.fields.count)]
                return MetadataChange(
                    member: generator.below(2) == 0 ? nil : generator.below(4), area: field.area, offset: field.offset,
                    width: field.width, value: MetadataChange.extremes[generator.below(MetadataChange.extremes.count)])
            }
            _ = try trial(changes, &generator)
        }
    }
}
