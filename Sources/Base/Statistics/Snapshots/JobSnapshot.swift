/// A job of maintenance on an array: the one that runs, or the last one.
package struct JobSnapshot: Sendable, Equatable {
    /// Whether it runs, or how it ended.
    package enum State: String, Sendable {
        case running
        case done
        case cancelled
        /// The recovering member's file system is full; it is tried again.
        case noSpace = "no-space"
        /// A member failed, or could not read what there is no copy of: `reason` tells.
        case failed
    }

    /// A block of 4 KiB whose parity is wrong.
    package struct Place: Sendable, Equatable {
        /// The member that has the parity, and where in its file.
        package var member: Int
        package var memberByteOffset: UInt64
        /// Where the data of the stripe begins in the array.
        package var arrayByteOffset: UInt64

        package init(member: Int, memberByteOffset: UInt64, arrayByteOffset: UInt64) {
            self.member = member
            self.memberByteOffset = memberByteOffset
            self.arrayByteOffset = arrayByteOffset
        }
    }

    /// What the bitmap says of a member that comes back.
    package struct Regions: Sendable, Equatable {
        /// Regions that were written to while it was away, and all that there are.
        package var written: Int
        package var total: Int

        package init(written: Int, total: Int) {
            self.written = written
            self.total = total
        }
    }

    /// Counts the server's jobs on this array.
    package var number: UInt64
    /// "rebuild", "replace", "check" or "repair".
    package var kind: String
    package var state = State.running
    /// The member that is rebuilt or replaced.
    package var member: Int?
    /// Bytes of each member that are done, and that there are.
    package var doneByteCount: UInt64 = 0
    package var byteCount: UInt64
    /// Bytes of the member that were computed and written to it.
    package var rebuiltByteCount: UInt64 = 0
    /// Of a rebuild that only brings back what a member has missed; nil for one of all of it.
    package var regions: Regions?
    /// Bytes of parity that were wrong, and where the first ones are.
    package var wrongByteCount: UInt64 = 0
    package var wrongPlaces: [Place] = []
    /// Why it failed, for people; nil if it did not.
    package var reason: String?

    package init(number: UInt64, kind: String, byteCount: UInt64) {
        self.number = number
        self.kind = kind
        self.byteCount = byteCount
    }

    /// Hundredths that are done.
    package var percent: Int { byteCount == 0 ? 100 : Int(100 * Double(doneByteCount) / Double(byteCount)) }

    package var json: JSONValue {
        .object([
            ("number", .count(number)), ("kind", .string(kind)), ("state", .string(state.rawValue)),
            ("member", member.map { .count(UInt64($0)) } ?? .null),
            ("done_bytes", .count(doneByteCount)), ("bytes", .count(byteCount)),
            ("rebuilt_bytes", .count(rebuiltByteCount)),
            (
                "regions",
                regions.map {
                    .object([("written", .count(UInt64($0.written))), ("total", .count(UInt64($0.total)))])
                } ?? .null
            ),
            ("reason", reason.map { .string($0) } ?? .null), ("wrong_bytes", .count(wrongByteCount)),
            (
                "wrong_places",
                .array(
                    wrongPlaces.map {
                        .object([
                            ("member", .count(UInt64($0.member))), ("member_offset", .count($0.memberByteOffset)),
                            ("array_offset", .count($0.arrayByteOffset)),
                        ])
                    })
            ),
        ])
    }

    /// - Returns: nil when that is no job.
    package init?(json: JSONValue) {
        guard let number = json["number"]?.countValue, let kind = json["kind"]?.stringValue,
            let state = json["state"]?.stringValue.flatMap({ State(rawValue: $0) }),
            let byteCount = json["bytes"]?.countValue
        else { return nil }
        self.init(number: number, kind: kind, byteCount: byteCount)
        self.state = state
        member = json["member"]?.countValue.map { Int(clamping: $0) }
        doneByteCount = json["done_bytes"]?.countValue ?? 0
        rebuiltByteCount = json["rebuilt_bytes"]?.countValue ?? 0
        if let written = json["regions"]?["written"]?.countValue, let total = json["regions"]?["total"]?.countValue {
            regions = Regions(written: Int(clamping: written), total: Int(clamping: total))
        }
        reason = json["reason"]?.stringValue
        wrongByteCount = json["wrong_bytes"]?.countValue ?? 0
        wrongPlaces = (json["wrong_places"]?.arrayValue ?? []).map { place in
            Place(
                member: Int(clamping: place["member"]?.countValue ?? 0),
                memberByteOffset: place["member_offset"]?.countValue ?? 0,
                arrayByteOffset: place["array_offset"]?.countValue ?? 0)
        }
    }
}
