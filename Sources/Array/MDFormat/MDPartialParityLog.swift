/// A member's partial parity log in md's format: `struct ppl_header` in Linux' md_p.h, explained in
/// Documentation/driver-api/md/raid5-ppl.rst.
///
/// The log's area begins with a header of 4 KiB. The header lists stripe ranges that were about to be written and whose
/// parity is on this member. Their partial parity follows in the same order. *Partial parity* is the exclusive-or of
/// the data that a write does not touch. After a crash, the exclusive-or of partial parity and of the touched data, as
/// found, is the right parity.
package struct MDPartialParityLog: Sendable, Equatable {
    /// PPL_HEADER_SIZE.
    package static let headerByteCount = 4096
    /// Entries that a header has room for (PPL_HDR_MAX_ENTRIES).
    package static let entryCountMax = 148
    /// The most partial parity behind one header, as in md.
    package static let partialParityByteCountMax = 128 << 10
    /// Where a header has its checksum.
    package static let checksumOffset = 532
    /// Where a header has its first entry.
    static let entriesOffset = 536
    /// The size of `struct ppl_header_entry`.
    static let entryByteCount = 24
    /// Where an entry has its checksum.
    package static let entryChecksumOffset = 20

    /// A range of chunk offsets of one stripe in which the same adjacent columns are written.
    package struct Entry: Sendable, Equatable, BitwiseCopyable {
        /// The first array sector that is written.
        package var dataSector: UInt64
        /// Bytes of partial parity, as many as each column has; 0 when all columns are written.
        package var partialParityByteCount: UInt32
        /// Bytes that are written: those of a column times the columns.
        package var dataByteCount: UInt32
        /// The role of the member that holds the parity, and with it the log.
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

        /// Stores the entry, 24 bytes.
        package func encode(at memory: UnsafeMutableRawPointer) {
            memory.put(dataSector, at: 0)
            memory.put(partialParityByteCount, at: 8)
            memory.put(dataByteCount, at: 12)
            memory.put(parityRole, at: 16)
            memory.put(checksum, at: entryChecksumOffset)
        }
    }

    /// Why a block is not a reliable header.
    package enum Problem: Error, Equatable {
        /// The bytes do not have the header's checksum, or are fewer than a header has.
        case wrongChecksum
        /// The log is another array's.
        case wrongSignature
        /// The header counts more entries than fit.
        case wrongEntryCount
    }

    /// Grows by each header that is written.
    package var generation: UInt64
    /// The entries, in the order of their partial parity.
    package var entries: [Entry]

    /// An empty log is generation 0 without entries.
    package init(generation: UInt64 = 0, entries: [Entry] = []) {
        self.generation = generation
        self.entries = entries
    }

    /// The number that ties a log to its array: CRC-32C of the array's UUID, 16 bytes.
    package static func signature(setUUID: [UInt8]) -> UInt32 { CRC32C.checksum(of: setUUID) }

    /// Reads a header, 4 KiB. The partial parity behind it is checked by the entries' checksums.
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

    // MARK: Headers in memory that is reused

    /// Fills the parts of a header that never change.
    /// - Parameter memory: 4 KiB of zeros.
    package static func prepareHeader(at memory: UnsafeMutableRawPointer, signature: UInt32) {
        memory.initializeMemory(as: UInt8.self, repeating: 0xFF, count: 512)
        memory.put(signature, at: 512)
    }

    /// The address of an entry in a header.
    package static func entry(_ index: Int, ofHeaderAt memory: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        memory + entriesOffset + index * entryByteCount
    }

    /// Fills the header's fields but for the checksum, which is 0 while it is computed.
    package static func complete(headerAt memory: UnsafeMutableRawPointer, generation: UInt64, entryCount: Int) {
        memory.put(generation, at: 520)
        memory.put(UInt32(entryCount), at: 528)
        memory.put(UInt32(0), at: checksumOffset)
    }
}
