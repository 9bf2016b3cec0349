import TestTraits
import Testing

@testable import Control

@Suite("Byte sizes", .blocks)
struct ByteSizeTests {
    @Test(
        "are read in powers of 1024",
        arguments: [
            ("0", 0), ("512", 512), ("512b", 512), ("64K", 65536), ("64k", 65536), ("64KB", 65536), ("64KiB", 65536),
            ("10M", 10 << 20), ("10G", 10 << 30), ("1.5T", 3 << 39), ("0.5K", 512), ("16383P", 16383 << 50),
        ] as [(String, UInt64)])
    func reading(text: String, byteCount: UInt64) throws {
        #expect(try ByteSize(parsing: text).byteCount == byteCount)
    }

    @Test(
        "that are none are refused",
        arguments: [
            "", "K", "G10", "10X", "10 G", "-1", "+1", "1e3", "0x10", "1.5", ".5K", "1.2.3K", "٣K", "16384P",
            "18446744073709551616", "16383.99999999999999999999P",
        ])
    func refusing(text: String) {
        #expect(throws: ByteSize.Problem.self) { try ByteSize(parsing: text) }
    }

    @Test(
        "are written exactly where that is short, else in tenths of a unit",
        arguments: [
            (0, "0 bytes"), (1, "1 bytes"), (9999, "9999 bytes"), (10_001, "9.7 KiB"), (65536, "64 KiB"),
            (10 << 30, "10 GiB"), (3 << 39, "1536 GiB"), (10_485_761, "10.0 MiB"), (15_000_000, "14.3 MiB"),
            (10_000_000_000, "9.3 GiB"), ((1 << 20) - 1, "1023.9 KiB"), (12_000 << 50, "12000 PiB"),
            (.max, "16383.9 PiB"),
        ] as [(UInt64, String)])
    func writing(byteCount: UInt64, text: String) {
        #expect(ByteSize(byteCount: byteCount).description == text)
    }
}
