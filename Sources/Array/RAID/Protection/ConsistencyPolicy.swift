import MDFormat

/// How the parity of a RAID 5 array stays right through a crash, and where the members keep what that takes.
///
/// This is the policy of an array that runs. `ArrayConsistency` (MDFormat) is its name on disk and in commands.
package enum ConsistencyPolicy: Sendable {
    /// Nothing: after a crash all parity is computed anew.
    case resync
    /// Regions are marked before they are written to: after a crash their parity is computed anew.
    case bitmap(BitmapArea)
    /// Each write's partial parity is logged before the write: after a crash the parity of what is logged is made
    /// right, and nothing else is looked at. That also works without a member that was not being written.
    case partialParityLog(PartialParityLogArea)
}

/// Where an array's write-intent bitmap is, and what it says.
package struct BitmapArea: Sendable {
    /// By role: the byte in the member file at which the bitmap's header begins.
    package var byteOffsets: [UInt64]
    /// The bitmap as it is, durably and alike, on every member that is there.
    package var bitmap: MDBitmap

    package init(byteOffsets: [UInt64], bitmap: MDBitmap) {
        self.byteOffsets = byteOffsets
        self.bitmap = bitmap
    }
}

/// Where the members' partial parity logs are. Each begins with a valid header, whose entries need no recovery any
/// more.
package struct PartialParityLogArea: Sendable {
    /// The smallest area that can be used, bytes: a header and the partial parity of one operation.
    package static let byteCountMin = MDPartialParityLog.headerByteCount + ScratchPool.largeBlockByteCount

    /// By role: the byte in the member file at which the log begins.
    package var byteOffsets: [UInt64]
    /// Room for each log, `byteCountMin` bytes or more.
    package var byteCount: Int
    /// The array's `MDPartialParityLog.signature`.
    package var signature: UInt32
    /// By role: the generation of the last header that was written.
    package var generations: [UInt64]

    package init(byteOffsets: [UInt64], byteCount: Int, signature: UInt32, generations: [UInt64]) {
        self.byteOffsets = byteOffsets
        self.byteCount = byteCount
        self.signature = signature
        self.generations = generations
    }
}
