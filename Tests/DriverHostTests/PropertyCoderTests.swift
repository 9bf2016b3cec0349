import Platform
import SCSIControllerDriverKit
import TestSupport
import TestTraits
import Testing

@Suite("Dictionaries across the driver boundary", .blocks)
struct PropertyCoderTests {
    private static let sample: OSDictionary = [
        "number": .number(.max), "yes": true, "no": false, "text": "Grüße", "empty": "",
        "data": .data([0, 0x80, 0xFF]), "no data": .data([]), "list": .array([1, "two", .array([]), .data([3])]),
        "inner": .dictionary(["a": 1, "deeper": .dictionary(["b": "c", "none": .dictionary([:])])]),
    ]

    @Test("come back as they went")
    func roundTrip() {
        #expect(PropertyCoder.decode(PropertyCoder.encode(Self.sample)) == Self.sample)
        #expect(PropertyCoder.decode(PropertyCoder.encode([:])) == [:])
    }

    @Test("that were cut, or have something behind them, are none")
    func cut() {
        let bytes = PropertyCoder.encode(Self.sample)
        for count in 0..<bytes.count { #expect(PropertyCoder.decode(Array(bytes[..<count])) == nil) }
        #expect(PropertyCoder.decode(bytes + [0]) == nil)
    }

    @Test("random and changed bytes are read without harm")
    func random() {
        let bytes = PropertyCoder.encode(Self.sample)
        var random = SeededGenerator(seed: SeededGenerator.seed)
        func byte() -> UInt8 { .random(in: 0...255, using: &random) }
        for _ in 0..<5000 {
            var changed = bytes
            for _ in 0..<3 { changed[random.below(changed.count)] = byte() }
            _ = PropertyCoder.decode(changed)
            _ = PropertyCoder.decode((0..<random.below(64)).map { _ in byte() })
        }
        let deep = (0..<1000).flatMap { _ in [UInt8(ascii: "d"), 1, 0, 0, 0, 0, 0, 0, 0] }
        #expect(PropertyCoder.decode(deep) == nil)
    }
}
