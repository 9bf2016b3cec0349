import Glibc

/// The library paths in a program's file. A file that is no 64-bit little-endian ELF file has none, nor has a file
/// whose tables make no sense.
struct ProgramFile {
    /// The directories of DT_RUNPATH and DT_RPATH, with $ORIGIN replaced.
    let libraryDirectories: [String]

    private static let elf: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1]
    private static let (loadType, dynamicType): (UInt32, UInt32) = (1, 2)
    private static let (stringTableTag, rpathTag, runpathTag): (UInt64, UInt64, UInt64) = (5, 15, 29)
    private static let tableByteCountMax = 1 << 16

    private struct Segment {
        var type: UInt32
        var offset: UInt64
        var address: UInt64
        var byteCount: UInt64
    }

    /// - Parameter path: absolute.
    init(path: String) {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            libraryDirectories = []
            return
        }
        defer { close(file) }
        let origin = path.split(separator: "/").dropLast().map { "/" + $0 }.joined()
        libraryDirectories = Self.paths(in: file).map {
            $0.replacing("$ORIGIN", with: origin).replacing("${ORIGIN}", with: origin)
        }
    }

    private static func paths(in file: Int32) -> [String] {
        let header = bytes(in: file, at: 0, count: 64)
        guard header.count == 64, header.starts(with: elf) else { return [] }
        let segmentCount = Int(number(header, 56, as: UInt16.self))
        let table = bytes(in: file, at: number(header, 32, as: UInt64.self), count: 56 * segmentCount)
        let segments = stride(from: 0, to: table.count - 55, by: 56).map {
            Segment(
                type: number(table, $0, as: UInt32.self), offset: number(table, $0 + 8, as: UInt64.self),
                address: number(table, $0 + 16, as: UInt64.self), byteCount: number(table, $0 + 32, as: UInt64.self))
        }
        guard let dynamic = segments.first(where: { $0.type == dynamicType }) else { return [] }
        let entries = bytes(in: file, at: dynamic.offset, count: Int(clamping: dynamic.byteCount))
        var places: [UInt64] = []
        var strings: UInt64?
        for entry in stride(from: 0, to: entries.count - 15, by: 16) {
            let value = number(entries, entry + 8, as: UInt64.self)
            switch number(entries, entry, as: UInt64.self) {
            case stringTableTag: strings = value
            case rpathTag, runpathTag: places.append(value)
            default: break
            }
        }
        guard let strings,
            let segment = segments.first(where: {
                $0.type == loadType && strings >= $0.address && strings - $0.address < $0.byteCount
            })
        else { return [] }
        return places.flatMap { place -> [String] in
            let offset = strings &- segment.address &+ segment.offset &+ place
            let text = bytes(in: file, at: offset, count: 4096).prefix { $0 != 0 }
            return String(decoding: text, as: UTF8.self).split(separator: ":").map(String.init)
        }
    }

    /// As many of these bytes as the file has, up to `tableByteCountMax`.
    private static func bytes(in file: Int32, at offset: UInt64, count: Int) -> [UInt8] {
        guard let offset = off_t(exactly: offset) else { return [] }
        var bytes = [UInt8](repeating: 0, count: min(count, tableByteCountMax))
        let read = pread(file, &bytes, bytes.count, offset)
        return Array(bytes.prefix(max(read, 0)))
    }

    private static func number<Number: FixedWidthInteger>(
        _ bytes: [UInt8], _ offset: Int, as type: Number.Type
    ) -> Number {
        bytes.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Number.self)) }
    }
}
