import MDFormat

/// Work on an array's redundancy, done while clients are served: a *unit* of one stripe's rows, or a run of stripes that
/// is believed to be empty. Ranges are bytes of a member's data area, the same on every member.
package struct MaintenanceRequest: BitwiseCopyable, Sendable, Equatable {
    /// What is to be done with the range.
    package enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// The recovering member's rows are written: computed from the others or, for a replacement, copied. One unit.
        case rebuild
        /// If no member has data in the range, the recovering member has what it should have. Whole stripes.
        case skip
        /// If no bit of the bitmap is set in the range, the recovering member has missed nothing there and keeps what it
        /// has. Whole stripes.
        case keep
        /// Parity is compared with the data. One unit.
        case check
        /// As `check`, and parity that is wrong is written anew.
        case repair
    }

    package var kind: Kind
    package var byteOffset: UInt64
    package var byteCount: UInt64

    package init(_ kind: Kind, byteOffset: UInt64, byteCount: UInt64) {
        self.kind = kind
        self.byteOffset = byteOffset
        self.byteCount = byteCount
    }

    package var end: UInt64 { byteOffset + byteCount }
}

/// How a piece of maintenance ended.
package struct MaintenanceOutcome: BitwiseCopyable, Sendable, Equatable {
    /// Whether it was done, or why not.
    package enum Result: UInt8, BitwiseCopyable, Sendable {
        case done
        /// What was to be skipped has data, or what was to be kept has been written to; nothing was done.
        case hasData
        /// The recovering member's file system is full.
        case noSpace
        /// A member failed, or the array is not in a state for this work (any more).
        case failed
    }

    package var request: MaintenanceRequest
    package var result: Result
    /// Blocks of 4 KiB whose parity was wrong: bit i for the i-th of the unit.
    package var wrongBlocks: UInt32

    package init(request: MaintenanceRequest, result: Result, wrongBlocks: UInt32) {
        self.request = request
        self.result = result
        self.wrongBlocks = wrongBlocks
    }
}

/// A member that is being filled with what it should hold.
///
/// In a degraded array it has the missing member's role: that is a rebuild. In a healthy one it is a *replacement*: the
/// member that has the role still serves, so the array has its redundancy all the time. Then it is written at a place of
/// its own, `ArrayGeometry.replacementPlace`, and not read.
package struct Recovery: Sendable, Equatable {
    /// Its role.
    package let member: Int
    /// Bytes of its data area, from the start, that are in sync: they are read and written like any other member's, or, of
    /// a replacement, written whenever those of the member with the role are. What lies above is as if it were missing.
    package internal(set) var boundary: UInt64

    package init(member: Int, boundary: UInt64) {
        self.member = member
        self.boundary = boundary
    }
}

/// Asks whether the exclusive-or of its sources is zero. The answer, `RAIDPlanner.tested`, has a bit for each block of
/// 4 KiB where it is not.
package struct ZeroTest: BitwiseCopyable {
    package static let blockByteCount = 4096
    package var token: UInt64
    /// Where the sources begin in `PlannerOutput.paritySources`, and how many there are.
    package var firstSource: Int
    package var sourceCount: Int
    package var byteCount: Int
}

/// Asks whether no member has data in a range of its file. The answer is `RAIDPlanner.tested`, not 0 if one has.
package struct HoleTest: BitwiseCopyable {
    package var token: UInt64
    /// In the member file, data offset included.
    package var byteOffset: UInt64
    package var byteCount: UInt64
}

extension ArrayGeometry {
    /// The rows that maintenance handles as one: what is next to each other in a stripe, up to 64 KiB.
    package var unitByteCount: UInt64 { min(chunkByteCount, UInt64(ScratchPool.largeRowByteCount)) }

    /// Where member I/O finds a replacement: behind the members, whose places are their roles.
    package var replacementPlace: Int { memberCount }
}
