import MDFormat
import MemberIO

/// Work on an array's redundancy while clients are served: on a *unit* of one stripe, or on a run of stripes that is
/// believed to be empty. Ranges are bytes of a member's data area, the same on every member.
package struct MaintenanceRequest: BitwiseCopyable, Sendable, Equatable {
    /// What is to be done with the range.
    package enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// Writes one unit of the recovering member: computed from the others or, for a replacement, copied.
        case rebuild
        /// Counts whole stripes as recovered if no member has data in the range.
        case skipIfHole
        /// Counts whole stripes as recovered if no bit of the bitmap is set in the range: the recovering member has
        /// missed nothing there.
        case skipIfClean
        /// Compares one unit's parity with its data.
        case check
        /// As `check`, and writes parity anew that is wrong.
        case repair
    }

    /// What is to be done.
    package var kind: Kind
    /// The first byte, in a member's data area.
    package var byteOffset: UInt64
    /// Bytes of each member.
    package var byteCount: UInt64

    package init(_ kind: Kind, byteOffset: UInt64, byteCount: UInt64) {
        self.kind = kind
        self.byteOffset = byteOffset
        self.byteCount = byteCount
    }

    /// The end of the range, in a member's data area.
    package var end: UInt64 { byteOffset + byteCount }
}

/// How a request of maintenance ended.
package struct MaintenanceOutcome: BitwiseCopyable, Sendable, Equatable {
    /// Whether it was done, or why not.
    package enum Result: UInt8, BitwiseCopyable, Sendable {
        case done
        /// Nothing was done: a range to be skipped has data, or has been written to.
        case hasData
        /// The recovering member's file system is full.
        case noSpace
        /// A member failed, or the array's state does not allow this work (any more).
        case failed
    }

    /// The request that ended.
    package var request: MaintenanceRequest
    /// How it ended.
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
/// member that has the role still serves, so the array keeps its redundancy. A replacement has a place of its own,
/// `ArrayGeometry.replacementPlace`; it is written there and not read.
package struct Recovery: Sendable, Equatable {
    /// The role that it has or, as a replacement, is to take.
    package let member: Role
    /// Bytes of its data area, from the start, that are in sync. Below, a rebuilt member is read and written like any
    /// other, and a replacement is written whenever the member with the role is. Above, it counts as missing.
    package internal(set) var boundary: UInt64

    package init(member: Role, boundary: UInt64) {
        self.member = member
        self.boundary = boundary
    }
}

/// Asks whether the exclusive-or of its sources is zero. The answer, to `RAIDPlanner.tested`, has a bit for each block
/// of 4 KiB that is not zero.
package struct ZeroTest: BitwiseCopyable {
    /// Bytes that a bit of the answer stands for.
    package static let blockByteCount = 4096
    /// Goes back with the answer.
    package var token: PlannerToken
    /// The index of the first source in `PlannerOutput.paritySources`.
    package var firstSource: Int
    /// How many sources follow from there.
    package var sourceCount: Int
    package var byteCount: Int
}

/// Asks whether no member has data in a range of its file. The answer, to `RAIDPlanner.tested`, is not 0 if one has.
package struct HoleTest: BitwiseCopyable {
    /// Goes back with the answer.
    package var token: PlannerToken
    /// In the member file, data offset included.
    package var byteOffset: UInt64
    package var byteCount: UInt64
}

extension ArrayGeometry {
    /// Bytes of a chunk that maintenance handles as one, a *unit*: up to 64 KiB.
    package var unitByteCount: UInt64 { min(chunkByteCount, UInt64(ScratchPool.largeBlockByteCount)) }

    /// The place of a replacement, behind those of the roles.
    package var replacementPlace: Place { Place(rawValue: UInt8(memberCount)) }

    /// The role that a place is of; nil for the replacement's place.
    package func role(at place: Place) -> Role? {
        assert(place <= replacementPlace, "the array has no such place")
        return place < replacementPlace ? Role(rawValue: place.rawValue) : nil
    }
}

extension Place {
    /// The place of the member that has a role.
    package init(_ role: Role) { self.init(rawValue: role.rawValue) }
}
