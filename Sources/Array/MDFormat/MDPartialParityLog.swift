/// What a member's partial parity log says: md's format, as Linux' md_p.h has it.
///
/// The log area begins with a header of 4 KiB, which lists rows that were about to be written and whose parity is on
/// this member; the partial parity of each follows in order. *Partial parity* is the exclusive-or of the row's data
/// that the write does not touch, so after a crash the parity is that of the touched data, as found, together with it.
package struct MDPartialParityLog: Sendable, Equatable {
    package static let headerByteCount = 4096
    /// Entries that a header has room for.
    package static let entryCountMax = 148
    /// Partial parity after one header at most, as md keeps it.
    package static let partialParityByteCountMax = 128 << 10
    package static let checksumOffset = 532
    static let entriesOffset = 536
    static let entryByteCount = 24
    /// Where an entry has its checksum.
    package static let entryChecksumOffset = 20

    /// Consecutive rows of one stripe in which the same columns, adjacent ones, are written.
    package struct Entry: Sendable, Equatable, BitwiseCopyable {
        /// The first array sector written.
        package var dataSector: UInt64
        /// Bytes of partial parity, as many as the rows have; 0 when all columns are written.
        package var partialParityByteCount: UInt32
        /// Bytes written: rows times columns.
        package var dataByteCount: UInt32
        /// The role of the member with the parity, which is the one with the log.
        package var parityRole: UInt32
        /// CRC-32C of the partial parity.
        package var checksum: UInt32

        package init(
            dataSector: UInt64, partialParityByteCount: UInt32, dataByteCount: UInt32, parityRole: UInt32,
            checksum: UInt32 = 0
        ) {
            self.dataSector = dataSector
            self.partialParityByteCount = partialParityByteCount
            self.dataByteCount = dataByteCount
            self.parityRole = parityRole
            self.checksum = checksum
        }

        package func encode(at memory: UnsafeMutableRawPointer) {
            memory.put(dataSector, at: 0)
            memory.put(partialParityByteCount, at: 8)
            memory.put(dataByteCount, at: 12)
            memory.put(parityRole, at: 16)
            memory.put(checksum, at: entryChecksumOffset)
        }
    }

    /// Why a block is not a header that can be relied on.
    package enum Problem: Error, Equatable {
        case wrongChecksum
        /// Of another array.
        case wrongSignature
        /// More entries than fit.
        case wrongEntryCount
    }

    /// Grows with every header that is written.
    package var generation: UInt64
    package var entries: [Entry]

    /// An empty log is generation 0 without entries.
    package init(generation: UInt64 = 0, entries: [Entry] = []) {
        self.generation = generation
        self.entries = entries
    }

    /// What ties a log to its array: CRC-32C of the array's UUID, 16 bytes.
    package static func signature(setUUID: [UInt8]) -> UInt32 { CRC32C.checksum(of: setUUID) }

    /// Reads a header, of 4 KiB. What follows it is checked by its entries' checksums.
    package init(parsing bytes: UnsafeRawBufferPointer, signature: UInt32) throws(Problem) {
        guard bytes.count >= Self.headerByteCount else { throw .wrongChecksum }
        var header = Array(bytes[..<Self.headerByteCount])
        header.replaceSubrange(Self.checksumOffset..<Self.checksumOffset + 4, with: [0, 0, 0, 0])
        guard CRC32C.checksum(of: header) == bytes.integer(at: Self.checksumOffset, as: UInt32.self) else {
            throw .wrongChecksum
        }
        guard bytes.integer(at: 512, as: UInt32.self) == signature else { throw .wrongSignature }
        let count = bytes.integer(at: 528, as: UInt32.self)
        guard count <= Self.entryCountMax else { throw .wrongEntryCount }
        generation = bytes.integer(at: 520, as: UInt64.self)
        entries = (0..<Int(count)).map { index in
            let offset = Self.entriesOffset + index * Self.entryByteCount
            return Entry(
                dataSector: bytes.integer(at: offset, as: UInt64.self),
                partialParityByteCount: bytes.integer(at: offset + 8, as: UInt32.self),
                dataByteCount: bytes.integer(at: offset + 12, as: UInt32.self),
                parityRole: bytes.integer(at: offset + 16, as: UInt32.self),
                checksum: bytes.integer(at: offset + Self.entryChecksumOffset, as: UInt32.self))
        }
    }

    /// The header, 4 KiB, with its checksum.
    package func encoded(signature: UInt32) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: Self.headerByteCount)
        header.withUnsafeMutableBytes { memory in
            let base = memory.baseAddress!
            Self.prepareHeader(at: base, signature: signature)
            for (index, entry) in entries.enumerated() {
                entry.encode(at: Self.entry(index, ofHeaderAt: base))
            }
            Self.complete(headerAt: base, generation: generation, entryCount: entries.count)
            base.put(CRC32C.checksum(of: UnsafeRawBufferPointer(memory)), at: Self.checksumOffset)
        }
        return header
    }

    // MARK: Headers in memory that is used again and again

    /// Fills the parts of a header that never change. The memory, 4 KiB, is all zeros.
    package static func prepareHeader(at memory: UnsafeMutableRawPointer, signature: UInt32) {
        memory.initializeMemory(as: UInt8.self, repeating: 0xFF, count: 512)
        memory.put(signature, at: 512)
    }

    /// Where a header has an entry.
    package static func entry(_ index: Int, ofHeaderAt memory: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        memory + entriesOffset + index * entryByteCount
    }

    /// Fills what belongs to all entries, but for the checksum, which becomes 0 as it must be while it is computed.
    package static func complete(headerAt memory: UnsafeMutableRawPointer, generation: UInt64, entryCount: Int) {
        memory.put(generation, at: 520)
        memory.put(UInt32(entryCount), at: 528)
        memory.put(UInt32(0), at: checksumOffset)
    }
}
