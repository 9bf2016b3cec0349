import ArrayStore
import MDFormat

/// Inspects the members' content from outside the array.
extension ArrayLife {
    /// The write that a sector's content on its member comes from; nil for content that no write produced.
    func write(in sector: Int) -> UInt32? {
        let (member, row) = shape.place(of: sector)
        return Stamp.write(in: members[member].image.bytes(ofSector: shape.dataSector + row), sector: sector)
    }

    /// The same for a sector of the member `missing`, computed from the other members.
    func reconstructedWrite(_ sector: Int, missing: Role, row: Int) -> UInt32? {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 64) { words in
            words.initialize(repeating: 0)
            for (role, member) in zip(shape.roles, members) where role != missing {
                Self.add(member.image.bytes(ofSector: shape.dataSector + row), to: words)
            }
            return Stamp.write(in: UnsafeRawPointer(words.baseAddress!), sector: sector)
        }
    }

    static func name(_ write: UInt32?) -> String { write.map { "write \($0)" } ?? "what nobody wrote" }

    /// The number of rows, from the first one, that are on a member which is being rebuilt.
    func recoveredRows(of array: OpenedArray) -> Int { Int((array.recoveringMember?.byteCount ?? 0) / 512) }

    /// Checks that the exclusive-or of each row's sectors, parity included, is zero, in all rows whose members are
    /// there.
    func checkParity(of array: OpenedArray) throws(SimulationFault) {
        guard shape.level == .raid5 else { return }
        let isDoubtful = array.needsRepair
        let end = array.failedMembers.isEmpty ? shape.rowCount : recoveredRows(of: array)
        for row in 0..<end where !(isDoubtful && isSuspect[row]) {
            guard !isParityRight(row) else { continue }
            let stripe = row / shape.chunkSectorCount
            throw SimulationFault(
                "the parity of row \(row) is wrong",
                sector: stripe * shape.stripeSectorCount + row % shape.chunkSectorCount)
        }
    }

    private func isParityRight(_ row: Int) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 64) { words in
            words.initialize(repeating: 0)
            for member in members { Self.add(member.image.bytes(ofSector: shape.dataSector + row), to: words) }
            return words.allSatisfy { $0 == 0 }
        }
    }

    static func areEqual(_ one: UnsafeRawPointer, _ other: UnsafeRawPointer) -> Bool {
        let (one, other) = (one.assumingMemoryBound(to: UInt64.self), other.assumingMemoryBound(to: UInt64.self))
        return (0..<64).allSatisfy { one[$0] == other[$0] }
    }

    private static func add(_ bytes: UnsafeRawPointer, to words: UnsafeMutableBufferPointer<UInt64>) {
        let other = bytes.assumingMemoryBound(to: UInt64.self)
        for index in words.indices { words[index] ^= other[index] }
    }
}
