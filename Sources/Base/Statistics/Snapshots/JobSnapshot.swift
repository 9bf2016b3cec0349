/// A job of maintenance on an array: the one that runs, or the last one.
package struct JobSnapshot: Sendable, Equatable {
    /// Whether the job runs, or how it ended.
    package enum State: String, Sendable, Codable {
        /// It is under way.
        case running
        /// It has done everything.
        case done
        /// A user or the end of the server stopped it.
        case cancelled
        /// The recovering member's file system is full. The server tries again.
        case noSpace = "no-space"
        /// A member failed, or could not read data that no other member has: `reason` says which.
        case failed
    }

    /// A block of 4 KiB whose parity is wrong.
    package struct Place: Sendable, Equatable, Codable {
        /// The role of the member that has the parity.
        package var member: Int
        /// The parity's position in that member's file.
        package var memberByteOffset: UInt64
        /// Where the stripe's data begins in the array.
        package var arrayByteOffset: UInt64

        package init(member: Int, memberByteOffset: UInt64, arrayByteOffset: UInt64) {
            self.member = member
            self.memberByteOffset = memberByteOffset
            self.arrayByteOffset = arrayByteOffset
        }

        private enum CodingKeys: String, CodingKey {
            case member
            case memberByteOffset = "member_offset"
            case arrayByteOffset = "array_offset"
        }
    }

    /// What the write-intent bitmap says of a member that comes back.
    package struct Regions: Sendable, Equatable, Codable {
        /// Regions that were written to while the member was away.
        package var written: Int
        /// Regions of the array.
        package var total: Int

        package init(written: Int, total: Int) {
            self.written = written
            self.total = total
        }
    }

    /// Counts the server's jobs on this array, from 1.
    package var number: UInt64
    /// "rebuild", "replace", "check" or "repair".
    package var kind: String
    /// Whether the job runs, or how it ended.
    package var state = State.running
    /// The role of the member that is rebuilt or replaced.
    package var member: Int?
    /// Bytes of each member that are done.
    package var doneByteCount: UInt64 = 0
    /// Bytes of each member.
    package var byteCount: UInt64
    /// Bytes of the member that were computed and written to it.
    package var rebuiltByteCount: UInt64 = 0
    /// Set for a rebuild that copies only what the member has missed; nil for a whole one.
    package var regions: Regions?
    /// Bytes of parity that were wrong.
    package var wrongByteCount: UInt64 = 0
    /// The first blocks with wrong parity.
    package var wrongPlaces: [Place] = []
    /// Why the job failed, for people; nil if it did not.
    package var reason: String?

    package init(number: UInt64, kind: String, byteCount: UInt64) {
        self.number = number
        self.kind = kind
        self.byteCount = byteCount
    }

    /// Hundredths that are done, 0 to 100.
    package var percent: Int {
        byteCount == 0 ? 100 : Int(min(100 * Double(doneByteCount) / Double(byteCount), 100))
    }
}

extension JobSnapshot: Codable {
    private enum CodingKeys: String, CodingKey {
        case number, kind, state, member
        case doneByteCount = "done_bytes"
        case byteCount = "bytes"
        case rebuiltByteCount = "rebuilt_bytes"
        case regions, reason
        case wrongByteCount = "wrong_bytes"
        case wrongPlaces = "wrong_places"
    }

    /// Every key is there; values that are missing are null.
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(number, forKey: .number)
        try values.encode(kind, forKey: .kind)
        try values.encode(state, forKey: .state)
        try values.encode(member, forKey: .member)
        try values.encode(doneByteCount, forKey: .doneByteCount)
        try values.encode(byteCount, forKey: .byteCount)
        try values.encode(rebuiltByteCount, forKey: .rebuiltByteCount)
        try values.encode(regions, forKey: .regions)
        try values.encode(reason, forKey: .reason)
        try values.encode(wrongByteCount, forKey: .wrongByteCount)
        try values.encode(wrongPlaces, forKey: .wrongPlaces)
    }
}
